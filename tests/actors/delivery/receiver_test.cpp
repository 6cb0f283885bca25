#include "actors/delivery/peer_budget.hpp"
#include "tests/actors/delivery/receiver_fixture.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstring>

using namespace skerry;
using namespace skerry::delivery;
using namespace skerry::delivery::test;

using fixture = receiver_fixture;

TEST_CASE("no ack before the store and the held ranges are durable") {
  fixture f;
  const auto session = f.open("a", 1);
  REQUIRE(session != 0);
  f.send("a", session, f.events(1, 3, f.key));
  CHECK(f.last_sent<link::ack>("a") == nullptr);
  f.backend.complete_one(f.under_test, false);
  CHECK(f.last_sent<link::ack>("a") == nullptr);
  f.backend.complete_one(f.under_test, false);
  const auto* ack = f.last_sent<link::ack>("a");
  REQUIRE(ack != nullptr);
  CHECK(ack->ranges.at(0).ranges.contains(sequence_range{1, 3}));
}

TEST_CASE("one node says durable and safe at once, to whom knows the difference") {
  for (const bool knows : {true, false}) {
    fixture f;
    if (knows)
      f.features |= link::feature_ack_levels;
    const auto session = f.open("a", 1);
    f.send("a", session, f.events(1, 3, f.key));
    f.backend.complete_one(f.under_test, false);
    f.backend.complete_one(f.under_test, false);
    CHECK(std::count_if(f.backend.outbox.begin(), f.backend.outbox.end(),
                        [](const auto& one) { return std::holds_alternative<link::ack>(one.second.body); })
          == 1);
    const auto* ack = f.last_sent<link::ack>("a");
    REQUIRE(ack != nullptr);
    CHECK(ack->level == (knows ? link::ack_level::safe : link::ack_level::durable));
    f.open("b", 1);
    const auto* welcome = f.last_sent<link::welcome>("b");
    REQUIRE(welcome != nullptr);
    CHECK((welcome->features & link::feature_ack_levels) != 0);
    CHECK(welcome->not_safe.empty());
  }
}

TEST_CASE("a batch that arrives again is acknowledged and stored once, however it is cut") {
  fixture f;
  const auto session = f.open("a", 1);
  f.send("a", session, f.events(1, 4, f.key));
  f.settle();
  f.send("a", session, f.events(1, 4, f.key));
  f.send("a", session, f.events(3, 4, f.key));
  f.settle();
  CHECK(f.backend.stored.size() == 6);
  for (const auto& [identity, times] : f.backend.stored)
    CHECK(times == 1);
  CHECK(f.under_test.counters().duplicate_records == 6);
}

TEST_CASE("messages of another session are dropped and counted") {
  fixture f;
  const auto session = f.open("a", 1);
  f.send("a", session + 1, f.events(1, 1, f.key));
  f.settle();
  CHECK(f.backend.stored.empty());
  CHECK(f.under_test.counters().stale_messages == 1);
}

TEST_CASE("backlog may come over another connection of the key, and is acknowledged over the session's own") {
  fixture f;
  const auto session = f.open("p1", 1);
  f.send("p2", session, f.events(1, 3, f.key), link::lane::backlog);
  f.settle();
  CHECK(f.backend.stored.size() == 3);
  REQUIRE(f.last_sent<link::ack>("p1") != nullptr);
  CHECK(f.last_sent<link::ack>("p2") == nullptr);
  f.send("p2", session, f.events(4, 1, f.key)); // nothing else may
  f.settle();
  CHECK(f.backend.stored.size() == 3);
  CHECK(f.under_test.counters().stale_messages == 1);

  fixture g; // what comes late of an older session is no second node
  const auto older = g.open("p1", 1);
  (void)g.open("p3", 1);
  g.send("p2", older, g.events(1, 3, g.key), link::lane::backlog);
  g.settle();
  CHECK(g.backend.stored.size() == 0);
  CHECK(g.under_test.counters().stale_messages == 1);
  CHECK_FALSE(g.under_test.edges().at(0).duplicate);
  g.send("p1", older, g.events(1, 3, g.key));
  CHECK(g.under_test.counters().stale_messages == 2);
  CHECK_FALSE(g.under_test.edges().at(0).duplicate);
}

TEST_CASE("a key may not speak for an origin that was not registered under it") {
  fixture f;
  const auto session = f.open("a", 1);
  f.send("a", session, f.events(1, 1, {edge_id{99}, {1, {9}}, stream_id::telemetry}));
  f.settle();
  CHECK(f.backend.stored.empty());
  CHECK(f.under_test.counters().forbidden == 1);
  REQUIRE(f.last_sent<link::refusal>("a") != nullptr);
}

TEST_CASE("what an edge released and the receiver no longer has is written as lost custody") {
  fixture f;
  auto hello = f.hello_of(1);
  range_set released, held;
  released.add({1, 5});
  held.add({6, 8});
  hello.streams.push_back({f.key, held, released, 8, false, 0});
  f.under_test.on_message("a", f.edge, link::message{0, hello});
  f.settle();
  CHECK(f.under_test.counters().custody_lost_records == 5);
  CHECK(f.backend.tombstones.contains(record_identity{f.key, 1}));
  CHECK(f.under_test.held().held(f.key)->contains(sequence_range{1, 5}));
  const link::welcome* welcome = nullptr;
  for (const auto& [to, message] : f.backend.outbox)
    if (const auto* w = std::get_if<link::welcome>(&message.body))
      welcome = w;
  REQUIRE(welcome != nullptr);
  CHECK(welcome->lost_custody.size() == 1);
}

TEST_CASE("a loss that cannot be stored is told again by the next Hello, whatever else was under way") {
  fixture f;
  auto hello = f.hello_of(1);
  range_set released, held;
  released.add({1, 5});
  held.add({6, 9});
  hello.streams.push_back({f.key, held, released, 9, false, 0});
  f.under_test.on_message("a", f.edge, link::message{0, hello});
  const auto session = f.backend.outbox.back().second.session;
  f.send("a", session, f.events(6, 3, f.key));
  f.send("a", session, f.events(8, 2, f.key)); // some of it is being stored already
  f.backend.complete_one(f.under_test, true);  // the loss, on a full disk
  const auto* bye = f.last_sent<link::bye>("a");
  REQUIRE(bye != nullptr);
  CHECK(bye->reason == link::bye_reason::stopping);
  f.settle();
  f.under_test.on_message("a", f.edge, link::message{0, hello});
  f.settle();
  CHECK(f.backend.tombstones.contains(record_identity{f.key, 1}));
  CHECK(f.under_test.held().held(f.key)->contains(sequence_range{1, 5}));
}

