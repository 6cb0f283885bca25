// Bits are flipped in every file of a store. Whatever is hit: it opens, it never dies, every sample that it
// still tells is right, and what is missing is reported.

#include "cloud/store/damage_ledger.hpp"
#include "cloud/store/store_metrics.hpp"
#include "schemas/codec/block_codec.hpp"
#include "store_fixture.hpp"

#include <fmt/format.h>

#include <chrono>
#include <fstream>
#include <thread>

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

// Whose series these are, their labels tell.
series_set_ptr set_of(const std::string& host, std::size_t count) {
  return make_set("a" + std::to_string(count), count, 0, {{"host", host}});
}

struct built {
  temporary_directory dir;
  embedded_config config = small_config(dir.path() / "store");
  model m;

  built() {
    auto s = open_store(config);
    sequence seq = 0;
    for (int part = 0; part < 3; ++part) { // two partitions, then a log
      for (int run = 0; run < 10; ++run) {
        request_builder r{edge_id{1}, "x", seq + 1};
        for (int i = 0; i < 5; ++i) {
          const auto host = i < 3 ? "h1" : "h2";
          const auto set = set_of(host, i % 2 == 0 ? 20 : 30);
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
        fs::resize_file(file, fs::file_size(file) / 4);
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

namespace {

struct sample_name {
  std::string host;
  std::int64_t time_ns = 0;
};

// Which samples of `want` are not in `got`; nothing else may stand there.
std::vector<sample_name> missing_samples(const answer& got, const answer& want) {
  std::vector<sample_name> out;
  (void)missing(got, want);
  for (const auto& [name, samples] : want) {
    const auto it = got.find(name);
    const auto at = name.find("host=\"") + 6;
    for (const auto& [time, bits] : samples)
      if (it == got.end() || !it->second.contains(time))
        out.push_back({name.substr(at, name.find('"', at) - at), time * 1'000'000});
  }
  return out;
}

std::vector<damage> own_damage(engine& db) {
  std::vector<damage> rows;
  db.own_damage(INT64_MIN, INT64_MAX, [&](const ledger_entry& e) {
    const auto stone = decode_tombstone(e.payload);
    REQUIRE(stone);
    CHECK(e.origin.edge == edge_id::none);
    CHECK(stone.value().cause == loss_cause::corrupt);
    rows.push_back({e.site, e.host, stone.value().from_ns, stone.value().to_ns, stone.value().samples, 0});
  });
  return rows;
}

bool covers(const damage& row, const sample_name& sample) {
  const bool whose = row.of_everyone() || (row.site == "x" && (row.host.empty() || row.host == sample.host));
  return whose && (row.from_ns == 0 || row.from_ns <= sample.time_ns) && row.to_ns >= sample.time_ns;
}

void check_named(engine& db, const std::vector<sample_name>& lost) {
  const auto rows = own_damage(db);
  for (const auto& sample : lost) {
    INFO(sample.host << " at " << sample.time_ns << ", rows: " << rows.size());
    REQUIRE(std::any_of(rows.begin(), rows.end(), [&](const auto& row) { return covers(row, sample); }));
  }
}

void overwrite(const fs::path& file, std::uint64_t at, std::string_view bytes) {
  std::fstream f{file, std::ios::in | std::ios::out | std::ios::binary};
  f.seekp(static_cast<std::streamoff>(at));
  f.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  REQUIRE(f.good());
}

std::string content_of(const fs::path& file) {
  std::ifstream in{file, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

// Overwrites bytes wherever this stands in a file: pages have room in which memory of before is left.
void overwrite_all(const fs::path& file, std::string_view what, std::size_t offset, std::string_view bytes) {
  const auto all = content_of(file);
  auto at = all.find(what);
  REQUIRE(at != std::string::npos);
  for (; at != std::string::npos; at = all.find(what, at + 1))
    overwrite(file, at + offset, bytes);
}

// Of each partition's first source: its first block, as it lies in the file, and its entry from the edge's id on.
struct lying {
  fs::path file;
  std::string block;
  std::string source;
};
std::vector<lying> first_of_each(const fs::path& store) {
  std::vector<lying> out;
  for (const auto& file : files_of(store / "partitions")) {
    if (file.filename() != "data.mdb")
      continue;
    const auto directory = file.parent_path();
    const auto opened =
        partition::open(directory, parse_partition_id(directory.filename().string()).value(), false);
    REQUIRE(opened);
    const auto reader = opened.value()->read();
    const auto source = reader.value().source(0).value();
    lying one{file, {}, {}};
    REQUIRE(reader.value().each_block(0, INT64_MIN, INT64_MAX, [&](const block_place& at) -> result<void> {
      if (one.block.empty())
        one.block = as_text(reader.value().block(at).value());
      return ok();
    }));
    byte_buffer entry;
    byte_writer w{entry};
    w.fixed(source.set.bytes);
    w.text(source.site);
    w.text(source.host);
    one.source = as_text(entry);
    out.push_back(std::move(one));
  }
  return out;
}

// Overwrites 8 bytes of each partition's first block.
void damage_block(const fs::path& store) {
  for (const auto& one : first_of_each(store))
    overwrite_all(one.file, one.block, block_header_bytes + 20, "damaged!");
}

// A frame of this host in the newest log, header and all, and where its payload begins.
struct lying_frame {
  fs::path file;
  std::string record;
  std::size_t payload_at = 0;
};
lying_frame frame_of(const fs::path& store, std::string_view host) {
  for (const auto& file : files_of(store / "log")) {
    if (file.filename() != "data.mdb")
      continue;
    const auto all = content_of(file);
    for (auto at = all.find("Sk"); at != std::string::npos; at = all.find("Sk", at + 1))
      if (const auto record = decode_record(as_bytes(all).subspan(at));
          record && record.value().kind == record_kind::frame && record.value().host == host
          && record.value().seq > 100) // of this log, not what memory of an earlier one is left in its pages
        return {file, std::string{as_text(record.value().bytes)},
                record.value().bytes.size() - record.value().payload.size()};
  }
  FAIL("no frame");
  return {};
}

void wait_for(const std::function<bool()>& done) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{30};
  while (!done()) {
    REQUIRE(std::chrono::steady_clock::now() < until);
    std::this_thread::sleep_for(std::chrono::milliseconds{2});
  }
}

struct quiet_log {
  quiet_log() { spdlog::default_logger()->set_level(spdlog::level::off); }
  ~quiet_log() { spdlog::default_logger()->set_level(spdlog::level::info); }
};

} // namespace

TEST_CASE("a damaged block is written to the ledger by the query that leaves it out, once and for good") {
  const quiet_log quiet;
  const built from;
  damage_block(from.config.directory);
  std::vector<sample_name> lost;
  std::size_t rows = 0;
  {
    auto s = open_store(from.config);
    lost = missing_samples(select(*s.db, everything()), from.m.expected());
    REQUIRE(!lost.empty());
    check_named(*s.db, lost);
    rows = own_damage(*s.db).size();
    CHECK(rows == 2); // a block of each of two partitions
    for (const auto& row : own_damage(*s.db)) {
      CHECK(row.site == "x");
      CHECK(!row.host.empty());
      CHECK(row.samples > 0);
    }
    CHECK(select(*s.db, everything()).size() > 0);
    CHECK(own_damage(*s.db).size() == rows);
    CHECK(s.metric("skerry_store_damaged_total") == 2);
    CHECK(s.metric("skerry_store_damage_rows") == 2);
  }
  auto s = open_store(from.config);
  CHECK(own_damage(*s.db).size() == rows); // before anybody asks
  CHECK(missing_samples(select(*s.db, everything()), from.m.expected()).size() == lost.size());
  CHECK(own_damage(*s.db).size() == rows);
  CHECK(s.metric("skerry_store_damaged_total") == 0); // known already
}

TEST_CASE("the scrub finds what nobody reads") {
  const quiet_log quiet;
  built from;
  std::vector<sample_name> lost;
  std::size_t rows = 0;
  const auto sources = first_of_each(from.config.directory);
  damage_block(from.config.directory);
  from.config.scrub_bytes_per_second = std::uint64_t{1} << 30;
  from.config.scrub_interval = std::chrono::milliseconds{1};
  {
    auto s = open_store(from.config);
    wait_for([&] { return s.metric("skerry_store_scrub_passes_total") >= 2; });
    CHECK(own_damage(*s.db).size() == 2);
    CHECK(s.metric("skerry_store_scrub_bytes_total") > 0);
    CHECK(s.metric("skerry_store_damaged_total") == 2); // though it passed there twice
    lost = missing_samples(select(*s.db, everything()), from.m.expected());
    check_named(*s.db, lost);

    // Pages that rot while the partition is open and was found sound.
    for (const auto& one : sources)
      overwrite_all(one.file, one.source, one.source.size() - 1, "X");
    wait_for([&] { return s.metric("skerry_store_partitions") == 0; });
    rows = own_damage(*s.db).size();
    CHECK(rows >= 4); // one more where a pass met a file between two of the writes
    check_named(*s.db, missing_samples(select(*s.db, everything()), from.m.expected()));
  }
  from.config.scrub_bytes_per_second = 0;
  auto s = open_store(from.config);
  CHECK(own_damage(*s.db).size() == rows);
}

TEST_CASE("a scrub keeps to its rate") {
  built from;
  from.config.scrub_bytes_per_second = 1; // the first slice takes days
  from.config.scrub_interval = std::chrono::milliseconds{1};
  auto s = open_store(from.config);
  const auto want = from.m.expected();
  CHECK(missing(select(*s.db, everything()), want) == 0);
  CHECK(s.metric("skerry_store_scrub_bytes_total") < 1 << 20);
  s.db.reset(); // does not wait for it
}

TEST_CASE("what is damaged before it is sealed is left out, named, and does not stop sealing") {
  const quiet_log quiet;
  const auto which = GENERATE(0, 1);
  const built from;
  auto s = open_store(from.config);
  const auto frame = frame_of(from.config.directory, "h2");
  const auto& file = frame.file;
  if (which == 0) {
    overwrite_all(file, frame.record, frame.payload_at + 4, "damaged!");
  } else { // a series set: frames name it, and nothing else has it
    const auto all = content_of(file);
    const auto set = set_of("h2", 20)->hash;
    const std::string_view hash{reinterpret_cast<const char*>(set.bytes.data()), set.bytes.size()};
    for (auto found = all.find("SkLe"); found != std::string::npos; found = all.find("SkLe", found + 1))
      if (const auto entry = decode_entry(as_bytes(all).subspan(found));
          entry && entry.value().kind == entry_kind::set && as_text(entry.value().head).find(hash) == 8)
        overwrite(file, found + entry.value().bytes - 10, "damaged!");
  }
  s->flush();
  CHECK(s.metric("skerry_store_seal_failures_total") == 0);
  const auto lost = missing_samples(select(*s.db, everything()), from.m.expected());
  CHECK(!lost.empty());
  check_named(*s.db, lost);
  const auto rows = own_damage(*s.db).size();
  s.db.reset();
  s = open_store(from.config);
  CHECK(own_damage(*s.db).size() == rows);
  CHECK(missing_samples(select(*s.db, everything()), from.m.expected()).size() == lost.size());
}

TEST_CASE("whatever is damaged, an answer is whole or the ledger covers what it lacks") {
  const quiet_log quiet;
  const auto seed = seed_from_environment(1);
  const built from;
  const auto want = from.m.expected();
  std::vector<fs::path> files;
  for (const auto& file : files_of(from.config.directory))
    if (file.filename() == "data.mdb")
      files.push_back(file);
  REQUIRE(files.size() == 3);
  std::mt19937_64 rng{seed};
  std::size_t short_answers = 0;
  for (int round = 0; round < 300; ++round) {
    INFO("SKERRY_SEED=" << seed << " round " << round);
    const temporary_directory dir;
    auto config = from.config;
    config.directory = dir.path() / "store";
    fs::copy(from.config.directory, config.directory, fs::copy_options::recursive);
    const auto& file = files[rng() % files.size()];
    const auto target = config.directory / fs::relative(file, from.config.directory);
    const auto size = fs::file_size(target);
    std::string bytes(std::vector<std::size_t>{1, 8, 8, 100, 512, 4096}[rng() % 6], '\0');
    if (rng() % 4 != 0) // else zeros, as of a sector that was never written
      for (auto& c : bytes)
        c = static_cast<char>(rng());
    // Where data is, not where pages are free.
    auto at = rng() % (size - bytes.size());
    if (bytes.size() == 4096 || bytes.size() == 512)
      at = at / bytes.size() * bytes.size();
    CAPTURE(target, at, bytes.size());
    overwrite(target, at, bytes);
    auto s = open_store(config);
    const auto lost = missing_samples(select(*s.db, everything()), want);
    short_answers += lost.empty() ? 0 : 1;
    check_named(*s.db, lost);
    const auto rows = own_damage(*s.db).size();
    CHECK(missing_samples(select(*s.db, everything()), want).size() == lost.size());
    CHECK(own_damage(*s.db).size() == rows);
    s->flush();
    check_named(*s.db, missing_samples(select(*s.db, everything()), want));
    s.db.reset();
    s = open_store(config);
    check_named(*s.db, missing_samples(select(*s.db, everything()), want));
  }
  CHECK(short_answers > 50);
}

TEST_CASE("a ledger of damage is bounded, keeps what it was told, and outlives one damaged copy") {
  const quiet_log quiet;
  const temporary_directory dir;
  const auto file = dir.path() / "damage";
  prometheus::Registry registry;
  store_metrics metrics{registry};
  const auto row = [](const std::string& site, const std::string& host, std::int64_t at,
                      std::uint64_t thing) {
    return damage{site, host, at, at + 9, 1, damaged_thing("t", {thing})};
  };
  {
    damage_ledger all{file, metrics, 8};
    REQUIRE(all.load(0));
    CHECK(all.note(row("s", "a", 100, 1), "block", ""));
    CHECK_FALSE(all.note(row("s", "a", 100, 1), "block", ""));
    CHECK(all.note(row("s", "a", 100, 2), "block", "")); // another set of the same time
    REQUIRE(all.flush());
    for (std::uint64_t i = 3; i < 40; ++i)
      all.note(row("s", i % 2 == 0 ? "a" : "b", static_cast<std::int64_t>(i * 100), i), "block", "");
    CHECK(all.size() <= 8);
    for (std::uint64_t i = 0; i < 40; ++i)
      all.note(row("t" + std::to_string(i % 3), "h" + std::to_string(i),
                   static_cast<std::int64_t>(i * 100 + 7), i),
               "block", "");
    CHECK(all.size() <= 8);
    for (std::uint64_t i = 0; i < 40; ++i)
      all.note(row("u" + std::to_string(i), "h", static_cast<std::int64_t>(i * 100 + 7), i), "block", "");
    CHECK(all.size() <= 8);
    // Nothing that was noted is claimed less, and nothing known is a new row.
    for (std::uint64_t i = 0; i < 40; ++i) {
      const auto one = row("u" + std::to_string(i), "h", static_cast<std::int64_t>(i * 100 + 7), i);
      bool covered = false;
      all.each(one.from_ns, one.to_ns, [&](const damage& d) {
        covered =
            covered
            || ((d.of_everyone() || d.site == one.site) && d.from_ns <= one.from_ns && d.to_ns >= one.to_ns);
      });
      CHECK(covered);
      CHECK_FALSE(all.note(one, "block", ""));
    }
    REQUIRE(all.flush());
  }
  const auto sizes = [&] {
    damage_ledger again{file, metrics, 8};
    REQUIRE(again.load(5'000));
    return again.size();
  };
  const auto before = sizes();
  CHECK(before > 0);
  overwrite(file, 40, "damaged!");
  CHECK(sizes() == before);
  const auto size = fs::file_size(file);
  overwrite(file, size - 12, "damaged!");
  damage_ledger again{file, metrics, 8};
  REQUIRE(again.load(5'000)); // both are: everything may be missing
  std::size_t everyone = 0;
  again.each(1, 1, [&](const damage& d) { everyone += d.of_everyone() && d.from_ns == 0 ? 1 : 0; });
  CHECK(everyone == 1);
  again.forget_before(INT64_MAX);
  CHECK(again.size() == 0);
}
