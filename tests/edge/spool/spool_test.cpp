// The contract of spool.hpp, point by point.

#include "schemas/model/payload.hpp"
#include "tests/edge/spool/spool_world.hpp"

#include <thread>

using namespace skerry;
using namespace skerry::edge;
using namespace skerry::edge::testing;

TEST_CASE("what was committed is read back, and again after an orderly stop") {
  temporary_directory dir;
  world w;
  std::map<sequence, std::string> expected;
  stream_key key;
  {
    const auto s = w.open(small_config(dir.path()));
    CHECK(s->report().clean);
    CHECK(s->epoch().boot_counter == 1);
    key = {test_edge, s->epoch(), stream_id::telemetry};
    for (int i = 0; i < 20; ++i) {
      const auto made = s->commit(stream_id::telemetry, event_records(w.random, 1 + i % 7, 100 * i), {});
      REQUIRE(made);
      CHECK(made.value().header.key == key);
      CHECK(made.value().header.first == expected.size() + 1);
      expect_run(expected, made.value());
    }
    CHECK(read_all(*s, key) == expected);
    CHECK(read_all(*s, key, 1) == expected); // at least one record, whatever the limit
    CHECK(s->usage().records == expected.size());
    CHECK(s->usage().oldest_ns == 1000);
    REQUIRE(s->close());
    CHECK(s->commit(stream_id::telemetry, event_records(w.random, 1, 1), {}).error().code == errc::cancelled);
  }
  const auto s = w.open(small_config(dir.path()));
  CHECK(s->report().clean);
  CHECK(s->report().records == expected.size());
  CHECK(s->report().last_commit_ns > 1'700'000'000'000'000'000);
  CHECK(s->report().previous_boot_counter == 1);
  CHECK(s->epoch().boot_counter == 2);
  CHECK(read_all(*s, key) == expected);
  const auto state = state_of(*s, key);
  REQUIRE(state);
  CHECK(state->closed);
  CHECK(state->held == ranges({{1, expected.size()}}));
  CHECK(state->last == expected.size());
  std::uint64_t digest;
  std::memcpy(&digest, expected.rbegin()->second.data() + 8, 8);
  CHECK(state->last_digest == digest);
  CHECK(state->released.empty());
}

TEST_CASE("a stop without close is told from an orderly one, and loses nothing") {
  temporary_directory dir;
  world w;
  std::map<sequence, std::string> expected;
  stream_key key;
  {
    const auto s = w.open(small_config(dir.path()));
    key = {test_edge, s->epoch(), stream_id::alert};
    expect_run(expected, s->commit(stream_id::alert, event_records(w.random, 3, 10), {}).value());
  }
  const auto s = w.open(small_config(dir.path()));
  CHECK_FALSE(s->report().clean);
  CHECK(s->report().damaged.empty());
  CHECK(s->report().last_commit_ns != 0);
  CHECK(read_all(*s, key) == expected);
}

