// A copy of the directory is taken at every step of sealing, as a crash there would leave it. Each must open,
// answer everything, and seal again without counting anything twice.

#include "cloud/store/partition.hpp"
#include "store_fixture.hpp"

#include <fmt/format.h>

#include <fstream>

using namespace skerry;
using namespace skerry::cloud;
using namespace skerry::cloud::test;

namespace {

// Of all blocks that stand in partitions, those that an attempt left too.
std::uint64_t samples_in_blocks(const fs::path& directory) {
  std::uint64_t samples = 0;
  for (const auto& entry : fs::directory_iterator{directory / "partitions"}) {
    const auto id = parse_partition_id(entry.path().filename().string());
    if (!id)
      continue;
    const auto part = partition::open(entry.path(), *id, false);
    REQUIRE(part);
    const auto reader = part.value()->read();
    REQUIRE(reader);
    REQUIRE(reader.value().each_source([&](const partition_source& source) {
      REQUIRE(reader.value().each_block(source.number, INT64_MIN, INT64_MAX,
                                        [&](const block_place& at) -> result<void> {
                                          samples += at.samples;
                                          return ok();
                                        }));
    }));
  }
  return samples;
}

std::size_t ledger_entries(engine& db) {
  std::size_t entries = 0;
  REQUIRE(db.ledger(INT64_MIN, INT64_MAX, [&](const ledger_entry&) { ++entries; }));
  return entries;
}

byte_buffer stone_of(sequence seq, std::int64_t time_ns) {
  byte_buffer payload;
  encode_payload(tombstone{seq, time_ns, time_ns, 1, 1, loss_cause::spool_bytes}, payload);
  return payload;
}

} // namespace

TEST_CASE("a crash at any step of sealing changes nothing") {
  constexpr std::int64_t second = 1'000'000'000;
  const auto step_pages = GENERATE(std::size_t{1}, std::size_t{5}, seal_step_pages);
  const temporary_directory dir;
  auto config = small_config(dir.path() / "store");
  std::vector<std::pair<std::string, fs::path>> copies;
  const auto copy = [&](const char* step) {
    copies.emplace_back(step, dir.path() / fmt::format("copy{}", copies.size()));
    fs::copy(config.directory, copies.back().second, fs::copy_options::recursive);
  };
  auto s = open_store(config, copy, step_pages);
  const auto set = make_set("a", 20);
  model m;
  request_builder b{edge_id{1}, "x"};
  for (int i = 0; i < 50; ++i) { // over two partitions
    const auto time = test_clock().wall_ns() - i * 3600 * second;
    std::vector<double> values;
    for (int k = 0; k < 20; ++k) {
      values.push_back(i * k * 0.5);
      m.add("x", set->members[static_cast<std::size_t>(k)].all, time, values.back());
    }
    b.values("h", set, time, values);
  }
  b.note(record_kind::event, "h", test_clock().wall_ns(), as_bytes("hello"));
  b.state("held", "51");
  REQUIRE(append(*s.db, b.take()));
  s->flush();
  s.db.reset();
  REQUIRE(copies.size() >= 2 * 3 + 2);

  config.directory.clear();
  for (const auto& [step, copy] : copies) {
    INFO("crashed at: " << step << " in " << copy.filename());
    config.directory = copy;
    auto again = open_store(config);
    CHECK(select(*again.db, everything()) == m.expected());
    CHECK(all_state(*again.db)["held"] == "51");
    again->flush();
    CHECK(select(*again.db, everything()) == m.expected());
    again.db.reset();
    again = open_store(config); // counts are read when partitions are opened
    CHECK(select(*again.db, everything()) == m.expected());
    CHECK(again->usage().samples == 1000);
    std::size_t events = 0;
    REQUIRE(again->kept_records(INT64_MIN, INT64_MAX, [&](const kept_record&) { ++events; }));
    CHECK(events == 1);
    again.db.reset();
    CHECK(samples_in_blocks(config.directory) == 1000); // what the crash left is not there beside it
    CHECK(again.metric("skerry_store_damaged_total") == 0);
  }
}