TEST_CASE("what an edge released and still has is asked for again before anything is written as lost") {
  fixture f;
  f.under_test.restore_held(f.key, {[] {
                                      range_set held;
                                      held.add({1, 2});
                                      return held;
                                    }(),
                                    77});
  auto hello = f.hello_of(1);
  link::hello_stream stream{f.key, {}, {}, 8, false, 0, {}};
  stream.released.add({1, 8});
  stream.kept.add({2, 6}); // its copy is older than what is here: 7 and 8 are gone there
  hello.streams = {stream};
  f.under_test.on_message("a", f.edge, link::message{0, hello});
  const auto welcome = [&] {
    const link::welcome* last = nullptr;
    for (const auto& [to, message] : f.backend.outbox)
      if (const auto* w = std::get_if<link::welcome>(&message.body))
        last = w;
    return *last;
  };
  REQUIRE(welcome().again.size() == 1);
  CHECK(welcome().again.front().ranges.ranges() == std::vector<sequence_range>{{3, 6}});
  REQUIRE(welcome().lost_custody.size() == 1);
  CHECK(welcome().lost_custody.front().ranges.ranges() == std::vector<sequence_range>{{7, 8}});
  const auto session = f.backend.outbox.front().second.session;
  f.settle();
  CHECK(f.under_test.counters().custody_lost_records == 2);
  CHECK(f.under_test.counters().custody_asked_records == 4);
  // Half of it comes; then the edge is asked what became of the rest.
  f.send("a", session, f.events(3, 2, f.key), link::lane::backlog);
  f.settle();
  CHECK(f.under_test.counters().custody_lost_records == 2);
  REQUIRE(f.last_sent<link::bye>("a") != nullptr);
  CHECK(f.last_sent<link::bye>("a")->reason == link::bye_reason::superseded);
  CHECK(f.under_test.edges().front().connected);
  hello.streams.front().kept = {};
  f.under_test.on_message("a", f.edge, link::message{0, hello});
  CHECK(welcome().again.empty());
  f.settle();
  CHECK(f.under_test.counters().custody_lost_records == 4); // 5 and 6, too
  CHECK(f.under_test.held().held(f.key)->contains(sequence_range{1, 8}));
  CHECK_FALSE(f.backend.tombstones.contains(record_identity{f.key, 3}));
  CHECK(f.backend.tombstones.contains(record_identity{f.key, 5}));
}

TEST_CASE("an edge that says it keeps what it never sends is not asked for ever") {
  fixture f;
  auto hello = f.hello_of(1);
  link::hello_stream stream{f.key, {}, {}, 8, false, 0, {}};
  stream.released.add({1, 4});
  stream.kept.add({1, 4});
  hello.streams = {stream};
  std::size_t byes = 0;
  for (int i = 0; i < 10; ++i) {
    f.backend.outbox.clear();
    f.under_test.on_message("a", f.edge, link::message{0, hello});
    const auto session = f.backend.outbox.front().second.session;
    f.send("a", session, f.events(static_cast<sequence>(5 + i), 1, f.key));
    f.settle();
    byes += f.last_sent<link::bye>("a") != nullptr;
  }
  CHECK(byes == 3);
  CHECK(f.under_test.counters().custody_lost_records == 0);
}

TEST_CASE("a restored gateway dates what it lost by when its spool was written last") {
  receiver_config config;
  config.taken_until_ns = 4711;
  fixture f{config};
  auto hello = f.hello_of(1);
  range_set released;
  released.add({1, 5});
  hello.streams.push_back({f.key, {}, released, 5, false, 0});
  f.under_test.on_message("a", f.edge, link::message{0, hello});
  REQUIRE_FALSE(f.backend.queue.empty());
  const auto& job = std::get<delivery_job>(f.backend.queue.front());
  CHECK(decode_tombstone(job.records.front().payload).value().from_ns == 4711);
}

TEST_CASE("a frame waits until its series set has come") {
  fixture f;
  const auto session = f.open("a", 1);
  const auto set = some_set(1);
  frame fr;
  fr.sections.push_back({set->hash, 1, {}});
  fr.values = {1};
  value_encoder encoder;
  byte_buffer payload;
  encode_frame(fr, encoder, payload);
  run_builder builder{f.key, 1};
  builder.append(record_kind::frame, 0, "host", payload);
  f.send("a", session, std::move(builder).finish());
  f.settle();
  CHECK(f.backend.stored.empty());
  const auto* need = f.last_sent<link::need>("a");
  REQUIRE(need != nullptr);
  CHECK(need->sets.at(0) == set->hash);

  SECTION("and is stored then") {
    f.under_test.on_message("a", f.edge, link::message{session, link::sets{f.edge, {link::pack(*set)}, {}}});
    f.settle();
    CHECK(f.backend.stored.size() == 1);
    CHECK(f.backend.tombstones.empty());
  }
  SECTION("or becomes a tombstone where nobody has the set") {
    f.under_test.on_message("a", f.edge, link::message{session, link::sets{f.edge, {}, {set->hash}}});
    f.settle();
    CHECK(f.backend.tombstones.size() == 1);
    CHECK(f.under_test.counters().sets_lost_records == 1);
    CHECK(f.under_test.held().held(f.key)->contains(sequence{1}));
  }
}