TEST_CASE("reads are cut at the size asked for and at holes") {
  temporary_directory dir;
  world w;
  const auto s = w.open(small_config(dir.path()));
  const stream_key key{test_edge, s->epoch(), stream_id::telemetry};
  for (int i = 0; i < 10; ++i)
    REQUIRE(s->commit(stream_id::telemetry, event_records(w.random, 10, 1000), {}));
  const auto part = s->read(key, 5, 5000).value();
  REQUIRE(part);
  CHECK(part->header.first == 5);
  CHECK(part->bytes.view.size() <= 5000);
  CHECK(part->header.record_count == 4);
  const auto over = s->read(key, 8, 20'000).value(); // over the ends of stored runs
  REQUIRE(over);
  CHECK(over->header.record_count > 13);
  REQUIRE(s->release(key, ranges({{1, 3}, {20, 29}})));
  CHECK(s->read(key, 1, 1 << 20).value()->header.first == 4);
  CHECK(s->read(key, 1, 1 << 20).value()->header.last() == 19);
  CHECK(s->read(key, 20, 1 << 20).value()->header.first == 30);
  CHECK_FALSE(s->read(key, 101, 1 << 20).value());
  CHECK_FALSE(s->read({edge_id{9}, s->epoch(), stream_id::alert}, 1, 1).value());
  CHECK(s->usage().records == 87);
}

TEST_CASE("drained segments are deleted, and what was released stays known") {
  temporary_directory dir;
  world w;
  stream_key key;
  {
    const auto s = w.open(small_config(dir.path()));
    key = {test_edge, s->epoch(), stream_id::telemetry};
    for (int i = 0; i < 50; ++i)
      REQUIRE(s->commit(stream_id::telemetry, event_records(w.random, 10, 10'000), {}));
    const auto full = s->usage();
    CHECK(full.segments >= 5);
    REQUIRE(s->release(key, ranges({{1, 400}})));
    CHECK(s->usage().segments < full.segments / 2);
    CHECK(s->usage().disk_bytes < full.disk_bytes / 2);
    std::uint64_t on_disk = 0;
    for (const auto& entry : fs::recursive_directory_iterator{dir.path() / "segments"})
      on_disk += entry.is_regular_file() ? entry.file_size() : 0;
    CHECK(on_disk < full.disk_bytes / 2);
    // killed here: nothing was closed
  }
  {
    const auto s = w.open(small_config(dir.path()));
    const auto state = state_of(*s, key);
    REQUIRE(state);
    // Deletion made the release durable; it is not taken for a loss.
    CHECK(state->lost.empty());
    CHECK(state->held == ranges({{401, 500}}));
    CHECK(state->released == ranges({{1, 400}}));
    REQUIRE(s->release(key, ranges({{401, 500}})));
    CHECK(s->usage().segments == 0);
    CHECK(s->usage().records == 0);
    CHECK(state_of(*s, key)->released == ranges({{1, 500}})); // the last few epochs stay
    REQUIRE(s->close());
  }
  for (int i = 0; i < 6; ++i) {
    const auto s = w.open(small_config(dir.path()));
    const stream_key now{test_edge, s->epoch(), stream_id::telemetry};
    REQUIRE(s->commit(stream_id::telemetry, event_records(w.random, 1, 1), {}));
    REQUIRE(s->release(now, ranges({{1, 1}})));
    REQUIRE(s->close());
  }
  const auto s = w.open(small_config(dir.path()));
  CHECK_FALSE(state_of(*s, key)); // and older ones go
  CHECK(s->streams().size() <= 5);
}

TEST_CASE("a release is remembered with the next commit") {
  temporary_directory dir;
  world w;
  stream_key key;
  {
    const auto s = w.open(small_config(dir.path()));
    key = {test_edge, s->epoch(), stream_id::telemetry};
    REQUIRE(s->commit(stream_id::telemetry, event_records(w.random, 10, 10), {}));
    REQUIRE(s->release(key, ranges({{1, 4}, {8, 9}, {11, 99}})));
    REQUIRE(s->commit(stream_id::telemetry, event_records(w.random, 1, 10), {}));
    REQUIRE(s->release(key, ranges({{5, 5}})));
  }
  const auto s = w.open(small_config(dir.path()));
  const auto state = state_of(*s, key);
  CHECK(state->released == ranges({{1, 4}, {8, 9}})); // the last one was forgotten: it is offered again
  CHECK(state->held == ranges({{5, 7}, {10, 11}}));
}

TEST_CASE("every segment holds the sets that its records name") {
  temporary_directory dir;
  world w;
  const auto set = some_set(1, 200);
  auto config = small_config(dir.path());
  {
    const auto s = w.open(config);
    const stream_key key{test_edge, s->epoch(), stream_id::telemetry};
    REQUIRE(s->commit(stream_id::telemetry, std::vector{frame_record(set, 1)}, std::vector{set}));
    // Filler makes a new segment; the set is then only named by the frame, not given again.
    for (int i = 0; i < 15; ++i)
      REQUIRE(s->commit(stream_id::telemetry, event_records(w.random, 1, 100'000), {}));
    REQUIRE(s->commit(stream_id::telemetry, std::vector{frame_record(set, 2)}, {}));
    CHECK(s->usage().segments >= 2);
    REQUIRE(s->release(key, ranges({{1, 15}})));
    CHECK(s->usage().segments == 1);
    const auto found = s->find_set(test_edge, set->hash);
    REQUIRE(found);
    REQUIRE(found.value());
    CHECK(found.value().value()->hash == set->hash);
    CHECK(found.value().value()->members.size() == 200);
    CHECK_FALSE(s->find_set(edge_id{1}, set->hash).value()); // scoped to the edge
    CHECK(w.metric("skerry_spool_sets_missing_total") == 0);
    REQUIRE(s->commit(stream_id::telemetry, std::vector{frame_record(some_set(77), 3)}, {}));
    CHECK(w.metric("skerry_spool_sets_missing_total") == 1);
    REQUIRE(s->close());
  }
  const auto s = w.open(config);
  CHECK(s->find_set(test_edge, set->hash).value());
}

TEST_CASE("adopted runs keep their identity, and what is known is trimmed") {
  temporary_directory dir;
  world w;
  const stream_key origin{edge_id{77}, {4, {1, 2}}, stream_id::telemetry};
  const auto make = [&](sequence first, int count) {
    run_builder b{origin, first};
    for (int i = 0; i < count; ++i)
      b.append(record_kind::event, 5, "far", as_bytes(fmt::format("record {}", first + i)));
    return std::move(b).finish();
  };
  const auto set = some_set(5);
  const auto s = w.open(small_config(dir.path()));
  REQUIRE(s->adopt(std::vector{make(10, 10), make(1, 3)}, std::vector{spool::adopted_set{edge_id{77}, set}}));
  CHECK(state_of(*s, origin)->held == ranges({{1, 3}, {10, 19}}));
  CHECK(s->find_set(edge_id{77}, set->hash).value());
  REQUIRE(s->release(origin, ranges({{10, 12}})));
  REQUIRE(s->adopt(std::vector{make(2, 20)}, {})); // overlaps what is held and what is released
  CHECK(state_of(*s, origin)->held == ranges({{1, 9}, {13, 21}}));
  CHECK(w.metric("skerry_spool_records_trimmed_total") == 12);
  REQUIRE(s->adopt(std::vector{make(5, 3)}, {}));
  const auto all = read_all(*s, origin);
  CHECK(all.size() == 18);
  for (const auto& [seq, bytes] : all)
    CHECK(bytes.ends_with(fmt::format("record {}", seq)));
  CHECK(s->usage().records == 18);

  SECTION("a tombstone stands for what is not held") {
    const tombstone stone{40, 1, 2, 400, 4000, loss_cause::spool_bytes};
    byte_buffer payload;
    encode_payload(stone, payload);
    run_builder b{origin, 5};
    b.append(record_kind::tombstone, 2, "", payload, 36);
    REQUIRE(s->adopt(std::vector{std::move(b).finish()}, {}));
    CHECK(state_of(*s, origin)->held == ranges({{1, 9}, {13, 40}}));
    const auto read = s->read(origin, 30, 1 << 20).value();
    REQUIRE(read);
    CHECK(read->header.first == 22);
    CHECK(read->header.last() == 40);
    REQUIRE(s->release(origin, ranges({{1, 30}})));
    CHECK(s->read(origin, 1, 1).value()->header.last() == 40);
  }
  SECTION("numbers of the epoch that is written here are only given by commit") {
    run_builder b{{test_edge, s->epoch(), stream_id::telemetry}, 1};
    b.append(record_kind::event, 5, "far", as_bytes("x"));
    CHECK(s->adopt(std::vector{std::move(b).finish()}, {}).error().code == errc::invalid_argument);
  }
}

TEST_CASE("large commits are stored in several runs and come back as one") {
  temporary_directory dir;
  world w;
  const auto s = w.open(small_config(dir.path()));
  const stream_key key{test_edge, s->epoch(), stream_id::telemetry};
  const auto made =
      s->commit(stream_id::telemetry, event_records(w.random, 50, 100'000), {}); // five segments' worth
  REQUIRE(made);
  CHECK(made.value().header.record_count == 50);
  std::map<sequence, std::string> expected;
  expect_run(expected, made.value());
  CHECK(read_all(*s, key) == expected);
  const auto all = s->read(key, 1, 100 << 20).value();
  CHECK(std::equal(all->bytes.view.begin(), all->bytes.view.end(), made.value().bytes.view.begin(),
                   made.value().bytes.view.end()));
}

TEST_CASE("bad arguments are refused") {
  temporary_directory dir;
  world w;
  auto config = small_config(dir.path());
  config.segment_bytes = 1000;
  CHECK(w.try_open(config).error().code == errc::invalid_argument);
  config = small_config(dir.path());
  config.edge = edge_id::none;
  CHECK(w.try_open(config).error().code == errc::invalid_argument);
  const auto s = w.open(small_config(dir.path()));
  CHECK(s->commit(stream_id::telemetry, {}, {}).error().code == errc::invalid_argument);
  CHECK(s->commit(stream_id{9}, event_records(w.random, 1, 1), {}).error().code == errc::invalid_argument);
  auto bad = event_record(w.random, 1);
  bad.host = std::string(300, 'x');
  CHECK(s->commit(stream_id::telemetry, std::vector{bad}, {}).error().code == errc::invalid_argument);
  REQUIRE(s->release({edge_id{3}, {}, stream_id::alert}, ranges({{1, 5}})));
}

TEST_CASE("bytes_max is kept, and draining makes room") {
  temporary_directory dir;
  world w;
  auto config = small_config(dir.path());
  config.bytes_max = 4 << 20;
  const auto s = w.open(config);
  const stream_key key{test_edge, s->epoch(), stream_id::telemetry};
  std::map<sequence, std::string> expected;
  for (;;) {
    const auto made = s->commit(stream_id::telemetry, event_records(w.random, 1, 50'000), {});
    if (!made) {
      CHECK(made.error().code == errc::exhausted);
      break;
    }
    expect_run(expected, made.value());
    REQUIRE(expected.size() < 100);
  }
  CHECK(expected.size() > 50);
  CHECK(s->usage().disk_bytes <= config.bytes_max);
  CHECK(w.metric("skerry_spool_exhausted_total") == 1);
  CHECK(read_all(*s, key) == expected);
  REQUIRE(s->release(key, ranges({{1, 30}})));
  const auto again = s->commit(stream_id::telemetry, event_records(w.random, 1, 50'000), {});
  REQUIRE(again);
  CHECK(again.value().header.first == expected.size() + 1); // no number was spent on what was refused
}

TEST_CASE("readers on other threads see whole runs while the writer commits, releases and deletes") {
  temporary_directory dir;
  world w;
  const auto s = w.open(small_config(dir.path()));
  const stream_key key{test_edge, s->epoch(), stream_id::telemetry};
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> read_count{0};
  std::atomic<std::uint64_t> wrong{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 3; ++t)
    readers.emplace_back([&] {
      sequence next = 1;
      while (!stop) {
        const auto got = s->read(key, next, 30'000);
        if (!got && got.error().code == errc::corrupt)
          continue; // another reader raced with a commit, and the segment is being looked at: ask again
        if (!got || (got.value() && !decode_records(*got.value())))
          ++wrong;
        else if (got.value())
          next = got.value()->header.last() + 1, ++read_count;
        else
          next = 1;
        (void)s->streams();
        (void)s->usage();
        (void)s->find_set(test_edge, set_hash{});
      }
    });
  sequence last = 0;
  for (int i = 0; i < 300; ++i) {
    const auto made =
        s->commit(stream_id::telemetry, event_records(w.random, 1 + i % 9, 1 + (i % 13) * 700), {});
    REQUIRE(made);
    last = made.value().header.last();
    if (i % 10 == 9)
      REQUIRE(s->release(key, ranges({{1, last - 30}})));
  }
  stop = true;
  for (auto& reader : readers)
    reader.join();
  CHECK(wrong == 0);
  CHECK(read_count > 0);
  CHECK(w.metric("skerry_spool_segments_damaged_total") == 0);
}

TEST_CASE("small runs that become backlog are packed, and fill their pages") {
  temporary_directory dir;
  world w;
  auto config = small_config(dir.path());
  config.segment_bytes = 16 << 20;
  std::map<sequence, std::string> expected;
  stream_key key;
  const auto bytes = GENERATE(900, 4960);
  {
    const auto s = w.open(config);
    key = {test_edge, s->epoch(), stream_id::telemetry};
    for (int i = 0; i < 1000; ++i) {
      expect_run(expected, s->commit(stream_id::telemetry,
                                     event_records(w.random, 1, static_cast<std::size_t>(bytes)), {})
                               .value());
      if (i % 50 == 0)
        expect_run(expected, s->commit(stream_id::telemetry, event_records(w.random, 2, 3000), {}).value());
      if (i % 300 == 0)
        REQUIRE(s->commit(stream_id::alert, event_records(w.random, 1, 50), {}));
    }
    CHECK(read_all(*s, key) == expected);
    CHECK(s->usage().records == expected.size() + 4);
    // What is not packed yet and the pages that packing freed are a constant part.
    CHECK(static_cast<double>(s->usage().disk_bytes)
          < 1.05 * static_cast<double>(s->usage().bytes) + 4.0 * (64 << 10));
  }
  const auto s = w.open(config); // the newest segment is verified: its index agrees
  CHECK(s->report().damaged.empty());
  CHECK(read_all(*s, key) == expected);
}
