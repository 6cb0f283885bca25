// What was released may be kept for reading: offered to nobody, never in the way of what waits, first to go.

#include "tests/edge/spool/spool_world.hpp"

#include <set>

using namespace skerry;
using namespace skerry::edge;
using namespace skerry::edge::testing;

namespace {

constexpr std::int64_t hour = 3'600'000'000'000;

spool_config keeping(const fs::path& directory) {
  auto config = small_config(directory);
  config.local_retention = std::chrono::hours{1};
  return config;
}

// Commits until a new segment has begun, and gives the key.
stream_key fill_segment(spool& s, world& w) {
  const auto before = s.usage().segments;
  while (s.usage().segments <= before)
    REQUIRE(s.commit(stream_id::telemetry,
                     std::vector<pending_record>{event_record(w.random, 50'000, w.clock.now)}, {}));
  return {test_edge, s.epoch(), stream_id::telemetry};
}

range_set all_of(const spool& s, const stream_key& key) {
  range_set out;
  out.add({1, state_of(s, key)->last});
  return out;
}

std::size_t scanned(const spool& s, std::int64_t from_ns = INT64_MIN, std::int64_t to_ns = INT64_MAX) {
  std::set<std::pair<stream_key, sequence>> found;
  REQUIRE(s.scan(from_ns, to_ns, [&](const run& one, const spool::set_finder&) -> result<void> {
    BOOST_OUTCOME_TRY(records, decode_records(one));
    for (const auto& record : records)
      found.emplace(one.header.key, record.seq);
    return ok();
  }));
  return found.size();
}

} // namespace

TEST_CASE("a released segment is kept for reading and offered to nobody, over a restart too") {
  temporary_directory dir;
  world w;
  stream_key key;
  std::uint64_t last = 0;
  {
    const auto s = w.open(keeping(dir.path()));
    fill_segment(*s, w);
    key = fill_segment(*s, w);
    last = state_of(*s, key)->last;
    REQUIRE(s->release(key, all_of(*s, key)));
    CHECK(read_all(*s, key).empty());
    CHECK(s->usage().records == 0);
    CHECK(s->usage().kept_bytes > 0);
    CHECK(scanned(*s) == last);
    REQUIRE(s->close());
  }
  const auto s = w.open(keeping(dir.path()));
  CHECK(s->report().damaged.empty());
  CHECK(s->report().records == 0);
  CHECK(read_all(*s, key).empty());
  CHECK(scanned(*s) == last);
}

TEST_CASE("without a crash nothing that was released is offered again, whatever the number of openings") {
  temporary_directory dir;
  world w;
  for (std::uint64_t i = 0; i < 12; ++i) {
    const auto s = w.open(keeping(dir.path()));
    CHECK(s->report().records == 0);
    for (const auto& stream : s->streams())
      CHECK(stream.held.empty());
    CHECK(scanned(*s) == i);
    REQUIRE(s->commit(stream_id::telemetry,
                      std::vector<pending_record>{event_record(w.random, 10, w.clock.now)}, {}));
    REQUIRE(s->release({test_edge, s->epoch(), stream_id::telemetry}, ranges({{1, 1}})));
    REQUIRE(s->close());
  }
}

TEST_CASE("kept segments go by age and by bytes, the oldest first") {
  temporary_directory dir;
  world w;
  auto config = keeping(dir.path());
  config.local_bytes_max = 5 << 19; // two and a half segments
  const auto s = w.open(config);
  stream_key key;
  for (int i = 0; i < 6; ++i) {
    key = fill_segment(*s, w);
    REQUIRE(s->release(key, all_of(*s, key)));
    CHECK(s->usage().kept_bytes <= config.local_bytes_max);
  }
  CHECK(s->usage().kept_bytes > config.local_bytes_max / 2);
  const auto found = scanned(*s);
  CHECK(found > 0);
  CHECK(found < state_of(*s, key)->last);
  s->trim_kept(false);
  CHECK(scanned(*s) == found);
  w.clock.now += 2 * hour;
  s->trim_kept(false);
  CHECK(s->usage().kept_bytes == 0);
}

TEST_CASE("a start with the clock ahead deletes nothing that is kept") {
  temporary_directory dir;
  world w;
  auto config = keeping(dir.path());
  config.local_retention = std::chrono::hours{24 * 7};
  std::uint64_t last = 0;
  {
    const auto s = w.open(config);
    const auto key = fill_segment(*s, w);
    last = state_of(*s, key)->last;
    REQUIRE(s->release(key, all_of(*s, key)));
    REQUIRE(s->close());
  }
  w.clock.ahead = 365 * 24 * hour;
  for (int start = 0; start < 2; ++start) {
    const auto s = w.open(config);
    s->trim_kept(false);
    CHECK(scanned(*s) == last);
    CHECK(s->usage().clock_ahead > std::chrono::hours{364 * 24});
    CHECK(w.metric("skerry_spool_clock_waits") == 1);
    REQUIRE(s->close());
  }
  // So long has it said so by now that it is believed, the time before a kill included.
  for (int half_hour = 0; half_hour < 47; ++half_hour) {
    const auto s = w.open(config);
    w.clock.now += hour / 2;
    s->trim_kept(false);
    CHECK(scanned(*s) == last);
    REQUIRE(s->close());
  }
  const auto s = w.open(config);
  w.clock.now += hour / 2;
  s->trim_kept(false);
  CHECK(scanned(*s) == 0);
  CHECK(s->usage().clock_ahead.count() == 0);
  CHECK(w.metric("skerry_spool_clock_waits") == 0);
}

TEST_CASE("kept segments give way to what waits, before anything is refused") {
  temporary_directory dir;
  world w;
  auto config = keeping(dir.path());
  config.bytes_max = 5 << 20;
  const auto s = w.open(config);
  stream_key key;
  for (int i = 0; i < 3; ++i)
    key = fill_segment(*s, w);
  const auto released = all_of(*s, key);
  REQUIRE(s->release(key, released));
  REQUIRE(s->usage().kept_bytes > (1 << 20));
  // Now fill with what is not released: nearly all of bytes_max has to be there for it.
  std::uint64_t bytes = 0;
  for (;;) {
    const auto made = s->commit(stream_id::telemetry,
                                std::vector<pending_record>{event_record(w.random, 50'000, w.clock.now)}, {});
    CHECK(s->usage().disk_bytes <= config.bytes_max);
    if (!made) {
      REQUIRE(made.error().code == errc::exhausted);
      break;
    }
    bytes += 50'000;
  }
  CHECK(bytes > (4 << 20));
  CHECK(s->usage().kept_bytes == 0);
  for (const auto& [seq, record] : read_all(*s, key))
    CHECK_FALSE(released.contains(seq));
}

TEST_CASE("a scan takes the segments of its time, and finds sets in them") {
  temporary_directory dir;
  world w;
  const auto s = w.open(keeping(dir.path()));
  const auto set = some_set(7);
  const std::vector<series_set_ptr> sets{set};
  REQUIRE(s->commit(stream_id::telemetry, std::vector<pending_record>{frame_record(set, 5'000)}, sets));
  CHECK(scanned(*s, 0, 4'999) == 0);
  CHECK(scanned(*s, 5'001, 6'000) == 0);
  CHECK(scanned(*s, 5'000, 5'000) == 1);
  bool found = false;
  REQUIRE(s->scan(0, 10'000, [&](const run& one, const spool::set_finder& find) -> result<void> {
    BOOST_OUTCOME_TRY(given, find(one.header.key.edge, set->hash));
    found = given && (*given)->members.size() == 3;
    return ok();
  }));
  CHECK(found);
}

TEST_CASE("what the receiver lost is held again as far as it is still on disk, and may not be trimmed then") {
  temporary_directory dir;
  world w;
  auto config = keeping(dir.path());
  const auto s = w.open(config);
  fill_segment(*s, w);
  const auto key = fill_segment(*s, w);
  const auto last = state_of(*s, key)->last;
  REQUIRE(s->release(key, all_of(*s, key)));
  CHECK(state_of(*s, key)->kept == all_of(*s, key));
  CHECK(read_all(*s, key).empty());
  const auto back = s->take_back(key, ranges({{2, 4}, {last + 1, last + 9}}));
  CHECK(back == ranges({{2, 4}}));
  CHECK(state_of(*s, key)->held == ranges({{2, 4}}));
  CHECK_FALSE(state_of(*s, key)->kept.contains(sequence_range{2, 2}));
  CHECK(read_all(*s, key).size() == 3);
  w.clock.now += 2 * hour;
  s->trim_kept(true); // the segments of what nobody asked for
  CHECK(read_all(*s, key).size() == 3);
  CHECK(s->take_back(key, ranges({{1, last}})).count() < last);
  REQUIRE(s->release(key, all_of(*s, key)));
  CHECK(state_of(*s, key)->held.empty());
  CHECK(read_all(*s, key).empty());
}