TEST_CASE("a set that one edge no longer has is not missing from another with the same content") {
  fixture f;
  const auto session = f.open("a", 1);
  const edge_id behind{2};
  const stream_key other{behind, {1, {2}}, stream_id::telemetry};
  f.under_test.on_message("a", f.edge, link::message{session, link::origins{{behind}}});
  const auto set = some_set(1);
  f.send("a", session, f.frame_of(f.key, 1, {set}));
  f.send("a", session, f.frame_of(other, 1, {set}));
  CHECK(f.needs() == 2); // each edge is asked for its own
  f.under_test.on_message("a", f.edge, link::message{session, link::sets{behind, {}, {set->hash}}});
  f.settle();
  CHECK(f.backend.tombstones.contains({other, 1}));
  CHECK_FALSE(f.under_test.held().held(f.key));
  f.under_test.on_message("a", f.edge, link::message{session, link::sets{f.edge, {link::pack(*set)}, {}}});
  f.settle();
  CHECK(f.backend.tombstones.size() == 1);
  CHECK(f.backend.stored.contains({f.key, 1}));
}

TEST_CASE("of sets that are gone each is asked for once a batch, in whatever order the answers come") {
  fixture f;
  const auto session = f.open("a", 1);
  const auto a = some_set(1), b = some_set(2);
  f.send("a", session, f.frame_of(f.key, 1, {a}));
  f.send("a", session, f.frame_of(f.key, 2, {a, b}));
  CHECK(f.needs() == 2);
  for (const auto& gone : {a, b})
    f.under_test.on_message("a", f.edge, link::message{session, link::sets{f.edge, {}, {gone->hash}}});
  f.settle();
  CHECK(f.needs() == 2);
  CHECK(f.backend.tombstones.size() == 2);

  // It may have been committed again since: what comes later is asked for anew.
  f.send("a", session, f.frame_of(f.key, 3, {a}));
  CHECK(f.needs() == 3);
  f.under_test.on_message("a", f.edge, link::message{session, link::sets{f.edge, {link::pack(*a)}, {}}});
  f.settle();
  CHECK(f.backend.stored.contains({f.key, 3}));
  CHECK(f.backend.tombstones.size() == 2);
}

TEST_CASE("a revoked key's session ends at once and it is not let in again") {
  fixture f;
  const auto session = f.open("a", 1);
  f.backend.revoked.insert(f.edge);
  f.under_test.on_revoked(f.edge);
  f.send("a", session, f.events(1, 1, f.key));
  CHECK(f.backend.queue.empty());
  CHECK(f.open("b", 2) == 0);
  CHECK(f.under_test.counters().refused_revoked == 1);
}

TEST_CASE("an edge that goes far beyond its credit is not followed, and may go on later") {
  receiver_config config;
  config.credit_bytes = 200;
  fixture f{config};
  const auto session = f.open("a", 1);
  sequence next = 1;
  for (int i = 0; i < 20; ++i, next += 2)
    f.send("a", session, f.events(next, 2, f.key));
  CHECK(f.under_test.counters().over_credit > 10);
  CHECK(f.backend.queue.size() < 10);
  f.settle();
  const auto taken = f.backend.stored.size();
  CHECK(taken == 40 - 2 * f.under_test.counters().over_credit);
  f.send("a", session, f.events(taken + 1, 2, f.key));
  f.settle();
  CHECK(f.backend.stored.size() == taken + 2);
}

TEST_CASE("what a failed store gives back is credit again") {
  receiver_config config;
  config.credit_bytes = 200;
  fixture f{config};
  for (int i = 0; i < 30; ++i) {
    const auto session = f.open("a", 1);
    REQUIRE(session != 0);
    f.send("a", session, f.events(1, 2, f.key));
    f.backend.complete_one(f.under_test, true);
  }
  CHECK(f.under_test.counters().over_credit == 0);
}

TEST_CASE("with many holes only what fills them is taken, and one batch at a time beyond") {
  receiver_config config;
  config.ranges_max = 2;
  fixture f{config};
  const auto session = f.open("a", 1);
  for (const sequence first : {1, 11, 21, 31}) {
    f.send("a", session, f.events(first, 2, f.key));
    f.settle();
  }
  CHECK(f.under_test.counters().ranges_full == 0);
  REQUIRE(f.under_test.held().held(f.key)->ranges().size() == 4);
  f.send("a", session, f.events(41, 2, f.key));
  CHECK(f.under_test.counters().ranges_full == 1); // twice as many are there
  f.send("a", session, f.events(33, 2, f.key));    // makes no further range, nor does what follows it
  f.send("a", session, f.events(35, 2, f.key));
  f.send("a", session, f.events(3, 8, f.key)); // fills a hole
  f.settle();
  CHECK(f.under_test.counters().ranges_full == 1);
  CHECK(f.under_test.held().held(f.key)->ranges().size() == 3);
  f.send("a", session, f.events(41, 2, f.key)); // alone
  f.send("a", session, f.events(51, 2, f.key));
  CHECK(f.under_test.counters().ranges_full == 2);
}

TEST_CASE("series sets that nobody asked for are not taken") {
  fixture f;
  const auto session = f.open("a", 1);
  f.under_test.on_message("a", f.edge,
                          link::message{session, link::sets{f.edge, {link::pack(*some_set(1))}, {}}});
  CHECK(f.under_test.counters().sets_unasked == 1);
  CHECK(f.under_test.counters().sets_received == 0);
}

namespace {

// One that restarts again and again, with three records each time; the epoch before is named once more.
link::hello restart_often(fixture& f, std::uint64_t times) {
  link::hello hello;
  for (std::uint64_t boots = 1; boots <= times; ++boots) {
    hello = f.hello_of(static_cast<std::uint8_t>(boots));
    hello.current = {boots, {1}};
    range_set released;
    released.add({1, 3});
    if (boots > 1)
      hello.streams.push_back({{f.edge, {boots - 1, {1}}, stream_id::telemetry}, {}, released, 3, true, 0});
    f.under_test.on_message("a", f.edge, link::message{0, hello});
    const auto session = f.backend.outbox.back().second.session;
    f.send("a", session, f.events(1, 3, {f.edge, hello.current, stream_id::telemetry}));
    f.settle();
  }
  return hello;
}

} // namespace

TEST_CASE("of an edge that starts again and again only the newest epochs are remembered") {
  receiver_config config;
  config.epochs_max = 16;
  fixture f{config};
  restart_often(f, 40);
  CHECK(f.backend.stored.size() == 120);
  CHECK(f.backend.durable_held.size() == 18); // with what the last Hello named, and what came since
  CHECK(f.backend.forgotten.size() == 22);
  CHECK(f.under_test.counters().epochs_forgotten == 22);
  CHECK(f.under_test.counters().custody_lost_records == 0);
}

