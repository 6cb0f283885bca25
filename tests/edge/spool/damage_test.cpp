// Flipped bits, cut files, zeroed pages anywhere in a spool: it opens, it gives back every record whose bytes
// were not touched, and it names what is gone.

#include "edge/spool/segment.hpp"
#include "edge/spool/verify.hpp"
#include "tests/edge/spool/spool_world.hpp"

#include <algorithm>
#include <fstream>
#include <set>

using namespace skerry;
using namespace skerry::edge;
using namespace skerry::edge::testing;

namespace {

constexpr std::uint64_t page = 4096;

std::string slurp(const fs::path& path) {
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

void spill(const fs::path& path, const std::string& content) {
  std::ofstream{path, std::ios::binary | std::ios::trunc} << content;
}

// A spool with a few segments of small and large runs of two epochs and two streams, and what it holds.
struct filled {
  std::map<stream_key, std::map<sequence, std::string>> records;
  std::vector<series_set_ptr> sets;
};

filled fill(world& w, const fs::path& directory, bool clean) {
  filled out;
  for (int epoch = 0; epoch < 2; ++epoch) {
    const auto s = w.open(small_config(directory));
    for (int i = 0; i < 60; ++i) {
      const auto stream = i % 5 == 0 ? stream_id::alert : stream_id::telemetry;
      auto records =
          event_records(w.random, 1 + w.random.below(20), 10 + w.random.below(i % 3 == 0 ? 5000 : 200));
      std::vector<series_set_ptr> sets;
      if (i % 10 == 0) {
        sets.push_back(some_set(w.random.below(1000), 100));
        records.push_back(frame_record(sets.back(), i));
        out.sets.push_back(sets.back());
      }
      const auto made = s->commit(stream, records, sets);
      REQUIRE(made);
      expect_run(out.records[made.value().header.key], made.value());
    }
    if (clean)
      REQUIRE(s->close());
  }
  return out;
}

struct harm {
  fs::path file;
  std::string description;
  std::set<std::uint64_t> pages; // that were touched
};

harm do_harm(world& w, const fs::path& directory) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator{directory})
    if (entry.is_regular_file() && entry.file_size() > 0 && entry.path().filename() != "RESERVE")
      files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  // Mostly the segments, as most bytes are there.
  std::vector<fs::path> segments;
  for (const auto& file : files)
    if (file.filename() == "data.mdb")
      segments.push_back(file);
  harm out;
  out.file = w.random.below(5) == 0 ? files[w.random.below(files.size())]
                                    : segments[w.random.below(segments.size())];
  auto content = slurp(out.file);
  const auto pages = (content.size() + page - 1) / page;
  switch (w.random.below(5)) {
  case 0: {
    const auto keep = w.random.below(content.size());
    content.resize(keep);
    out.description = fmt::format("cut to {} bytes", keep);
    for (auto p = keep / page; p < pages; ++p)
      out.pages.insert(p);
    break;
  }
  case 1: {
    const auto p = w.random.below(std::min<std::uint64_t>(pages, 1 + w.random.below(pages)));
    std::fill(content.begin() + static_cast<std::ptrdiff_t>(p * page),
              content.begin()
                  + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>((p + 1) * page, content.size())),
              '\0');
    out.description = fmt::format("page {} zeroed", p);
    out.pages.insert(p);
    break;
  }
  case 2: {
    const auto p = w.random.below(pages);
    for (auto i = p * page; i < std::min<std::uint64_t>((p + 1) * page, content.size()); ++i)
      content[i] = static_cast<char>(w.random.engine());
    out.description = fmt::format("page {} overwritten with noise", p);
    out.pages.insert(p);
    break;
  }
  default: {
    const auto flips = 1 + w.random.below(8);
    out.description = fmt::format("{} bits flipped", flips);
    for (std::uint64_t i = 0; i < flips; ++i) {
      // Half of them in the first pages and in page headers, where the trees are.
      auto at = w.random.below(content.size());
      if (w.random.below(2) == 0)
        at = std::min<std::uint64_t>(at / page * page + w.random.below(64), content.size() - 1);
      if (w.random.below(4) == 0)
        at = w.random.below(std::min<std::uint64_t>(content.size(), 2 * page));
      content[at] = static_cast<char>(content[at] ^ (1 << w.random.below(8)));
      out.pages.insert(at / page);
    }
  }
  }
  spill(out.file, content);
  return out;
}

