// Streams beside telemetry through gateway and spool: each is committed by itself, alerts first and beyond the limits that
// hold for the rest, up to bounds of their own.

#include "edge/gateway/gateway_core.hpp"
#include "edge/gateway/inbox.hpp"
#include "tests/actor_world.hpp"
#include "tests/edge/spool/spool_world.hpp"

using namespace skerry;
using namespace skerry::edge;
using namespace skerry::edge::testing;

namespace {

constexpr std::uint64_t reserve = 256 << 10;

struct fixture {
  explicit fixture(std::uint64_t bytes_max = 1 << 30) {
    auto settings = small_config(dir.path());
    settings.bytes_max = bytes_max;
    settings.reserve_bytes = reserve;
    store = w.open(settings);
    config.limits.policy = full_policy::drop_newest; // or telemetry would make room
    config.alert_queue_bytes_max = 10'000;
    core.emplace(config, store, w.clock,
                 gateway_core::outputs{[this](delivery::committed_runs runs) {
                                         for (const auto& run : runs.runs)
                                           handed.emplace_back(run.header.key.stream, runs.lane);
                                       },
                                       {}});
  }
  collection made(std::initializer_list<record_kind> kinds, std::size_t bytes = 100) {
    collection out;
    for (const auto kind : kinds) {
      out.records.push_back(event_record(w.random, bytes));
      out.records.back().kind = kind;
    }
    return out;
  }
  collection awaited(std::initializer_list<record_kind> kinds, std::size_t bytes = 100) {
    auto out = made(kinds, bytes);
    out.done = [this](const result<void>& how) { answers.push_back(how ? errc{} : how.error().code); };
    return out;
  }
  void fill() {
    while (store->commit(stream_id::telemetry, event_records(w.random, 1, 20'000), {})) {
    }
  }
  std::vector<record_kind> kinds_of(stream_id stream) const {
    std::vector<record_kind> out;
    for (const auto& [seq, bytes] : read_all(*store, {test_edge, store->epoch(), stream}))
      out.push_back(decode_record(as_bytes(bytes)).value().kind);
    return out;
  }

  temporary_directory dir;
  world w;
  gateway_core_config config;
  std::shared_ptr<spool> store;
  std::optional<gateway_core> core;
  std::vector<std::pair<stream_id, link::lane>> handed;
  std::vector<errc> answers;
};

using kind = record_kind;

} // namespace

TEST_CASE("a collection is parted by the streams of its records' kinds") {
  fixture f;
  int calls = 0;
  std::optional<errc> failed;
  auto mixed =
      f.made({kind::frame, kind::alert_transition, kind::event, kind::alert_transition, record_kind{200}});
  mixed.sets = {some_set(1)};
  mixed.samples = 7;
  mixed.done = [&](const result<void>& how) {
    ++calls;
    if (!how)
      failed = how.error().code;
  };
  auto parts = by_stream(std::move(mixed));
  REQUIRE(parts.size() == 2);
  CHECK(parts.begin()->first == stream_id::alert); // it is committed first
  const auto& alerts = parts[stream_id::alert];
  const auto& rest = parts[stream_id::telemetry];
  CHECK(alerts.records.size() == 2);
  CHECK(alerts.sets.empty());
  CHECK(alerts.samples == 0);
  REQUIRE(rest.records.size() == 3);
  CHECK(rest.records[1].kind == kind::event);
  CHECK(rest.records[2].kind == record_kind{200});
  CHECK(rest.sets.size() == 1);
  CHECK(rest.samples == 7);
  rest.done(fail(errc::io, "the disk"));
  CHECK(calls == 0);
  alerts.done(ok());
  CHECK(calls == 1);
  CHECK(failed == errc::io);

  auto one = f.made({kind::event, kind::watermark});
  one.samples = 3;
  parts = by_stream(std::move(one));
  REQUIRE(parts.size() == 1);
  CHECK(parts[stream_id::telemetry].samples == 3);
  CHECK(parts[stream_id::telemetry].records.size() == 2);
}

TEST_CASE("each stream has its own group, numbers and lane; alerts go first") {
  fixture f;
  f.core->open();
  f.core->take(f.awaited({kind::event, kind::alert_transition, kind::event}));
  f.core->take(f.awaited({kind::alert_transition}));
  REQUIRE(f.core->commit());
  CHECK(f.answers == std::vector<errc>{errc{}, errc{}});
  CHECK(f.handed
        == std::vector{std::pair{stream_id::alert, link::lane::alert},
                       std::pair{stream_id::telemetry, link::lane::live}});
  CHECK(f.kinds_of(stream_id::alert) == std::vector{kind::alert_transition, kind::alert_transition});
  // What tells of the node goes with telemetry.
  CHECK(f.kinds_of(stream_id::telemetry) == std::vector{kind::clock_note, kind::event, kind::event});
  CHECK(f.core->counters().alerts == 2);
  CHECK(f.core->queue_bytes() == 0);
}

TEST_CASE("a spool that takes no telemetry takes alerts, up to half its reserve") {
  constexpr std::uint64_t bytes_max = 2 << 20;
  fixture f{bytes_max};
  f.fill();
  f.core->take(f.made({kind::event}, 50'000));
  std::size_t taken = 0;
  for (;;) {
    f.core->take(f.awaited({kind::alert_transition}, 4'000));
    CHECK_FALSE(f.core->commit());
    CHECK_FALSE(f.core->refusal().empty());
    if (f.answers.back() != errc{})
      break;
    ++taken;
    REQUIRE(taken < 200);
  }
  CHECK(f.answers.back() == errc::exhausted);
  CHECK(taken > 10);
  CHECK(f.store->usage().disk_bytes > bytes_max);
  CHECK(f.store->usage().disk_bytes <= bytes_max + reserve / 2);
  CHECK(f.kinds_of(stream_id::alert).size() == taken);
  CHECK(f.core->queue_bytes() > 50'000); // what was collected waits
  CHECK(f.handed.size() == taken);
  for (const auto& [stream, lane] : f.handed)
    CHECK(lane == link::lane::alert);
}

TEST_CASE("of alerts that wait the newest are refused at their bound, and telemetry takes nothing of it") {
  fixture f{2 << 20};
  f.fill();
  while (f.store->commit(stream_id::alert, event_records(f.w.random, 1, 4'000), {})) {
  }
  f.core->take(f.made({kind::event}, 50'000));
  for (int i = 0; i < 5; ++i)
    f.core->take(f.made({kind::alert_transition}, 4'000));
  CHECK(f.core->counters().alerts_refused == 3); // two are within 10,000 bytes
  f.core->take(f.awaited({kind::alert_transition}, 4'000));
  CHECK(f.answers == std::vector<errc>{errc::exhausted});
  CHECK(f.core->counters().alerts_refused == 4);
  CHECK_FALSE(f.core->commit());
  CHECK(f.core->queue_bytes() > 50'000);
  CHECK(f.core->queue_bytes() < 60'000);
  range_set all;
  all.add({1, 1000});
  REQUIRE(f.store->release({test_edge, f.store->epoch(), stream_id::telemetry}, all));
  REQUIRE(f.core->commit());
  CHECK(f.core->counters().alerts == 2);
  CHECK(f.core->refusal().empty());
  CHECK(f.core->queue_bytes() == 0);
}

TEST_CASE("the inbox takes alerts when it takes nothing else, up to their bound") {
  int commits = 0;
  test::actor_world actors; // last timers fire when it ends
  const auto gateway = actors.system.spawn(
      [&commits](int) -> gateway_actor::behavior_type { // with an argument, as UBSan wants it of CAF 0.17
        return {[&commits](commit_atom) { ++commits; },
                [](tick_atom) {},
                [](job_ptr&) {},
                [](turn_atom) {},
                [](const release_ptr&) {},
                [](stop_atom) {}};
      },
      0);
  fixture f;
  gateway_inbox inbox{std::chrono::milliseconds{100}};
  for (std::size_t i = 0; i < gateway_inbox::collections_max; ++i)
    inbox.put(f.made({}), gateway);
  inbox.put(f.awaited({kind::event}), gateway);
  CHECK(f.answers == std::vector<errc>{errc::exhausted});
  actors.run();
  CHECK(commits == 0); // after the interval
  for (std::size_t i = 0; i < gateway_inbox::alerts_max; ++i)
    inbox.put(f.awaited({kind::event, kind::alert_transition}), gateway);
  actors.run();
  CHECK(commits == 1); // at once
  CHECK(f.answers.size() == 1);
  CHECK(inbox.take_overflow().alerts == 0);
  inbox.put(f.awaited({kind::alert_transition}), gateway);
  CHECK(f.answers.size() == 2);
  inbox.put(f.made({kind::alert_transition, kind::alert_transition}), gateway);
  const auto overflow = inbox.take_overflow();
  CHECK(overflow.alerts == 3);
  CHECK(overflow.to_ns == 0); // no sample was dropped
  CHECK(inbox.take().size() == gateway_inbox::collections_max + gateway_inbox::alerts_max);
}