TEST_CASE("a copy of a disk that is older than what is remembered brings losses to light, never hides them") {
  receiver_config config;
  config.epochs_max = 16;
  fixture f{config};
  auto hello = restart_often(f, 40);
  range_set released;
  released.add({1, 3});
  hello.streams.push_back({{f.edge, {2, {1}}, stream_id::telemetry}, {}, released, 3, true, 0});
  f.under_test.on_message("a", f.edge, link::message{0, hello});
  CHECK(f.under_test.counters().custody_lost_records == 3);
}

TEST_CASE("a session that brings ever new epochs is asked for a new Hello") {
  receiver_config config;
  config.epochs_max = 16;
  fixture f{config};
  auto session = f.open("a", 1);
  std::size_t asked = 0;
  for (std::uint64_t boots = 1; boots <= 100; ++boots) {
    const auto made = f.events(2, 3, {f.edge, {boots, {9}}, stream_id::telemetry}); // with a hole
    f.send("a", session, made);
    if (const auto* bye = std::get_if<link::bye>(&f.backend.outbox.back().second.body)) {
      CHECK(bye->reason == link::bye_reason::superseded);
      ++asked;
      session = f.open("a", 1);
      f.send("a", session, made);
    }
    f.settle();
    CHECK(f.backend.durable_held.size() <= 2 * 16);
  }
  CHECK(f.backend.stored.size() == 300);
  CHECK(asked == 6);
}

TEST_CASE("a loss of custody happened after the newest record that is here") {
  fixture f;
  f.under_test.restore_held(f.key, {[] {
                                      range_set held;
                                      held.add({1, 2});
                                      return held;
                                    }(),
                                    77});
  auto hello = f.hello_of(1);
  range_set released;
  released.add({1, 5});
  hello.streams.push_back({f.key, {}, released, 5, false, 0});
  f.under_test.on_message("a", f.edge, link::message{0, hello});
  REQUIRE_FALSE(f.backend.queue.empty());
  const auto& job = std::get<delivery_job>(f.backend.queue.front());
  REQUIRE(job.records.size() == 1);
  const auto stone = decode_tombstone(job.records.front().payload).value();
  CHECK(job.records.front().seq == 3);
  CHECK(stone.from_ns == 77);
  CHECK(stone.to_ns == f.clock.wall_ns());
}

TEST_CASE("what a target claims does not date a loss of custody, nor does a clock that was ahead") {
  for (const bool claimed : {true, false}) {
    fixture f;
    const auto ahead_ns = f.clock.wall_ns() + 3'600'000'000'000;
    const auto session = f.open("a", 1);
    run_builder builder{f.key, 1};
    builder.append(record_kind::event, 77, "host", as_bytes("x"));
    frame fr;
    fr.time_ns = ahead_ns;
    fr.monotonic_ns = claimed ? 0 : 1;
    value_encoder encoder;
    byte_buffer payload;
    encode_frame(fr, encoder, payload);
    builder.append(record_kind::frame, ahead_ns, "host", payload);
    f.send("a", session, std::move(builder).finish());
    f.settle();
    auto hello = f.hello_of(1);
    range_set released;
    released.add({1, 5});
    hello.streams.push_back({f.key, {}, released, 5, false, 0});
    f.under_test.on_message("a", f.edge, link::message{0, hello});
    REQUIRE_FALSE(f.backend.queue.empty());
    const auto& job = std::get<delivery_job>(f.backend.queue.front());
    const auto stone = decode_tombstone(job.records.front().payload).value();
    CHECK(stone.from_ns == (claimed ? 77 : f.clock.wall_ns()));
    CHECK(stone.to_ns == f.clock.wall_ns());
  }
}

TEST_CASE("how far an edge's clock is off is known from its Hello, and from each Ping") {
  fixture f;
  const auto now = f.clock.wall_ns();
  auto hello = f.hello_of(1);
  hello.wall_ns = now - 7'200'000'000'000;
  f.under_test.on_message("a", f.edge, link::message{0, hello});
  REQUIRE(f.under_test.edges().size() == 1);
  CHECK(f.under_test.edges()[0].clock_offset_ns == -7'200'000'000'000);
  const auto session = f.backend.outbox.back().second.session;
  f.under_test.on_message("a", f.edge, link::message{session, link::ping{now + 5, 0, {}}});
  CHECK(f.under_test.edges()[0].clock_offset_ns == 5);
  for (const auto mad : {INT64_MIN, INT64_MAX})
    f.under_test.on_message("a", f.edge, link::message{session, link::ping{mad, 0, {}}});
  CHECK(f.under_test.edges()[0].clock_offset_ns > 0);
}

TEST_CASE("a Hello may name more epochs than are remembered unnamed") {
  receiver_config config;
  config.epochs_max = 16;
  fixture f{config};
  link::hello hello;
  range_set all;
  all.add({1, 3});
  for (std::uint64_t boots = 1; boots <= 60; ++boots)
    hello.streams.push_back({{f.edge, {boots, {1}}, stream_id::telemetry}, all, {}, 3, true, 0});
  const auto say_hello = [&](std::uint8_t instance) {
    const auto usual = f.hello_of(instance);
    hello.edge = usual.edge;
    hello.instance = usual.instance;
    hello.current = {61, {1}};
    f.under_test.on_message("a", f.edge, link::message{0, hello});
    return f.backend.outbox.back().second.session;
  };
  const auto session = say_hello(1);
  for (auto& stream : hello.streams) {
    f.send("a", session, f.events(1, 3, stream.key));
    f.settle();
    std::swap(stream.held, stream.released);
  }
  say_hello(1);
  CHECK(f.backend.durable_held.size() == 60);
  CHECK(f.backend.forgotten.empty());
  CHECK(f.under_test.counters().custody_lost_records == 0);
  CHECK(f.backend.stored.size() == 180);
  hello.streams.clear();
  say_hello(1);
  CHECK(f.backend.durable_held.size() == 16);
}