// Records none of whose bytes, wherever they stand in the file, lie in a page that was touched.
bool untouched(const std::string& before, const std::string& record, const std::set<std::uint64_t>& pages) {
  for (auto at = before.find(record); at != std::string::npos; at = before.find(record, at + 1)) {
    bool clear = true;
    for (auto p = at / page; p <= (at + record.size() - 1) / page; ++p)
      clear = clear && !pages.contains(p);
    if (clear)
      return true;
  }
  return false;
}

void round_of_damage(std::uint64_t seed) {
  INFO("SKERRY_SEED=" << seed);
  temporary_directory dir;
  world w{seed};
  const bool clean = w.random.below(2) == 0;
  const auto held = fill(w, dir.path(), clean);
  std::map<fs::path, std::string> before;
  for (const auto& entry : fs::recursive_directory_iterator{dir.path() / "segments"})
    if (entry.is_regular_file())
      before[entry.path()] = slurp(entry.path());
  const auto harmed = do_harm(w, dir.path());
  INFO(harmed.file << ": " << harmed.description << (clean ? ", after an orderly stop" : ", after a kill"));

  const auto s = w.open(small_config(dir.path()));
  CHECK(s->epoch().boot_counter == 3);
  std::uint64_t missing = 0;
  for (const auto& [key, records] : held.records) {
    const auto found = read_all(*s, key);
    const auto state = state_of(*s, key);
    for (const auto& [seq, bytes] : records) {
      const auto it = found.find(seq);
      if (it != found.end()) {
        CHECK(it->second == bytes);
        continue;
      }
      ++missing;
      INFO(to_string(key) << " record " << seq);
      // The strong bound: only records of the damaged pages may be missing…
      const auto hit = before.find(harmed.file);
      REQUIRE(hit != before.end());
      CHECK_FALSE(untouched(hit->second, bytes, harmed.pages));
      // …and they are not silently taken for released, unless nothing that named them is left.
      if (state) {
        CHECK_FALSE(state->released.contains(seq));
        CHECK((state->lost.contains(seq) || seq > state->last));
      }
    }
    for (const auto& [seq, bytes] : found)
      CHECK(records.contains(seq));
  }
  if (missing != 0)
    CHECK(w.metric("skerry_spool_segments_damaged_total") + static_cast<double>(s->report().damaged.size())
          > 0);
  for (const auto& set : held.sets) {
    const auto found = s->find_set(test_edge, set->hash);
    if (found && found.value())
      CHECK(found.value().value()->hash == set->hash);
    else if (!found)
      CHECK(found.error().code == errc::corrupt);
  }
  // It goes on: commits, drains, closes, opens again with the same content.
  REQUIRE(s->commit(stream_id::telemetry, event_records(w.random, 3, 100), {}));
  for (const auto& state : s->streams()) {
    CHECK(read_all(*s, state.key).size() >= (state.held.empty() ? 0u : 1u));
    auto all = state.held;
    all.add(state.lost);
    REQUIRE(s->release(state.key, all));
  }
  for (const auto& state : s->streams()) {
    CHECK(state.held.empty());
    CHECK(state.lost.empty());
  }
  REQUIRE(s->close());
}

} // namespace

TEST_CASE("damage anywhere costs at most the records that it hit") {
  if (std::getenv("SKERRY_SEED") != nullptr) {
    round_of_damage(seed_of(1));
    return;
  }
  const char* rounds = std::getenv("SKERRY_ROUNDS");
  for (std::uint64_t seed = 1; seed <= (rounds == nullptr ? 100 : std::strtoull(rounds, nullptr, 10)); ++seed)
    round_of_damage(seed);
}

