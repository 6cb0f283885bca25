// Limits over the real spool: what is forced out is a tombstone, what is claimed or small and telling stays.

#include "edge/gateway/spool_limits.hpp"
#include "schemas/model/payload.hpp"
#include "tests/edge/spool/spool_world.hpp"

#include <map>
#include <set>

using namespace skerry;
using namespace skerry::edge;
using namespace skerry::edge::testing;

namespace {

constexpr std::int64_t second = 1'000'000'000;

struct fixture {
  explicit fixture(full_policy policy, std::chrono::seconds thin_step = std::chrono::seconds{60}) {
    config = small_config(directory.path());
    config.bytes_max = 5 << 20;
    limits.policy = policy;
    limits.thin_step = thin_step;
    if (policy == full_policy::thin_oldest)
      config.replace_bytes = config.segment_bytes;
    start();
  }
  void start() {
    store = w.open(config);
    key = {test_edge, store->epoch(), stream_id::telemetry};
    under_test.emplace(
        limits, store, claims, [this] { return free_disk; },
        [this](run made, bool loss) {
          handed_over.push_back(std::move(made));
          losses += loss;
        });
  }
  // Commits until the spool refuses: frames of two sources each second, with bulk beside them.
  void fill() {
    const auto a = some_set(1), b = some_set(2);
    for (;;) {
      std::vector<pending_record> records{frame_record(a, time_ns), frame_record(b, time_ns)};
      records.push_back(event_record(w.random, 20'000, time_ns));
      const std::vector<series_set_ptr> sets{a, b};
      const auto made = store->commit(stream_id::telemetry, records, sets);
      if (!made) {
        REQUIRE(made.error().code == errc::exhausted);
        return;
      }
      last = made.value().header.last();
      time_ns += second;
    }
  }
  struct content {
    std::set<sequence> frames, events, gone;
    std::uint64_t samples_gone = 0;
    std::int64_t from_ns = INT64_MAX, to_ns = INT64_MIN;
    std::set<loss_cause> causes;
  };
  content look() const {
    content out;
    sequence expected = 0;
    for (const auto& [seq, bytes] : read_all(*store, key)) {
      const auto record = decode_record(as_bytes(bytes)).value();
      if (expected != 0)
        REQUIRE(seq == expected); // nothing is unexplained
      expected = seq + sequences_of(record).value();
      if (record.kind == record_kind::frame)
        out.frames.insert(seq);
      else if (record.kind == record_kind::event)
        out.events.insert(seq);
      else {
        REQUIRE(record.kind == record_kind::tombstone);
        const auto stone = decode_tombstone(record.payload).value();
        for (auto s = seq; s <= stone.last; ++s)
          out.gone.insert(s);
        out.samples_gone += stone.samples;
        out.from_ns = std::min(out.from_ns, stone.from_ns);
        out.to_ns = std::max(out.to_ns, stone.to_ns);
        out.causes.insert(stone.cause);
      }
    }
    return out;
  }

  temporary_directory directory;
  world w;
  spool_config config;
  spool_limits_config limits;
  std::shared_ptr<delivery::claims> claims = std::make_shared<delivery::claims>();
  std::shared_ptr<spool> store;
  std::optional<spool_limits> under_test;
  std::uint64_t free_disk = std::uint64_t{1} << 40;
  stream_key key;
  std::int64_t time_ns = 1'700'000'000 * second;
  sequence last = 0;
  std::vector<run> handed_over;
  int losses = 0;
};

} // namespace

TEST_CASE("the oldest records make room, and a tombstone says which, when and how much") {
  fixture f{full_policy::drop_oldest};
  const auto begin_ns = f.time_ns;
  f.fill();
  const auto before = f.store->usage().disk_bytes;
  REQUIRE(f.under_test->make_room());
  CHECK(f.store->usage().disk_bytes < before);
  const auto now = f.look();
  REQUIRE_FALSE(now.gone.empty());
  CHECK(*now.gone.begin() == 1);
  CHECK(now.gone.size() == *now.gone.rbegin()); // the oldest, without a hole
  CHECK(now.gone.size() + now.frames.size() + now.events.size() == f.last);
  CHECK(now.samples_gone == now.gone.size() / 3 * 6);
  CHECK(now.from_ns == begin_ns);
  CHECK(now.to_ns == begin_ns + static_cast<std::int64_t>(now.gone.size() / 3 - 1) * second);
  CHECK(now.causes == std::set{loss_cause::spool_bytes});
  CHECK(f.under_test->counters().dropped_records == now.gone.size());
  CHECK(f.losses == static_cast<int>(f.handed_over.size()));
  f.fill(); // there is room again
  CHECK(f.last > now.gone.size() + now.frames.size() + now.events.size());

  // Again and again: tombstones stay, and the whole is still explained, also after a restart.
  for (int i = 0; i < 20; ++i) {
    REQUIRE(f.under_test->make_room());
    f.fill();
  }
  const auto later = f.look();
  CHECK(later.gone.size() + later.frames.size() + later.events.size() == f.last);
  const auto key = f.key;
  f.under_test.reset();
  REQUIRE(f.store->close());
  f.store.reset();
  f.start();
  f.key = key;
  const auto after = f.look();
  CHECK(after.gone == later.gone);
  CHECK(after.events == later.events);
}

TEST_CASE("what is under way is not dropped, and what is being dropped cannot be claimed") {
  fixture f{full_policy::drop_oldest};
  f.fill();
  REQUIRE(f.claims->claim(f.key, {4, 9}).has_value());
  REQUIRE(f.under_test->make_room());
  const auto now = f.look();
  for (sequence seq = 4; seq <= 9; ++seq)
    CHECK_FALSE(now.gone.contains(seq));
  CHECK(now.gone.contains(3));
  CHECK(now.gone.contains(10));
  CHECK(now.gone.size() + now.frames.size() + now.events.size() == f.last);

  range_set all;
  all.add({1, f.last});
  CHECK(f.claims->block(f.key, all) == ranges({{1, 3}, {10, f.last}}));
  CHECK_FALSE(f.claims->claim(f.key, {10, 11}).has_value());
  f.claims->unblock_all();
  // Whoever sends may have read it before: it has to be told first.
  CHECK_FALSE(f.claims->claim(f.key, {10, 11}).has_value());
  for (const auto& run : f.handed_over)
    f.claims->told(run.header.key, {run.header.first, run.header.last()});
  CHECK(f.claims->claim(f.key, {10, 11}).has_value());
}

TEST_CASE("what is durable at the receiver and not safe goes for want of room, not for its age") {
  fixture f{full_policy::drop_oldest};
  f.fill();
  const auto all = ranges({{1, f.last}});
  f.claims->durable(f.key, all);
  f.limits.age_max = std::chrono::hours{1};
  f.under_test.emplace(
      f.limits, f.store, f.claims, [&f] { return f.free_disk; }, [](const run&, bool) {});
  f.w.clock.now = f.time_ns + 4000 * second;
  f.under_test->enforce();
  CHECK(f.look().gone.empty());
  REQUIRE(f.under_test->make_room());
  CHECK(f.look().causes == std::set{loss_cause::spool_bytes});
  f.claims->release_all();
  f.under_test->enforce();
  CHECK(f.look().causes.contains(loss_cause::spool_age));
}

TEST_CASE("thinning keeps the first frame of each step and source, and says so") {
  fixture f{full_policy::thin_oldest};
  f.config.bytes_max = 5 << 20;
  const auto a = some_set(1), b = some_set(2);
  const std::vector<series_set_ptr> sets{a, b};
  std::map<sequence, std::int64_t> times;
  for (;;) {
    std::vector<pending_record> records;
    for (int i = 0; i < 50; ++i, f.time_ns += second) {
      records.push_back(frame_record(a, f.time_ns));
      records.push_back(frame_record(b, f.time_ns));
    }
    const auto made = f.store->commit(stream_id::telemetry, records, sets);
    if (!made)
      break;
    for (std::size_t i = 0; i < records.size(); ++i)
      times[made.value().header.first + i] = records[i].time_ns;
    f.last = made.value().header.last();
  }
  REQUIRE(f.under_test->make_room());
  const auto now = f.look();
  CHECK(now.causes == std::set{loss_cause::thinned});
  CHECK(now.gone.size() + now.frames.size() == f.last);
  CHECK(f.under_test->counters().thinned_records == now.gone.size());
  CHECK(f.losses == 0);
  // Within the thinned part each source has one frame in each minute.
  std::map<std::pair<bool, std::int64_t>, int> kept;
  const auto thinned_to = *now.gone.rbegin();
  for (const auto seq : now.frames)
    if (seq < thinned_to)
      ++kept[{seq % 2 == 0, times[seq] / (60 * second)}];
  CHECK(kept.size() > 10);
  for (const auto& [where, count] : kept)
    CHECK(count == 1);
  // Thinned already, the oldest part goes.
  for (int i = 0; i < 200 && f.under_test->counters().dropped_records == 0; ++i)
    if (!f.under_test->make_room())
      break;
  CHECK(f.under_test->counters().dropped_records > 0);
  const auto later = f.look();
  CHECK(later.gone.size() + later.frames.size() == f.last);
}

TEST_CASE("thinning that leaves much finds room for it") {
  fixture f{full_policy::thin_oldest, std::chrono::seconds{2}};
  const auto a = some_set(1);
  const std::vector<series_set_ptr> sets{a};
  const auto fill = [&] {
    for (;;) {
      std::vector<pending_record> records;
      for (int i = 0; i < 200; ++i, f.time_ns += second)
        records.push_back(frame_record(a, f.time_ns));
      if (!f.store->commit(stream_id::telemetry, records, sets))
        return;
    }
  };
  fill();
  CHECK(f.store->usage().disk_bytes <= f.config.bytes_max - f.config.replace_bytes);
  for (int i = 0; i < 3; ++i) {
    REQUIRE(f.under_test->make_room());
    CHECK(f.store->usage().disk_bytes <= f.config.bytes_max + f.config.reserve_bytes);
    fill();
  }
  CHECK(f.under_test->counters().thinned_records > 0);
  CHECK(f.under_test->counters().dropped_records == 0);
}

TEST_CASE("what stands for lost records does not keep what came after it from going") {
  fixture f{full_policy::drop_oldest};
  f.limits.age_max = std::chrono::hours{1};
  const auto open = [&] {
    const auto key = f.key;
    f.under_test.reset();
    REQUIRE(f.store->close());
    f.store.reset();
    f.start();
    f.key = key;
  };
  f.fill();
  open();
  // All of it is too old, and nothing came since: tombstones alone are left.
  f.w.clock.now = f.time_ns + 4000 * second;
  f.under_test->enforce();
  CHECK(f.look().frames.empty());
  f.under_test->enforce();
  // Then an outage that fills it again: there is always something that can go.
  open();
  f.time_ns = f.w.clock.now;
  for (int i = 0; i < 10; ++i) {
    f.key = {test_edge, f.store->epoch(), stream_id::telemetry};
    f.fill();
    REQUIRE(f.under_test->make_room());
  }
  // And it becomes too old as well.
  f.w.clock.now = f.time_ns + 4000 * second;
  for (int i = 0; i < 3; ++i)
    f.under_test->enforce();
  CHECK(f.look().frames.empty());
}

TEST_CASE("a start with the clock ahead drops nothing for its age") {
  fixture f{full_policy::drop_oldest};
  f.limits.age_max = std::chrono::hours{24 * 7};
  f.fill();
  const auto key = f.key;
  const auto restart = [&] {
    f.under_test.reset();
    REQUIRE(f.store->close());
    f.store.reset();
    f.start();
    f.key = key;
  };
  const auto day = 86'400 * second;
  f.w.clock.now = f.time_ns;
  restart();
  f.w.clock.ahead = 300 * day; // a battery that is empty gives any year
  restart();
  f.under_test->enforce();
  CHECK(f.look().gone.empty());
  // A day of running later it counts as right.
  f.w.clock.now += day + second;
  f.under_test->enforce();
  f.under_test->enforce();
  CHECK(f.look().frames.empty());
}

TEST_CASE("what a clock that ran ahead has stamped does not keep what came later") {
  fixture f{full_policy::drop_oldest};
  f.limits.age_max = std::chrono::hours{1};
  f.under_test.reset();
  REQUIRE(f.store->close());
  f.store.reset();
  f.start();
  const auto day = 86'400 * second;
  const auto a = some_set(1);
  const std::vector<series_set_ptr> sets{a};
  f.w.clock.now += day;
  for (int i = 0; i < 60; ++i) {
    std::vector<pending_record> records{frame_record(a, f.time_ns + day),
                                        event_record(f.w.random, 20'000, f.time_ns + day)};
    REQUIRE(f.store->commit(stream_id::telemetry, records, sets));
  }
  f.w.clock.now -= day;
  f.fill();
  f.w.clock.now = f.time_ns + 3700 * second;
  f.under_test->enforce();
  const auto now = f.look();
  CHECK(now.frames.size() <= 60 + 100); // and those of the segment that they share
  CHECK_FALSE(now.frames.empty());
  CHECK(now.gone.size() > 100);
}

TEST_CASE("times that targets claim neither date what is dropped nor keep it") {
  fixture f{full_policy::drop_oldest};
  f.limits.age_max = std::chrono::hours{1};
  f.under_test.reset();
  REQUIRE(f.store->close());
  f.store.reset();
  f.start();
  const auto begin_ns = f.time_ns;
  const auto a = some_set(1);
  const std::vector<series_set_ptr> sets{a};
  for (int i = 0; i < 10; ++i) {
    std::vector<pending_record> records{frame_record(a, second, 0), // 1970, says its target
                                        event_record(f.w.random, 20'000, f.time_ns),
                                        frame_record(a, 2 * f.time_ns, 0)};
    REQUIRE(f.store->commit(stream_id::telemetry, records, sets));
    f.time_ns += second;
  }
  f.w.clock.now += 3700 * second;
  f.under_test->enforce();
  const auto now = f.look();
  CHECK(now.frames.empty());
  CHECK(now.gone.size() == 30);
  CHECK(now.from_ns == begin_ns);
  CHECK(now.to_ns == f.time_ns - second);
}

TEST_CASE("what is under way in the oldest part does not keep the next from going") {
  fixture f{full_policy::drop_oldest};
  f.fill();
  REQUIRE(f.claims->claim(f.key, {1, 3}).has_value());
  const auto before = f.store->usage().disk_bytes;
  REQUIRE(f.under_test->make_room()); // the rest of the oldest: it frees no file
  REQUIRE(f.under_test->make_room());
  CHECK(f.store->usage().disk_bytes < before);
}

TEST_CASE("to drop the newest means to take nothing") {
  fixture f{full_policy::drop_newest};
  f.fill();
  CHECK_FALSE(f.under_test->make_room());
  CHECK(f.look().gone.empty());
}

TEST_CASE("what the receiver refuses for good goes first, whatever the policy") {
  const auto policy = GENERATE(full_policy::drop_oldest, full_policy::drop_newest, full_policy::thin_oldest);
  fixture f{policy};
  f.fill();
  // Of the parts but the oldest and the one being written the second is refused.
  const auto first = f.store->oldest();
  REQUIRE(first);
  const auto second = f.store->oldest(first->number);
  REQUIRE(second);
  REQUIRE(second->held.size() == 1);
  f.claims->note_refused({{}, {{f.key, second->held[0].second}}});
  const auto before = f.store->usage().disk_bytes;
  REQUIRE(f.under_test->make_room());
  CHECK(f.store->usage().disk_bytes < before);
  const auto gone = f.look().gone;
  CHECK(gone.size() == second->held[0].second.count());
  CHECK(*gone.begin() == second->held[0].second.ranges().front().first);
  CHECK(f.look().causes == std::set{loss_cause::spool_bytes});
  CHECK(f.losses == static_cast<int>(f.handed_over.size()));
  CHECK(f.under_test->counters().dropped_records == gone.size());
  f.fill(); // there is room
  CHECK(f.look().gone == gone);
}

TEST_CASE("a part with something that can be delivered waits until it is delivered") {
  fixture f{full_policy::drop_newest};
  f.fill();
  const auto part = f.store->oldest();
  REQUIRE(part);
  auto refused = part->held[0].second;
  const auto good = refused.ranges().front().first;
  range_set delivered;
  delivered.add({good, good});
  refused.remove(delivered);
  f.claims->note_refused({{}, {{f.key, refused}}});
  CHECK_FALSE(f.under_test->make_room());
  CHECK(f.look().gone.empty());
  // Under way itself: only the rest of it goes.
  REQUIRE(f.store->release(f.key, delivered));
  REQUIRE(f.under_test->make_room());
  CHECK(f.look().gone.size() == refused.count());
}

TEST_CASE("a spool that drops the newest never stays full of what is refused") {
  fixture f{full_policy::drop_newest};
  // An edge further out of which nothing is taken, beside the gateway's own records, which are delivered.
  const stream_key outer{edge_id{0x99}, {1, {7}}, stream_id::telemetry};
  f.claims->note_refused({{outer.edge}, {}});
  sequence next = 1, released = 0;
  int took = 0;
  for (int round = 0; round < 400; ++round) {
    if (round < 200) { // then nothing of it comes any more
      run_builder builder{outer, next};
      const auto event = event_record(f.w.random, 30'000, f.time_ns);
      builder.append(event.kind, event.time_ns, event.host, event.payload);
      std::vector<run> runs;
      runs.push_back(std::move(builder).finish());
      auto adopted = f.store->adopt(runs, {});
      for (int i = 0; i < 4 && !adopted && f.under_test->make_room(); ++i)
        adopted = f.store->adopt(runs, {});
      REQUIRE(adopted);
      ++next;
    }
    const std::vector<pending_record> own{event_record(f.w.random, 50'000, f.time_ns)};
    auto committed = f.store->commit(stream_id::telemetry, own, {});
    for (int i = 0; i < 4 && !committed && f.under_test->make_room(); ++i)
      committed = f.store->commit(stream_id::telemetry, own, {});
    INFO("round " << round);
    REQUIRE(committed);
    ++took;
    f.time_ns += second;
    if (const auto last = committed.value().header.last(); last > 3) { // the link is a little behind
      range_set done;
      done.add({released + 1, last - 3});
      REQUIRE(f.store->release(f.key, done));
      released = last - 3;
    }
  }
  CHECK(took == 400);
  // Every record of it is there, or a tombstone stands for it.
  sequence expected = 1;
  for (const auto& [seq, bytes] : read_all(*f.store, outer)) {
    CHECK(seq == expected);
    expected = seq + sequences_of(decode_record(as_bytes(bytes)).value()).value();
  }
  CHECK(expected == next);
}

TEST_CASE("tombstones that nobody takes keep no segment each") {
  fixture f{full_policy::drop_newest};
  sequence released = 0;
  const auto turn_over = [&] { // the segment that is written is filled with what is delivered at once
    for (int i = 0; i < 12; ++i) {
      const std::vector<pending_record> own{event_record(f.w.random, 100'000, f.time_ns)};
      auto committed = f.store->commit(stream_id::telemetry, own, {});
      if (!committed && f.under_test->make_room())
        committed = f.store->commit(stream_id::telemetry, own, {});
      REQUIRE(committed);
      range_set done;
      done.add({released + 1, committed.value().header.last()});
      REQUIRE(f.store->release(f.key, done));
      released = committed.value().header.last();
    }
  };
  delivery::refused_records refused;
  for (std::uint64_t i = 1; i <= 12; ++i) {
    const stream_key outer{edge_id{0x900 + i}, {1, {7}}, stream_id::telemetry};
    refused.edges.insert(outer.edge);
    f.claims->note_refused(refused);
    run_builder builder{outer, 1};
    const auto event = event_record(f.w.random, 1000, f.time_ns);
    builder.append(event.kind, event.time_ns, event.host, event.payload);
    std::vector<run> runs;
    runs.push_back(std::move(builder).finish());
    REQUIRE(f.store->adopt(runs, {}));
    turn_over();
    REQUIRE(f.under_test->make_room()); // its tombstone lies in the segment that is written
    turn_over();
  }
  for (const auto edge : refused.edges)
    CHECK(read_all(*f.store, {edge, {1, {7}}, stream_id::telemetry}).size() == 1);
}

TEST_CASE("what waits for too long, or leaves the disk too little, is dropped") {
  SECTION("age") {
    fixture f{full_policy::drop_oldest};
    f.fill();
    f.limits.age_max = std::chrono::hours{1};
    f.under_test.reset();
    REQUIRE(f.store->close());
    f.store.reset();
    const auto key = f.key;
    f.start();
    f.key = key;
    f.w.clock.now = f.time_ns + 3500 * second;
    f.under_test->enforce();
    CHECK(f.look().gone.empty() == (f.time_ns - 1'700'000'000 * second < 100 * second));
    f.w.clock.now = f.time_ns + 3700 * second;
    f.under_test->enforce();
    const auto now = f.look();
    CHECK(now.frames.empty());
    CHECK(now.causes == std::set{loss_cause::spool_age});
  }
  SECTION("free disk") {
    fixture f{full_policy::drop_oldest};
    f.fill();
    f.limits.free_disk_min = 1 << 30;
    f.under_test.reset();
    REQUIRE(f.store->close());
    f.store.reset();
    const auto key = f.key;
    f.start();
    f.key = key;
    f.under_test->enforce();
    CHECK(f.look().gone.empty());
    f.free_disk = 1 << 20;
    f.under_test->enforce();
    CHECK(f.look().causes == std::set{loss_cause::spool_disk});
  }
}

namespace {

// Tombstones that the stream holds, and the longest time that one of them says.
std::vector<tombstone> stones_of(const fixture& f) {
  std::vector<tombstone> out;
  for (const auto& [seq, bytes] : read_all(*f.store, f.key)) {
    const auto record = decode_record(as_bytes(bytes)).value();
    if (record.kind == record_kind::tombstone)
      out.push_back(decode_tombstone(record.payload).value());
  }
  return out;
}

} // namespace

TEST_CASE("a spool that is full for long holds few tombstones: neighbours become one") {
  fixture f{full_policy::drop_oldest};
  const auto begin_ns = f.time_ns;
  std::size_t most = 0;
  f.fill();
  for (int i = 0; i < 150; ++i) {
    REQUIRE(f.under_test->make_room());
    f.fill();
    most = std::max(most, stones_of(f).size());
  }
  CHECK(most <= 4); // the one, and those in the part that is being written
  const auto now = f.look();
  CHECK(now.gone.size() + now.frames.size() + now.events.size() == f.last);
  CHECK(now.samples_gone == f.under_test->counters().dropped_samples);
  CHECK(now.gone.size() == f.under_test->counters().dropped_records);
  CHECK(now.from_ns == begin_ns);
  CHECK(now.causes == std::set{loss_cause::spool_bytes});
  // Whoever sends was told of every tombstone that took another's place.
  range_set told;
  for (const auto& run : f.handed_over)
    told.add({run.header.first, run.header.last()});
  for (const auto seq : now.gone)
    REQUIRE(told.contains(seq));
}

TEST_CASE("a spool that thins for long holds few tombstones too") {
  fixture f{full_policy::thin_oldest, std::chrono::seconds{4}};
  const auto a = some_set(1);
  const std::vector<series_set_ptr> sets{a};
  int looked = 0;
  while (f.under_test->counters().dropped_records < 50'000) {
    REQUIRE(++looked < 400);
    for (;;) {
      std::vector<pending_record> records;
      for (int j = 0; j < 300; ++j, f.time_ns += second)
        records.push_back(frame_record(a, f.time_ns));
      const auto made = f.store->commit(stream_id::telemetry, records, sets);
      if (!made)
        break;
      f.last = made.value().header.last();
    }
    REQUIRE(f.under_test->make_room());
  }
  const auto now = f.look();
  CHECK(now.gone.size() + now.frames.size() == f.last);
  CHECK(now.samples_gone == 3 * now.gone.size()); // nothing is counted twice
  CHECK(now.causes == std::set{loss_cause::thinned, loss_cause::spool_bytes});
  CHECK(stones_of(f).size()
        <= now.frames.size() + 4); // one between what stays of each step, and what went before
}

TEST_CASE("tombstones that are under way, or of another cause, are left alone") {
  fixture f{full_policy::drop_oldest};
  f.fill();
  REQUIRE(f.under_test->make_room());
  const auto first = stones_of(f);
  REQUIRE(first.size() == 1);
  for (const auto& run : f.handed_over)
    f.claims->told(run.header.key, {run.header.first, run.header.last()});
  SECTION("under way") {
    REQUIRE(f.claims->claim(f.key, {1, first[0].last}).has_value());
    for (int i = 0; i < 5; ++i) {
      f.fill();
      REQUIRE(f.under_test->make_room());
    }
    CHECK(stones_of(f).front().last == first[0].last);
    range_set all;
    all.add({1, first[0].last});
    f.claims->release(f.key, all);
    f.fill();
    for (int i = 0; i < 3; ++i)
      REQUIRE(f.under_test->make_room());
  }
  SECTION("another cause") {
    f.free_disk = 1 << 20;
    for (int i = 0; i < 5; ++i) {
      f.fill();
      REQUIRE(f.under_test->make_room());
    }
    const auto now = stones_of(f);
    CHECK(now.front().last == first[0].last);
    CHECK(now.front().cause == loss_cause::spool_bytes);
    CHECK(now.back().cause == loss_cause::spool_disk);
  }
  const auto now = f.look();
  CHECK(now.gone.size() + now.frames.size() + now.events.size() == f.last);
}

TEST_CASE("limits do to each kind what the table says") {
  for (const bool thin : {false, true}) {
    fixture f{thin ? full_policy::thin_oldest : full_policy::drop_oldest};
    std::vector<pending_record> records;
    std::map<sequence, record_kind> kinds;
    for (const int number : {2, 3, 5, 6, 8, 100, 200}) {
      auto record = event_record(f.w.random, 100, f.time_ns);
      record.kind = static_cast<record_kind>(number);
      records.push_back(std::move(record));
      kinds.emplace(records.size(), static_cast<record_kind>(number));
    }
    REQUIRE(f.store->commit(stream_id::telemetry, records, {}));
    const auto rest = [&] {
      std::map<sequence, record_kind> out;
      for (const auto& [seq, bytes] : read_all(*f.store, f.key))
        if (const auto record = decode_record(as_bytes(bytes)).value(); seq <= kinds.size())
          out.emplace(seq, record.kind);
      std::erase_if(out, [](const auto& one) { return one.second == record_kind::tombstone; });
      return out;
    };
    const auto set = some_set(1);
    for (bool full = !thin; thin && !full; f.time_ns += second) // frames alone are worth thinning
      full = !f.store->commit(stream_id::telemetry, std::vector(50, frame_record(set, f.time_ns)), {{set}});
    if (!thin)
      f.fill();
    REQUIRE(f.under_test->make_room());
    auto expected = kinds;
    if (!thin)
      std::erase_if(expected, [](const auto& one) { return policy_of(one.second).may_be_forced_out; });
    CHECK(rest() == expected);
    CHECK(expected.size() == (thin ? 7 : 2));
  }
}

TEST_CASE("an alert is never dropped") {
  fixture f{full_policy::drop_oldest};
  std::vector<pending_record> alerts{event_record(f.w.random, 100)};
  const auto alert = f.store->commit(stream_id::alert, alerts, {});
  REQUIRE(alert);
  f.fill();
  for (int i = 0; i < 10; ++i)
    f.under_test->make_room();
  CHECK(read_all(*f.store, {test_edge, f.store->epoch(), stream_id::alert}).size() == 1);
}

TEST_CASE("an alert keeps no part of the spool for itself") {
  fixture f{full_policy::drop_oldest};
  std::vector<pending_record> alerts{event_record(f.w.random, 100)};
  REQUIRE(f.store->commit(stream_id::alert, alerts, {}));
  f.fill();
  const auto first = f.store->oldest()->number;
  REQUIRE(f.under_test->make_room());
  CHECK(f.store->oldest()->number > first); // its file is gone
  CHECK(read_all(*f.store, {test_edge, f.store->epoch(), stream_id::alert}).size() == 1);
}

TEST_CASE("alerts that fill their part of the reserve leave tombstones the rest") {
  fixture f{full_policy::drop_oldest};
  REQUIRE(f.store->close());
  f.under_test.reset();
  f.store.reset();
  f.config.reserve_bytes = 256 << 10;
  f.start();
  f.fill();
  std::size_t alerts = 0;
  while (f.store->commit(stream_id::alert, event_records(f.w.random, 1, 4'000), {}))
    ++alerts;
  CHECK(alerts > 10);
  CHECK(f.store->usage().disk_bytes > f.config.bytes_max);
  CHECK(f.store->usage().disk_bytes <= f.config.bytes_max + f.config.reserve_bytes / 2);
  REQUIRE(f.under_test->make_room());
  REQUIRE(f.store->commit(stream_id::telemetry, event_records(f.w.random, 1, 20'000), {}));
  CHECK(read_all(*f.store, {test_edge, f.store->epoch(), stream_id::alert}).size() == alerts);
}