TEST_CASE(
    "an edge that does not know the epoch that it wrote before came back from an older copy of its disk") {
  fixture f;
  auto session = f.open("a", 1);
  f.send("a", session, f.events(1, 2, f.key));
  f.settle();
  auto hello = f.hello_of(2);
  hello.current = {f.key.epoch.boot_counter + 2,
                   {2}}; // it started twice since, the first time without a link
  f.under_test.on_message("a", f.edge, link::message{session, link::bye{link::bye_reason::stopping, {}}});
  f.under_test.on_message("b", f.edge, link::message{0, hello});
  CHECK(f.under_test.counters().restored_edges == 1);
  // One that knows it has merely restarted.
  hello.streams.push_back({{f.edge, hello.current, stream_id::telemetry}, {}, {}, 0, true, 0});
  hello.current.boot_counter += 1;
  hello.instance = {3};
  f.under_test.on_message("b", f.edge, link::message{0, hello});
  CHECK(f.under_test.counters().restored_edges == 1);
}

TEST_CASE("one refused origin does not end the session of all") {
  fixture f;
  f.backend.origins = {edge_id{2}, edge_id{3}};
  const auto session = f.open("a", 1);
  f.backend.foreign = {edge_id{2}}; // it moved, or was revoked
  f.send("a", session, f.events(1, 3, f.outer));
  const auto* refusal = f.last_sent<link::refusal>("a");
  REQUIRE(refusal != nullptr);
  CHECK(refusal->key == f.outer);
  CHECK(refusal->batch == sequence_range{1, 3});
  CHECK(refusal->scope == link::refusal_scope::edge);
  CHECK(refusal->reason == link::refusal_reason::forbidden);
  f.send("a", session, f.events(1, 2, f.key));
  f.send("a", session, f.events(1, 2, {edge_id{3}, {1, {1}}, stream_id::telemetry}));
  f.settle();
  CHECK(f.backend.stored.size() == 4);
  CHECK(f.under_test.counters().refused_batches == 1);
  REQUIRE(f.under_test.edges().at(0).refused.contains(edge_id{2}));

  // The next Welcome says so before anything is sent.
  auto hello = f.hello_of(1);
  hello.streams.push_back({f.outer, {}, {}, 3, false, 0});
  f.under_test.on_message("b", f.edge, link::message{0, hello});
  const auto* welcome = f.last_sent<link::welcome>("b");
  REQUIRE(welcome != nullptr);
  CHECK(welcome->refused_edges == std::vector{edge_id{2}});
}

TEST_CASE("a sender that does not know refusals is told Bye") {
  fixture f;
  f.features = 0;
  f.backend.foreign = {edge_id{2}};
  const auto session = f.open("a", 1);
  f.send("a", session, f.events(1, 3, f.outer));
  const auto* bye = f.last_sent<link::bye>("a");
  REQUIRE(bye != nullptr);
  CHECK(bye->reason == link::bye_reason::protocol_error);
  CHECK(f.backend.stored.empty());
}

TEST_CASE("what cannot be stored now, or does not decode, is refused by itself") {
  fixture f;
  const auto session = f.open("a", 1);
  f.send("a", session, f.events(1, 3, f.key));
  f.backend.complete_one(f.under_test, true);
  const auto* refusal = f.last_sent<link::refusal>("a");
  REQUIRE(refusal != nullptr);
  CHECK(refusal->scope == link::refusal_scope::stream);
  CHECK(refusal->reason == link::refusal_reason::not_now);
  CHECK(refusal->batch == sequence_range{1, 3});
  // Stored, and that it is held could not be noted.
  f.send("a", session, f.events(1, 3, f.key));
  f.backend.complete_one(f.under_test, false);
  f.backend.complete_one(f.under_test, true);
  refusal = f.last_sent<link::refusal>("a");
  REQUIRE(refusal != nullptr);
  CHECK(refusal->reason == link::refusal_reason::not_now);

  const auto good = f.events(4, 2, f.key);
  byte_buffer bytes{good.bytes.view.begin(), good.bytes.view.end()};
  bytes.back() ^= std::byte{1};
  const auto bad = decode_run(shared_bytes::take(std::move(bytes)));
  REQUIRE(bad);
  f.send("a", session, bad.value());
  refusal = f.last_sent<link::refusal>("a");
  REQUIRE(refusal != nullptr);
  CHECK(refusal->scope == link::refusal_scope::batch);
  CHECK(refusal->reason == link::refusal_reason::malformed);
  CHECK(refusal->batch == sequence_range{4, 5});
  f.send("a", session, good);
  f.send("a", session, f.events(1, 3, f.key));
  f.settle();
  CHECK(f.backend.stored.size() == 5);
  CHECK(f.under_test.usage().open_bytes == 0);
}

namespace {

// A small thing on the link, and `bytes` of labels in memory.
series_set_ptr swollen_set(int number, std::size_t bytes) {
  const std::string value(label_value_bytes_max, 'x');
  std::vector<series> members;
  for (std::size_t have = 0; have < bytes; have += value.size())
    members.push_back({0, {{"__name__", "m"}, {"n", std::to_string(number)}, {"v", value}}});
  for (std::size_t i = 0; i < members.size(); ++i)
    members[i].all[1].value += "-" + std::to_string(i);
  return make_series_set({{"m", metric_type::gauge, "", ""}}, std::move(members));
}

} // namespace

TEST_CASE("what nobody asked for is not unfolded, and what is no set harms only what names it") {
  fixture f;
  const auto session = f.open("a", 1);
  link::packed_set garbage{some_set(1)->hash, link::pack(*some_set(2)).packed, set_bytes_max};
  f.under_test.on_message("a", f.edge, link::message{session, link::sets{f.edge, {garbage}, {}}});
  CHECK(f.under_test.counters().sets_unasked == 1);
  CHECK(f.under_test.counters().malformed == 0);

  f.send("a", session, f.frame_of(f.key, 1, {some_set(1)}));
  f.send("a", session, f.frame_of(f.key, 2, {some_set(2)}));
  f.under_test.on_message(
      "a", f.edge, link::message{session, link::sets{f.edge, {garbage, link::pack(*some_set(2))}, {}}});
  const auto* refusal = f.last_sent<link::refusal>("a");
  REQUIRE(refusal != nullptr);
  CHECK(refusal->reason == link::refusal_reason::malformed);
  CHECK(refusal->batch == sequence_range{1, 1});
  f.settle();
  CHECK(f.backend.stored.size() == 1);
  CHECK(f.under_test.usage().open_bytes == 0);
  CHECK(f.under_test.memory().sets_bytes == 0);
}