// The same with a clock and a span of partitions that are others at each attempt, and with crashes in the second attempt,
// the third, …: which partition takes a sample hangs on both, and what went before was chosen by theirs.
TEST_CASE(
    "a crash at any step of sealing changes nothing, whatever clock and settings say at the next attempt") {
  constexpr std::int64_t second = 1'000'000'000;
  constexpr std::int64_t hour = 3600 * second;
  const auto seed = seed_from_environment(std::random_device{}());
  INFO("SKERRY_SEED=" << seed << " store_test \"a crash at any step of sealing changes nothing, whatever*\"");
  std::mt19937_64 rng{seed};
  const auto wall_before = test_clock().wall.load();
  for (int round = 0; round < 12; ++round) {
    const temporary_directory dir;
    auto config = small_config(dir.path() / "store");
    const auto now = test_clock().wall.load();
    const auto set = make_set("a", 10);
    model m;
    std::size_t samples = 0;
    {
      auto s = open_store(config);
      request_builder b{edge_id{1}, "x"};
      for (int i = 0; i < 60; ++i) {
        // Ages up to 100 days, many of them where a partition's kind changes.
        const std::int64_t edges[] = {0,           7 * 24 + 23, 8 * 24,      8 * 24 + 1,
                                      9 * 24 + 23, 64 * 24 - 1, 64 * 24 + 1, -8 * 24};
        const auto age_h =
            rng() % 2 == 0 ? edges[rng() % std::size(edges)] : static_cast<std::int64_t>(rng() % (100 * 24));
        const auto time = now - age_h * hour - i * second;
        std::vector<double> values;
        for (std::size_t k = 0; k < 10; ++k) {
          values.push_back(static_cast<double>(rng() % 1000));
          m.add("x", set->members[k].all, time, values.back());
        }
        samples += values.size();
        b.values("h", set, time, values);
        if (i % 10 == 0)
          b.note(record_kind::event, "h", time, as_bytes("hello"));
        if (i % 4 == 0)
          b.note(record_kind::tombstone, "h", time, stone_of(b.next(), time));
      }
      REQUIRE(append(*s.db, b.take()));
    }
    for (int attempt = 0; attempt < 6; ++attempt) {
      // Dies at one of the steps: a copy is what a crash leaves.
      const std::size_t sizes[] = {1, 3, 20, seal_step_pages};
      const auto step_pages = sizes[rng() % std::size(sizes)];
      const auto die_at = rng() % (step_pages < 20 ? 60 : 12);
      const auto copy = dir.path() / fmt::format("copy{}", attempt);
      std::size_t steps = 0;
      {
        const auto leave = [&](const char*) {
          if (steps++ == die_at)
            fs::copy(config.directory, copy, fs::copy_options::recursive);
        };
        auto s = open_store(config, leave, step_pages);
        s->flush();
        CHECK(select(*s.db, everything()) == m.expected());
      }
      if (fs::exists(copy))
        config.directory = copy;
      const std::int64_t moves_h[] = {2, -2, 25, 40 * 24, -40 * 24, 9 * 24, 0};
      test_clock().wall += moves_h[rng() % std::size(moves_h)] * hour;
      if (rng() % 3 == 0)
        config.partition_span = std::chrono::hours{1 + rng() % 47};
    }
    auto s = open_store(config);
    s->flush();
    s.db.reset();
    s = open_store(config);
    CHECK(select(*s.db, everything()) == m.expected());
    CHECK(s->usage().samples == samples); // none twice
    std::size_t events = 0;
    REQUIRE(s->kept_records(INT64_MIN, INT64_MAX, [&](const kept_record&) { ++events; }));
    CHECK(events == 6);
    CHECK(ledger_entries(*s.db) == 15); // by whatever plan each attempt went
    s.db.reset();
    CHECK(samples_in_blocks(config.directory) == samples);
    test_clock().wall = wall_before;
  }
}

TEST_CASE("sealing rows at random places goes in steps, and all of them are there") {
  const temporary_directory dir;
  auto config = small_config(dir.path() / "store");
  config.log_segment_bytes = 16 << 20;
  config.log_bytes_max = 64 << 20;
  std::size_t steps = 0;
  std::mt19937_64 rng{1};
  auto s = open_store(
      config, [&](std::string_view step) { steps += step == "step committed" ? 1 : 0; }, 1000);
  request_builder b{edge_id{1}, "x"};
  for (int i = 0; i < 20'000; ++i) {
    const auto time = test_clock().wall_ns() - static_cast<std::int64_t>(rng() % 3'600'000'000'000);
    b.note(record_kind::tombstone, "h", time, stone_of(b.next(), time));
  }
  REQUIRE(append(*s.db, b.take()));
  s->flush();
  CHECK(steps >= 19);
  CHECK(ledger_entries(*s.db) == 20'000);
}

TEST_CASE("a crash while a damaged log is replaced by its copy loses nothing of the copy") {
  const temporary_directory dir;
  const auto config = small_config(dir.path() / "store");
  const auto set = make_set("a", 3);
  {
    auto s = open_store(config);
    REQUIRE(append(
        *s.db, request_builder{edge_id{1}, "x"}.values("h", set, test_clock().wall_ns(), {1, 2, 3}).take()));
  }
  const auto log = config.directory / "log" / "0000000001";
  REQUIRE(fs::exists(log));
  const auto copy = log.string() + ".salvage";
  SECTION("when the log is away and the copy not yet in its place") { fs::rename(log, copy); }
  SECTION("when the copy is not whole") {
    fs::create_directory(copy);
    std::ofstream{copy + "/data.mdb"} << "half";
  }
  auto s = open_store(config);
  CHECK(select(*s.db, everything()).size() == 3);
  CHECK_FALSE(fs::exists(copy));
}
