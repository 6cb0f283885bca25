// Bits are flipped in every file of a store. Whatever is hit: it opens, it never dies, every sample that it
// still tells is right, and what is missing is reported.

#include "store_fixture.hpp"

#include <fmt/format.h>

#include <fstream>

using namespace skerry;
using namespace skerry::cloud;
using namespace skerry::cloud::test;

namespace {

constexpr std::int64_t second = 1'000'000'000;

std::vector<fs::path> files_of(const fs::path& directory) {
  std::vector<fs::path> files;
  for (const auto& each : fs::recursive_directory_iterator{directory})
    if (each.is_regular_file() && each.file_size() > 0)
      files.push_back(each.path());
  std::sort(files.begin(), files.end());
  return files;
}

void flip(const fs::path& file, std::uint64_t bit) {
  std::fstream f{file, std::ios::in | std::ios::out | std::ios::binary};
  f.seekg(static_cast<std::streamoff>(bit / 8));
  const auto byte = static_cast<char>(f.get() ^ (1 << (bit % 8)));
  f.seekp(static_cast<std::streamoff>(bit / 8));
  f.put(byte);
}

// Which samples of `want` are missing in `got`; nothing else may stand there.
std::size_t missing(const answer& got, const answer& want) {
  std::size_t n = 0;
  for (const auto& [name, samples] : want) {
    const auto it = got.find(name);
    for (const auto& [time, bits] : samples) {
      const auto at = it == got.end() ? samples_by_time::const_iterator{} : it->second.find(time);
      if (it == got.end() || at == it->second.end())
        ++n;
      else
        REQUIRE(at->second == bits);
    }
  }
  for (const auto& [name, samples] : got) {
    INFO(name);
    REQUIRE(want.contains(name));
    for (const auto& [time, bits] : samples)
      REQUIRE(want.at(name).contains(time));
  }
  return n;
}

struct built {
  temporary_directory dir;
  embedded_config config = small_config(dir.path() / "store");
  model m;

  built() {
    const auto a = make_set("a", 20);
    const auto b = make_set("b", 30);
    auto s = open_store(config);
    sequence seq = 0;
    for (int part = 0; part < 3; ++part) { // two partitions, then a log
      for (int run = 0; run < 10; ++run) {
        request_builder r{edge_id{1}, "x", seq + 1};
        for (int i = 0; i < 5; ++i) {
          const auto& set = i % 2 == 0 ? a : b;
          const auto host = i < 3 ? "h1" : "h2";
          const auto time = test_clock().wall_ns() - (2 - part) * 86'400 * second + (run * 5 + i) * second;
          std::vector<double> values;
          for (std::size_t k = 0; k < set->members.size(); ++k) {
            values.push_back(static_cast<double>(seq * 31 + k * 7 % 13) / 4.0);
            m.add("x", set->members[k].all, time, values.back());
          }
          r.values(host, set, time, values);
          ++seq;
        }
        r.state("held", std::to_string(seq));
        REQUIRE(append(*s.db, r.take()));
      }
      if (part < 2)
        s->flush();
    }
  }
};

} // namespace

TEST_CASE("flipped bits in any file never kill, and what they cost is reported") {
  spdlog::default_logger()->set_level(spdlog::level::off);
  const auto seed = seed_from_environment(1);
  const built from;
  const auto want = from.m.expected();
  const auto files = files_of(from.config.directory);
  REQUIRE(files.size() >= 5);
  std::mt19937_64 rng{seed};
  std::size_t reported = 0;
  const int rounds = 300;
  for (int round = 0; round < rounds; ++round) {
    INFO("SKERRY_SEED=" << seed << " round " << round);
    const temporary_directory dir;
    auto config = from.config;
    config.directory = dir.path() / "store";
    fs::copy(from.config.directory, config.directory, fs::copy_options::recursive);
    const auto& file = files[rng() % files.size()];
    const auto target = config.directory / fs::relative(file, from.config.directory);
    const auto flips = 1 + rng() % 3;
    for (std::uint64_t i = 0; i < flips; ++i)
      flip(target, rng() % (fs::file_size(target) * 8));
    CAPTURE(target);
    auto s = open_store(config);
    const auto lost = missing(select(*s.db, everything()), want);
    REQUIRE(s->label_names(everything()));
    REQUIRE(s->label_values("n", everything()));
    REQUIRE(s->metadata());
    REQUIRE(s->ledger(INT64_MIN, INT64_MAX, [](const auto&) {}));
    // Another day's data stays: a file holds one part of the three.
    REQUIRE(lost <= 50 * 25);
    if (lost != 0) {
      ++reported;
      REQUIRE(s.metric("skerry_store_damaged_total") > 0);
    }
    REQUIRE(append(
        *s.db, request_builder{edge_id{1}, "x", 1000}
                   .values("new", make_set("new", 20), test_clock().wall_ns(), std::vector<double>(20, 1.0))
                   .take()));
    s->flush();
    const auto after = select(*s.db, everything());
    REQUIRE(std::any_of(after.begin(), after.end(), [](const auto& series) {
      return series.first.find("job=\"new\"") != std::string::npos;
    }));
    s.db.reset();
    s = open_store(config);
    REQUIRE(select(*s.db, everything()) == after);
  }
  CHECK(reported > 10); // the flips do hit something
  spdlog::default_logger()->set_level(spdlog::level::info);
}

TEST_CASE("a log with a broken page is salvaged") {
  const built from;
  const auto want = from.m.expected();
  for (const auto& file : files_of(from.config.directory / "log")) {
    if (file.filename() != "data.mdb")
      continue;
    flip(file, 16 * 8); // the magic number of a meta page
    flip(file, (4096 + 16) * 8);
  }
  auto s = open_store(from.config);
  CHECK(missing(select(*s.db, everything()), want) == 0);
  CHECK(s.metric("skerry_store_damaged_total") == 1);
  CHECK(all_state(*s.db)["held"] == "150");
  CHECK(!fs::is_empty(from.config.directory / "damaged"));
  s->flush();
  CHECK(missing(select(*s.db, everything()), want) == 0);
}

TEST_CASE("truncated files are set aside") {
  for (const auto part : {"log", "partitions"}) {
    const built from;
    for (const auto& file : files_of(from.config.directory / part))
      if (file.filename() == "data.mdb")
        fs::resize_file(file, fs::file_size(file) / 2);
    auto s = open_store(from.config);
    const auto lost = missing(select(*s.db, everything()), from.m.expected());
    CHECK(lost > 0);
    CHECK(s.metric("skerry_store_damaged_total") > 0);
    if (part == std::string_view{"log"})
      continue;
    // The span of every partition that is gone is in the ledger, also after a restart.
    s.db.reset();
    s = open_store(from.config);
    std::size_t named = 0;
    REQUIRE(s.db->ledger(INT64_MIN, INT64_MAX, [&](const ledger_entry& e) {
      const auto stone = decode_tombstone(e.payload);
      if (e.origin.edge != edge_id::none || !stone)
        return;
      ++named;
      CHECK(stone.value().cause == loss_cause::corrupt);
      CHECK(stone.value().from_ns < stone.value().to_ns);
    }));
    CHECK(named > 0);
  }
}