TEST_CASE("series sets of one message are unfolded up to a bound, and the rest is asked for again") {
  receiver_config config;
  config.swollen_bytes_per_second = 1 << 30;
  fixture f{config};
  const auto session = f.open("a", 1);
  std::vector<series_set_ptr> sets;
  link::sets message{f.edge, {}, {}};
  for (int i = 0; i < 8; ++i) {
    sets.push_back(swollen_set(i, 12 << 20));
    message.found.push_back(link::pack(*sets.back()));
    CHECK(message.found.back().packed.view.size() < 64 << 10);
  }
  f.send("a", session, f.frame_of(f.key, 1, sets));
  f.under_test.on_message("a", f.edge, link::message{session, message});
  CHECK(f.under_test.counters().sets_received < 8);
  CHECK(f.under_test.memory().sets_bytes < 100 << 20);
  CHECK(f.needs() == 2);
  f.under_test.on_message("a", f.edge, link::message{session, message}); // only what was asked for counts
  f.settle();
  CHECK(f.backend.stored.size() == 1);
  CHECK(f.under_test.memory().sets_bytes == 0);
}

TEST_CASE("a key has few series sets unfolded that are large for what they cost it, and others lose nothing "
          "by it") {
  receiver_config config;
  config.swollen_bytes_per_second = 1 << 20;
  fixture f{config};
  const auto session = f.open("a", 1);
  std::size_t taken = 0, refused = 0;
  for (int i = 0; i < 120; ++i) { // in two minutes
    const auto set = swollen_set(i, 8 << 20);
    f.send("a", session, f.frame_of(f.key, static_cast<sequence>(i + 1), {set}));
    f.under_test.on_message("a", f.edge, link::message{session, link::sets{f.edge, {link::pack(*set)}, {}}});
    f.settle();
    taken = f.under_test.counters().sets_received;
    refused = f.under_test.counters().sets_swollen;
    f.clock.now += 1'000'000'000;
  }
  CHECK(taken + refused == 120);
  CHECK(taken >= 8);
  CHECK(taken <= 20); // of 8 MiB each: 16 MiB at once, and 120 more
  const auto* refusal = f.last_sent<link::refusal>("a");
  REQUIRE(refusal != nullptr);
  CHECK(refusal->reason == link::refusal_reason::not_now);
}

TEST_CASE("series sets of what is being stored take no more memory than they may") {
  receiver_config config;
  config.sets_memory_max = 30 << 20;
  config.swollen_bytes_per_second = 1 << 30;
  fixture f{config};
  const auto session = f.open("a", 1);
  for (int i = 0; i < 10; ++i) { // nothing is stored meanwhile
    const auto set = swollen_set(i, 4 << 20);
    f.send("a", session, f.frame_of(f.key, static_cast<sequence>(i + 1), {set}));
    f.under_test.on_message("a", f.edge, link::message{session, link::sets{f.edge, {link::pack(*set)}, {}}});
  }
  CHECK(f.under_test.counters().over_memory >= 3);
  const auto* refusal = f.last_sent<link::refusal>("a");
  REQUIRE(refusal != nullptr);
  CHECK(refusal->reason == link::refusal_reason::not_now);
  f.settle();
  CHECK(f.backend.stored.size() <= 7);
  CHECK(f.backend.stored.size() >= 3);
}

TEST_CASE("series sets that are not stored yet take no more memory than they may") {
  receiver_config config;
  config.sets_memory_max = 30 << 20;
  config.swollen_bytes_per_second = 1 << 30;
  fixture f{config};
  const auto session = f.open("a", 1);
  std::vector<series_set_ptr> sets;
  link::sets message{f.edge, {}, {}};
  for (int i = 0; i < 4; ++i) {
    sets.push_back(swollen_set(i, 12 << 20));
    message.found.push_back(link::pack(*sets.back()));
  }
  f.send("a", session, f.frame_of(f.key, 1, sets));
  for (int i = 0; i < 10 && f.last_sent<link::refusal>("a") == nullptr; ++i) {
    f.under_test.on_message("a", f.edge, link::message{session, message});
    CHECK(f.under_test.memory().sets_bytes <= config.sets_memory_max);
  }
  const auto* refusal = f.last_sent<link::refusal>("a"); // it would go on for ever
  REQUIRE(refusal != nullptr);
  CHECK(refusal->reason == link::refusal_reason::over_limit);
  f.send("a", session, f.events(2, 1, f.key));
  f.settle();
  CHECK(f.backend.stored.size() == 1);
}

TEST_CASE(
    "a batch that names unknown series sets without end is refused, and its answers cost nothing twice") {
  fixture f;
  const auto session = f.open("a", 1);
  const auto naming = [&](sequence seq, std::uint32_t from, std::uint32_t count) {
    frame fr;
    for (std::uint32_t i = from; i < from + count; ++i) {
      set_hash hash;
      std::memcpy(hash.bytes.data(), &i, sizeof i);
      fr.sections.push_back({hash, 1, {}});
      fr.values.push_back(1);
    }
    value_encoder encoder;
    byte_buffer payload;
    encode_frame(fr, encoder, payload);
    run_builder builder{f.key, seq};
    builder.append(record_kind::frame, 0, "host", payload);
    return builder;
  };
  run_builder many{f.key, 1};
  for (std::uint32_t i = 0; i < 25; ++i) {
    const auto one = naming(1, 4096 * i, 4096).finish();
    many.append(record_kind::frame, 0, "host", decode_records(one).value().front().payload);
  }
  f.send("a", session, std::move(many).finish()); // 100,000
  const auto* refusal = f.last_sent<link::refusal>("a");
  REQUIRE(refusal != nullptr);
  CHECK(refusal->reason == link::refusal_reason::over_limit);
  CHECK(f.backend.lookups <= 2 * 4096);

  f.backend.lookups = 0;
  for (std::uint32_t i = 0; i < 4; ++i)
    f.send("a", session, naming(1 + i, 4096 * i, 4096).finish());
  CHECK(f.under_test.usage().sets_asked == 4 * 4096);
  CHECK(f.needs() == 16);
  f.send("a", session, naming(5, 4096 * 5, 4096).finish()); // nobody is asked for so many
  CHECK(f.under_test.counters().parked_full == 1);
  f.backend.lookups = 0;
  for (int i = 0; i < 1000; ++i)
    f.under_test.on_message("a", f.edge, link::message{session, link::sets{f.edge, {}, {}}});
  CHECK(f.backend.lookups == 0);
}