TEST_CASE("damage while the spool is open is found by reading, and repaired") {
  temporary_directory dir;
  world w{seed_of(7)};
  const auto s = w.open(small_config(dir.path()));
  const stream_key key{test_edge, s->epoch(), stream_id::telemetry};
  std::map<sequence, std::string> expected;
  for (int i = 0; i < 40; ++i)
    expect_run(expected, s->commit(stream_id::telemetry, event_records(w.random, 10, 5000), {}).value());
  REQUIRE(s->usage().segments >= 2);
  const auto victim = expected.find(w.random.below(expected.size() / 3) + 1);
  for (const auto& entry : fs::recursive_directory_iterator{dir.path() / "segments"}) {
    if (!entry.is_regular_file())
      continue;
    auto content = slurp(entry.path());
    const auto at = content.find(victim->second);
    if (at == std::string::npos)
      continue;
    content[at + 100] = static_cast<char>(content[at + 100] ^ 4);
    spill(entry.path(), content);
  }
  const auto lost = victim->first;
  expected.erase(victim);
  CHECK(read_all(*s, key) == expected);
  CHECK(state_of(*s, key)->lost == ranges({{lost, lost}}));
  CHECK(w.metric("skerry_spool_segments_damaged_total") == 1);
  CHECK(w.metric("skerry_spool_records_lost_total") == 1);
  CHECK(fs::exists(dir.path() / "damaged"));
  REQUIRE(s->commit(stream_id::telemetry, event_records(w.random, 1, 50), {}));

  SECTION("a tombstone fills the hole") {
    run_builder b{key, lost};
    b.append(record_kind::event, 1, "", as_bytes("stands for what was lost"));
    REQUIRE(s->adopt(std::vector{std::move(b).finish()}, {}));
    CHECK(state_of(*s, key)->lost.empty());
    CHECK(state_of(*s, key)->held == ranges({{1, 401}}));
  }
}

TEST_CASE("the active segment cut off or damaged while it is open") {
  temporary_directory dir;
  world w;
  const auto s = w.open(small_config(dir.path()));
  const stream_key key{test_edge, s->epoch(), stream_id::telemetry};
  for (int i = 0; i < 5; ++i)
    REQUIRE(s->commit(stream_id::telemetry, event_records(w.random, 10, 5000), {}));
  fs::resize_file(dir.path() / "segments" / "00000001" / "data.mdb", 100'000);
  const auto refused = s->commit(stream_id::telemetry, event_records(w.random, 10, 50), {});
  const auto made = refused ? refused : s->commit(stream_id::telemetry, event_records(w.random, 10, 50), {});
  REQUIRE(made);
  CHECK(made.value().header.first == 51);
  const auto found = read_all(*s, key);
  CHECK(found.size() >= 10 + 10);
  CHECK(found.size() + state_of(*s, key)->lost.count() == 60);
}

TEST_CASE("verify-segment tells sound from damaged") {
  temporary_directory dir;
  world w;
  {
    const auto s = w.open(small_config(dir.path()));
    REQUIRE(s->commit(stream_id::telemetry, event_records(w.random, 10, 5000), {}));
  }
  const auto file = dir.path() / "segments" / "00000001" / "data.mdb";
  CHECK(verify_segment_main(file) == 0);
  CHECK(verify_segment_main(file.parent_path()) == 0);
  auto content = slurp(file);
  content[content.size() / 2] ^= 1;
  spill(file, content);
  CHECK(verify_segment_main(file) == 1);
  CHECK(verify_segment_main(dir.path() / "nothing") == 2);
}

TEST_CASE("a segment that was deleted by hand is a loss, not a release") {
  temporary_directory dir;
  world w;
  stream_key key;
  {
    const auto s = w.open(small_config(dir.path()));
    key = {test_edge, s->epoch(), stream_id::telemetry};
    for (int i = 0; i < 20; ++i)
      REQUIRE(s->commit(stream_id::telemetry, event_records(w.random, 1, 100'000), {}));
    REQUIRE(s->close());
  }
  fs::remove_all(dir.path() / "segments" / "00000001");
  const auto s = w.open(small_config(dir.path()));
  const auto state = state_of(*s, key);
  CHECK(state->lost.count() + state->held.count() == 20);
  CHECK(state->lost.count() > 3);
  CHECK(state->released.empty());
  CHECK_FALSE(s->report().damaged.empty());
}