TEST_CASE("a stream has no more ranges than it may, wherever the next one would lie") {
  receiver_config config;
  config.ranges_max = 4;
  fixture f{config};
  const auto session = f.open("a", 1);
  f.send("a", session, f.events(1000, 1, f.key));
  f.settle();
  for (sequence seq = 998; seq > 600; seq -= 2) { // below the highest
    f.send("a", session, f.events(seq, 1, f.key));
    f.send("a", session, f.events(seq - 300, 1, f.key)); // while another one is open
    f.settle();
  }
  CHECK(f.under_test.held().ranges_most() <= 2 * config.ranges_max);
  CHECK(f.under_test.counters().ranges_full > 100);
  // Nor does a Hello that tells of holes make more.
  auto hello = f.hello_of(1);
  link::hello_stream stream{f.key, {}, {}, 2000, false, 0};
  for (sequence seq = 2; seq < 500; seq += 2)
    stream.released.add({seq, seq});
  hello.streams.push_back(stream);
  stream.key.epoch = {0, {3}}; // nor of a stream that nobody knows
  hello.streams.push_back(stream);
  f.under_test.on_message("a", f.edge, link::message{0, hello});
  f.settle();
  CHECK(f.under_test.held().ranges_most() <= 2 * config.ranges_max);
}

TEST_CASE("a Hello costs one transaction for all its origins, and has a bounded number of losses written") {
  receiver_config config;
  config.custody_ranges_max = 10;
  fixture f{config};
  auto hello = f.hello_of(1);
  for (std::uint64_t i = 2; i < 1000; ++i) {
    link::hello_stream stream{{edge_id{i}, {1, {1}}, stream_id::telemetry}, {}, {}, 3, true, 0};
    stream.released.add({1, 3});
    hello.streams.push_back(stream);
  }
  f.under_test.on_message("a", f.edge, link::message{0, hello});
  CHECK(f.backend.registrations == 1);
  const auto* welcome = f.last_sent<link::welcome>("a");
  REQUIRE(welcome != nullptr);
  CHECK(welcome->lost_custody.size() == 10);
  f.settle();
  CHECK(f.backend.tombstones.size() == 10);
  // The rest is told again.
  f.under_test.on_message("b", f.edge, link::message{0, hello});
  f.settle();
  CHECK(f.backend.tombstones.size() == 20);

  const auto session = f.open("c", 1);
  std::vector<edge_id> many(60'000);
  for (std::size_t i = 0; i < many.size(); ++i)
    many[i] = edge_id{i + 2};
  f.backend.registrations = 0;
  f.under_test.on_message("c", f.edge, link::message{session, link::origins{many}});
  CHECK(f.backend.registrations == 1);
}

TEST_CASE("Welcomes that nobody reads do not pile up") {
  receiver_config config;
  config.unread_bytes_max = 1 << 20;
  fixture f{config};
  auto hello = f.hello_of(1);
  for (std::uint64_t i = 2; i < 2000; ++i)
    hello.streams.push_back({{edge_id{i}, {1, {1}}, stream_id::telemetry}, {}, {}, 3, true, 0});
  const auto welcomes = [&] {
    return std::count_if(f.backend.outbox.begin(), f.backend.outbox.end(), [](const auto& message) {
      return std::holds_alternative<link::welcome>(message.second.body);
    });
  };
  for (int i = 0; i < 100; ++i)
    f.under_test.on_message("a", f.edge, link::message{0, hello});
  CHECK(welcomes() > 2);
  CHECK(welcomes() < 20);
  CHECK(f.under_test.counters().refused_unread > 80);
  const auto* bye = f.last_sent<link::bye>("a");
  REQUIRE(bye != nullptr);
  CHECK(bye->reason == link::bye_reason::stopping);
  // Whoever speaks in its session has read them.
  f.backend.outbox.clear();
  f.clock.now += 60'000'000'000;
  const auto session = f.open("a", 1);
  REQUIRE(session != 0);
  f.send("a", session, f.events(1, 1, f.key));
  for (int i = 0; i < 3; ++i)
    CHECK(f.open("a", 1) != 0);
}

TEST_CASE("a key announces no more epochs than it may, of all edges that it speaks for") {
  receiver_config config;
  config.announced_max = 100;
  fixture f{config};
  const auto session = f.open("a", 1);
  const auto announce = [&](edge_id of, std::uint64_t epochs) {
    link::origin_state state{of, {epochs + 1, {9}}, {}};
    for (std::uint64_t i = 1; i <= epochs; ++i)
      state.closed.push_back({{of, {i, {9}}, stream_id::telemetry}, 5});
    f.under_test.on_message("a", f.edge, link::message{session, state});
  };
  for (std::uint64_t i = 2; i < 30; ++i)
    announce(edge_id{i}, 9);
  CHECK(f.under_test.held().first_incomplete(edge_id{2}, stream_id::telemetry) == 1);
  CHECK(f.under_test.held().first_incomplete(edge_id{29}, stream_id::telemetry) == 0);
  announce(edge_id{2}, 0); // it drained
  announce(edge_id{29}, 5);
  CHECK(f.under_test.held().first_incomplete(edge_id{29}, stream_id::telemetry) == 1);
}

TEST_CASE("nobody speaks as the gateway itself, nor as what is pushed") {
  receiver_config config;
  config.self = edge_id{77};
  fixture f{config};
  const auto session = f.open("a", 1);
  for (const auto origin : {edge_id{77}, edge_pushed}) {
    const stream_key key{origin, {1, {1}}, stream_id::telemetry};
    f.under_test.on_message("a", f.edge, link::message{session, link::origins{{origin}}});
    const auto* refusal = f.last_sent<link::refusal>("a");
    REQUIRE(refusal != nullptr);
    CHECK(refusal->key.edge == origin);
    f.backend.origins.insert(origin); // whatever the registry says
    f.send("a", session, f.events(1, 1, key));
    refusal = f.last_sent<link::refusal>("a");
    REQUIRE(refusal != nullptr);
    CHECK(refusal->reason == link::refusal_reason::forbidden);
    CHECK(refusal->batch == sequence_range{1, 1});
    CHECK(refusal->message.find("circle") != std::string::npos); // it is the last word that a sender keeps
    auto hello = f.hello_of(1);
    hello.streams.push_back({key, {}, {}, 3, false, 0});
    fixture other{config};
    other.under_test.on_message("a", other.edge, link::message{0, hello});
    refusal = other.last_sent<link::refusal>("a");
    REQUIRE(refusal != nullptr);
    CHECK(refusal->key.edge == origin);
    CHECK(refusal->message.find("circle") != std::string::npos);
    const auto* welcome = std::get_if<link::welcome>(&other.backend.outbox.at(0).second.body);
    REQUIRE(welcome != nullptr);
    CHECK(welcome->refused_edges == std::vector{origin});
  }
  f.settle();
  CHECK(f.backend.stored.empty());
  // A gateway that was joined to itself.
  auto hello = f.hello_of(1);
  hello.edge = config.self;
  f.under_test.on_message("self", config.self, link::message{0, hello});
  REQUIRE(f.last_sent<link::bye>("self") != nullptr);
}

TEST_CASE("two gateways that deliver to each other take nothing of each other") {
  receiver_config config;
  auto upstream = edge_id::none;
  config.is_upstream = [&](edge_id user) { return user == upstream; };
  fixture f{config};
  upstream = f.edge;
  f.under_test.on_message("a", f.edge, link::message{0, f.hello_of(1)});
  const auto* bye = f.last_sent<link::bye>("a");
  REQUIRE(bye != nullptr);
  CHECK(bye->message.find("circle") != std::string::npos);
  REQUIRE(f.under_test.edges().size() == 1);
  CHECK(f.under_test.edges().front().ended == link::presence::refused);
  CHECK(f.under_test.counters().forbidden == 1);
  upstream = edge_id::none; // it was joined with another receiver
  f.open("a", 1);
}

TEST_CASE("a key sends only so many bytes of envelopes") {
  peer_budget budget;
  std::int64_t now = 1'000'000'000;
  const link::message_parts big{shared_bytes::take(byte_buffer(8 << 20))};
  std::size_t taken = 0;
  for (int i = 0; i < 600; ++i) { // ten minutes
    for (int k = 0; k < 5; ++k)
      taken += budget.take(edge_id{1}, big, now) ? 1 : 0;
    CHECK(budget.take(edge_id{2}, {shared_bytes::take(byte_buffer(1000))}, now)); // another one
    now += 1'000'000'000;
  }
  CHECK(taken > 600 / 8);
  CHECK(taken < 600 / 8 + 10);
}

TEST_CASE("what a refused edge had released is looked at once something of it is taken") {
  fixture f;
  f.backend.foreign = {edge_id{2}};
  auto hello = f.hello_of(1);
  link::hello_stream stream{f.outer, {}, {}, 4, false, 0};
  stream.released.add({1, 3});
  stream.held.add({4, 4});
  hello.streams.push_back(stream);
  f.under_test.on_message("a", f.edge, link::message{0, hello});
  CHECK(f.last_sent<link::welcome>("a")->lost_custody.empty());
  const auto session = f.backend.outbox.back().second.session;
  f.backend.foreign.clear();
  f.backend.origins.insert(edge_id{2});
  link::batch batch;
  batch.run = f.events(4, 1, f.outer);
  batch.pending_records = 10; // as it is said while others are under way
  f.under_test.on_message("a", f.edge, link::message{session, batch});
  f.settle();
  const auto* bye = f.last_sent<link::bye>("a");
  REQUIRE(bye != nullptr);
  CHECK(bye->reason == link::bye_reason::superseded);
  f.under_test.on_message("a", f.edge, link::message{0, hello});
  CHECK(f.last_sent<link::welcome>("a")->lost_custody.size() == 1);
}

TEST_CASE("what nobody takes keeps nobody from being asked for the rest") {
  fixture f;
  auto hello = f.hello_of(1);
  link::hello_stream stream{f.key, {}, {}, 4, false, 0};
  stream.released.add({1, 4});
  stream.kept.add({1, 4});
  hello.streams.push_back(stream);
  f.under_test.on_message("a", f.edge, link::message{0, hello});
  const auto* welcome = f.last_sent<link::welcome>("a");
  REQUIRE(welcome != nullptr);
  REQUIRE(welcome->again.size() == 1); // of which 1 and 2 go before they are sent
  const auto session = f.backend.outbox.back().second.session;
  link::batch batch;
  batch.run = f.events(3, 2, f.key);
  batch.pending_records = 5; // three more are on their way, of an edge that is refused
  f.under_test.on_message("a", f.edge, link::message{session, batch});
  f.settle();
  REQUIRE(f.last_sent<link::ack>("a") != nullptr);
  // The one that its sender tries again is refused again: nothing else is to come.
  batch.run = f.events(1, 1, f.outer);
  batch.pending_records = 0;
  f.under_test.on_message("a", f.edge, link::message{session, batch});
  const auto* bye = f.last_sent<link::bye>("a");
  REQUIRE(bye != nullptr);
  CHECK(bye->reason == link::bye_reason::superseded);
  hello.streams.front().kept = {};
  f.under_test.on_message("a", f.edge, link::message{0, hello});
  welcome = f.last_sent<link::welcome>("a");
  REQUIRE(welcome->lost_custody.size() == 1);
  CHECK(welcome->lost_custody.front().ranges.contains(sequence_range{1, 2}));
  CHECK(welcome->lost_custody.front().ranges.count() == 2);
}
