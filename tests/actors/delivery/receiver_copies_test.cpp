// Two of one key.

#include "tests/actors/delivery/receiver_fixture.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::delivery;
using namespace skerry::delivery::test;

using fixture = receiver_fixture;

TEST_CASE("of two live nodes with one key the second is refused") {
  fixture f;
  const auto session = f.open("a", 1);
  CHECK(f.open("b", 2) == 0);
  const auto* bye = f.last_sent<link::bye>("b");
  REQUIRE(bye != nullptr);
  CHECK(bye->reason == link::bye_reason::duplicate);
  CHECK(f.under_test.counters().refused_duplicate == 1);
  // The first answers the probe and goes on; the second stays out.
  f.under_test.on_message("a", f.edge, link::message{session, link::pong{}});
  f.clock.now += 10'000'000'000;
  CHECK(f.open("b", 2) == 0);
  f.send("a", session, f.events(1, 1, f.key));
  f.settle();
  CHECK(f.backend.stored.size() == 1);
}

TEST_CASE("a silent elder session yields after the probe window") {
  fixture f;
  f.open("a", 1);
  f.clock.now += 60'000'000'000;
  CHECK(f.open("b", 2) == 0);
  f.clock.now += 1'000'000'000;
  CHECK(f.open("b", 2) == 0); // it may answer still
  f.clock.now += 3'000'000'000;
  CHECK(f.open("b", 2) != 0);
  CHECK(f.under_test.counters().refused_duplicate == 0);
}

TEST_CASE("a restarted process takes its predecessor's session over at once") {
  fixture f;
  f.open("a", 1);
  auto hello = f.hello_of(2);
  hello.current = {2, {2}};
  hello.streams.push_back({f.key, {}, {}, 0, true, 0});
  f.under_test.on_message("b", f.edge, link::message{0, hello});
  CHECK(f.last_sent<link::welcome>("b") != nullptr);
}

TEST_CASE("a predecessor without any record keeps nobody waiting, and is asked whether it lives") {
  for (const bool lives : {false, true}) {
    fixture f;
    const auto session = f.open("a", 1);
    f.clock.now += 1;
    auto next = f.hello_of(2); // a spool tells of no epoch that has no record
    next.current = {2, {2}};
    f.under_test.on_message("b", f.edge, link::message{0, next});
    REQUIRE(f.last_sent<link::welcome>("b") != nullptr);
    CHECK(f.under_test.counters().refused_duplicate == 0);
    const auto* ping = f.last_sent<link::ping>("a");
    REQUIRE(ping != nullptr);
    const auto at = ping->monotonic_ns;
    if (!lives)
      continue;
    f.under_test.on_message("a", f.edge, link::message{session, link::pong{0, at}});
    CHECK(f.under_test.counters().refused_duplicate == 1);
    CHECK(f.last_sent<link::bye>("b") != nullptr);
    CHECK(f.open("a", 1) != 0);
  }
  fixture f; // but nobody is taken for a successor who does not come after it
  f.open("a", 1);
  auto other = f.hello_of(2);
  other.current = {1, {2}};
  for (int i = 0; i < 2; ++i)
    f.under_test.on_message("b", f.edge, link::message{0, other});
  CHECK(f.last_sent<link::welcome>("b") == nullptr);
  CHECK(f.under_test.counters().refused_duplicate == 1);
}

TEST_CASE("a copy of a running node is no successor where the receiver holds more than it knows") {
  fixture f;
  const auto session = f.open("a", 1);
  f.send("a", session, f.events(1, 10, f.key));
  f.settle();
  f.clock.now += 1;
  const auto copy = f.successor(2, 7);
  f.under_test.on_message("b", f.edge, link::message{0, copy});
  REQUIRE(f.last_sent<link::bye>("b") != nullptr);
  CHECK(f.last_sent<link::bye>("b")->reason == link::bye_reason::duplicate);
  CHECK(f.under_test.counters().refused_duplicate == 1);
  f.under_test.on_message("a", f.edge, link::message{session, link::pong{}});
  f.send("a", session, f.events(11, 1, f.key));
  f.settle();
  CHECK(f.backend.stored.size() == 11);
  // Alone, it is let in: a disk that lost its tail is no reason to stay out.
  f.clock.now += 60'000'000'000;
  f.under_test.on_message("b", f.edge, link::message{0, copy});
  f.clock.now += 4'000'000'000;
  f.under_test.on_message("b", f.edge, link::message{0, copy});
  CHECK(f.last_sent<link::welcome>("b") != nullptr);
}

TEST_CASE("who was taken over and lives gets its session back, and the copy stays out") {
  for (const bool says_hello : {false, true}) {
    fixture f;
    const auto session = f.open("a", 1);
    f.send("a", session, f.events(1, 10, f.key));
    f.settle();
    f.clock.now += 1;
    const auto copy = f.successor(2, 10); // nothing was written since
    f.under_test.on_message("b", f.edge, link::message{0, copy});
    REQUIRE(f.last_sent<link::welcome>("b") != nullptr); // as after a restart, at once
    const auto* ping = f.last_sent<link::ping>("a");
    REQUIRE(ping != nullptr); // and no Bye
    const auto at = ping->monotonic_ns;
    const link::peer_id again = says_hello ? "a2" : "a";
    // What was under way proves nothing.
    f.send("a", session, f.events(11, 1, f.key));
    f.under_test.on_message("a", f.edge, link::message{session, link::pong{0, at - 1}});
    CHECK(f.under_test.counters().refused_duplicate == 0);
    CHECK(f.last_sent<link::ping>("a") != nullptr); // nothing was sent after it
    if (!says_hello) {
      f.under_test.on_message("a", f.edge, link::message{session, link::pong{0, at}});
      REQUIRE(f.last_sent<link::bye>("a") != nullptr);
      CHECK(f.last_sent<link::bye>("a")->reason == link::bye_reason::superseded);
    }
    if (says_hello) // it may have been under way, too
      CHECK(f.open(again, 1) == 0);
    CHECK(f.under_test.counters().refused_duplicate == (says_hello ? 0 : 1));
    const auto next = f.open(again, 1);
    REQUIRE(next != 0);
    CHECK(f.under_test.counters().refused_duplicate == 1);
    CHECK(f.under_test.counters().restored_edges == 0);
    REQUIRE(f.last_sent<link::bye>("b") != nullptr);
    CHECK(f.last_sent<link::bye>("b")->reason == link::bye_reason::duplicate);
    // Nor does it come in as a successor again, as long as the first is heard.
    f.under_test.on_message("b", f.edge, link::message{0, copy});
    REQUIRE(f.last_sent<link::bye>("b") != nullptr);
    CHECK(f.under_test.counters().refused_duplicate == 2);
    f.send(again, next, f.events(11, 1, f.key));
    f.settle();
    CHECK(f.backend.stored.size() == 11);
    CHECK(f.under_test.edges().at(0).duplicate);
  }
}

TEST_CASE("a session that comes back answers for what is being stored of it, not of the copy") {
  fixture f;
  const auto session = f.open("a", 1);
  f.send("a", session, f.events(1, 10, f.key));
  f.settle();
  f.clock.now += 1;
  f.send("a", session, f.events(11, 1, f.key)); // is being stored from here on
  const auto of_first = f.under_test.usage().open_bytes;
  REQUIRE(of_first > 0);
  f.under_test.on_message("b", f.edge, link::message{0, f.successor(2, 10)});
  REQUIRE(f.last_sent<link::welcome>("b") != nullptr);
  const auto next = f.backend.outbox.back().second.session;
  const auto* ping = f.last_sent<link::ping>("a");
  REQUIRE(ping != nullptr);
  const auto at = ping->monotonic_ns;
  f.send("b", next, f.events(1, 7, {f.edge, {2, {2}}, stream_id::telemetry}));
  f.under_test.on_message("a", f.edge, link::message{session, link::pong{0, at}});
  REQUIRE(f.under_test.counters().refused_duplicate == 1);
  CHECK(f.under_test.usage().open_bytes == of_first);
  f.settle();
  CHECK(f.under_test.usage().open_bytes == 0);
  CHECK(f.under_test.memory().open_bytes == 0);
}

TEST_CASE("a predecessor that is dead keeps nobody waiting") {
  fixture f;
  const auto session = f.open("a", 1);
  f.send("a", session, f.events(1, 10, f.key));
  f.settle();
  f.clock.now += 1;
  f.under_test.on_message("b", f.edge, link::message{0, f.successor(2, 10)});
  REQUIRE(f.last_sent<link::welcome>("b") != nullptr);
  const auto next = f.backend.outbox.back().second.session;
  f.send("a", session, f.events(9, 1, f.key)); // under way when it was killed
  f.send("b", next, f.events(1, 3, {f.edge, {2, {2}}, stream_id::telemetry}));
  f.settle();
  CHECK(f.backend.stored.size() == 13);
  CHECK(f.under_test.counters().refused_duplicate == 0);
  CHECK(f.last_sent<link::ping>("a") != nullptr);
  // Later on whoever speaks in that session is told that it has ended. It may have been under way; who lives says Hello.
  f.clock.now += 10'000'000'000;
  f.send("a", session, f.events(12, 1, f.key));
  REQUIRE(f.last_sent<link::bye>("a") != nullptr);
  CHECK(f.under_test.counters().refused_duplicate == 0);
  f.open("a", 1);
  CHECK(f.last_sent<link::welcome>("a") == nullptr);
  f.open("a", 1);
  CHECK(f.last_sent<link::welcome>("a") != nullptr);
  CHECK(f.under_test.counters().refused_duplicate == 1);
}

TEST_CASE("a Hello of a dead process that comes late takes nobody's session") {
  fixture f;
  const auto session = f.open("a", 1);
  f.send("a", session, f.events(1, 10, f.key));
  f.settle();
  f.clock.now += 1;
  f.under_test.on_message("b", f.edge, link::message{0, f.successor(2, 10)});
  REQUIRE(f.last_sent<link::welcome>("b") != nullptr);
  const auto next = f.backend.outbox.back().second.session;
  auto late = f.hello_of(1); // said when seven records were there, over a connection that nobody has any more
  late.streams.push_back({f.key, {}, {}, 7, false, 0});
  f.under_test.on_message("a1", f.edge, link::message{0, late});
  CHECK(f.last_sent<link::welcome>("a1") == nullptr);
  CHECK(f.under_test.counters().refused_duplicate == 0);
  f.send("b", next, f.events(1, 3, {f.edge, {2, {2}}, stream_id::telemetry}));
  f.settle();
  CHECK(f.backend.stored.size() == 13);
  // Who knows all of its epoch may be alive.
  late.streams.back().last = 10;
  f.under_test.on_message("a1", f.edge, link::message{0, late});
  CHECK(f.last_sent<link::welcome>("a1") != nullptr);
}

TEST_CASE("a Hello of a dead process that comes late tells nothing once a later one was welcomed") {
  for (const bool its_connection_is_open : {false, true})
    for (const bool a_session_is_open : {false, true}) {
      receiver_config config;
      config.epochs_max = 0; // so a Hello names whatever comes
      fixture f{config};
      auto first = f.hello_of(1);
      first.streams.push_back({f.key, {}, {}, 0, false, 0});
      f.under_test.on_message("a", f.edge, link::message{0, first});
      auto session = f.backend.outbox.back().second.session;
      f.send("a", session, f.events(1, 10, f.key));
      f.settle();
      auto second = f.successor(2, 10);
      second.streams.back().released.add({1, 10});
      const auto late = second; // the same process, once more
      f.under_test.on_message("b", f.edge, link::message{0, second});
      REQUIRE(f.last_sent<link::welcome>("b") != nullptr);
      if (!its_connection_is_open)
        f.under_test.on_closed("b", f.edge);
      // The next one does not name the first epoch any more, nor does anybody remember it.
      const stream_key third_key{f.edge, {3, {3}}, stream_id::telemetry};
      auto third = f.hello_of(3);
      third.current = third_key.epoch;
      third.streams.push_back({{f.edge, {2, {2}}, stream_id::telemetry}, {}, {}, 0, true, 0});
      third.streams.push_back({third_key, {}, {}, 0, false, 0});
      f.under_test.on_message("c", f.edge, link::message{0, third});
      REQUIRE(f.last_sent<link::welcome>("c") != nullptr);
      session = f.backend.outbox.back().second.session;
      REQUIRE(f.backend.forgotten == std::vector{f.key});
      if (!a_session_is_open)
        f.under_test.on_message("c", f.edge, link::message{session, link::bye{}});
      const auto said = f.under_test.edges();

      f.under_test.on_message("b2", f.edge, link::message{0, late});
      CHECK(f.last_sent<link::welcome>("b2") == nullptr);
      REQUIRE(f.last_sent<link::bye>("b2") != nullptr); // or who lives would wait for long
      CHECK(f.last_sent<link::bye>("b2")->reason == link::bye_reason::superseded);
      f.under_test.on_message("b3", f.edge, link::message{0, late}); // nor another one
      CHECK(f.last_sent<link::welcome>("b3") == nullptr);
      CHECK(f.under_test.counters().custody_lost_records == 0);
      CHECK(f.under_test.counters().refused_duplicate == 0);
      CHECK(f.under_test.counters().restored_edges == 0);
      CHECK(f.under_test.counters().stale_messages == 2);
      CHECK(f.backend.queue.empty());
      REQUIRE(f.under_test.edges().size() == 1);
      CHECK(f.under_test.edges().at(0).connected == said.at(0).connected);
      CHECK_FALSE(f.under_test.edges().at(0).duplicate);
      CHECK(f.under_test.held().announced_end(f.key) == 0);
      if (a_session_is_open) {
        f.send("c", session, f.events(1, 1, third_key));
        f.settle();
        CHECK(f.backend.stored.size() == 11);
      }
    }
}

TEST_CASE("who says Hello again when it is asked to is heard, though a later process was welcomed") {
  fixture f;
  const auto session = f.open("a", 1);
  f.send("a", session, f.events(1, 10, f.key));
  f.settle();
  const auto second = f.successor(2, 10);
  f.under_test.on_message("b", f.edge, link::message{0, second});
  REQUIRE(f.last_sent<link::welcome>("b") != nullptr);
  const auto next = f.backend.outbox.back().second.session;
  f.send("b", next, f.events(1, 1, {f.edge, {2, {2}}, stream_id::telemetry}));
  f.settle();
  f.under_test.on_message("b", f.edge, link::message{next, link::bye{}});
  // A disk from an older copy, and what it has released is not here.
  auto older = f.hello_of(3);
  older.current = {1, {9}};
  older.streams.push_back({{f.edge, {1, {8}}, stream_id::telemetry}, {}, {}, 5, true, 0});
  older.streams.back().released.add({1, 5});
  f.under_test.on_message("c", f.edge, link::message{0, older});
  CHECK(f.last_sent<link::welcome>("c") == nullptr);
  CHECK(f.under_test.edges().at(0).ended == link::presence::stopped);
  // A Hello of the later process counts for more than that the older one was asked before.
  f.under_test.on_message("b2", f.edge, link::message{0, second});
  REQUIRE(f.last_sent<link::welcome>("b2") != nullptr);
  f.under_test.on_message("b2", f.edge, link::message{f.backend.outbox.back().second.session, link::bye{}});
  f.under_test.on_message("c", f.edge, link::message{0, older});
  CHECK(f.last_sent<link::welcome>("c") == nullptr);
  CHECK(f.under_test.counters().restored_edges == 0);
  f.under_test.on_message("c", f.edge, link::message{0, older});
  REQUIRE(f.last_sent<link::welcome>("c") != nullptr);
  CHECK(f.under_test.counters().restored_edges == 1);
  CHECK(f.under_test.counters().custody_lost_records == 5);
  f.under_test.on_message("c2", f.edge, link::message{0, older}); // it is the latest from here on
  CHECK(f.last_sent<link::welcome>("c2") != nullptr);
  f.under_test.on_message("b3", f.edge,
                          link::message{0, second}); // and the other one is older, whatever it counts
  CHECK(f.last_sent<link::welcome>("b3") == nullptr);
  CHECK(f.under_test.counters().refused_duplicate == 0);
}

TEST_CASE("a Hello that comes late over an old connection takes no session from its own process") {
  fixture f;
  const auto session = f.open("a", 1);
  f.send("a", session, f.events(1, 10, f.key));
  f.settle();
  auto late = f.hello_of(1); // said when seven records were there
  late.streams.push_back({f.key, {}, {}, 7, false, 0});
  f.under_test.on_message("a1", f.edge, link::message{0, late});
  CHECK(f.last_sent<link::welcome>("a1") == nullptr);
  CHECK(f.under_test.counters().stale_messages == 1);
  f.send("a", session, f.events(11, 1, f.key));
  f.settle();
  CHECK(f.backend.stored.size() == 11);
  late.streams.back().last = 11; // a connection made anew
  f.under_test.on_message("a1", f.edge, link::message{0, late});
  CHECK(f.last_sent<link::welcome>("a1") != nullptr);
}

TEST_CASE(
    "a Hello that its process has followed by another takes no session, though nothing was written between") {
  fixture f;
  auto hello = f.hello_of(1);
  hello.monotonic_ns = 5;
  auto later = hello;
  later.monotonic_ns = 6;
  f.under_test.on_message("a2", f.edge, link::message{0, later});
  REQUIRE(f.last_sent<link::welcome>("a2") != nullptr);
  const auto session = f.backend.outbox.back().second.session;
  f.under_test.on_message("a1", f.edge, link::message{0, hello});
  CHECK(f.last_sent<link::welcome>("a1") == nullptr);
  f.send("a2", session, f.events(1, 1, f.key));
  f.settle();
  CHECK(f.backend.stored.size() == 1);
  CHECK(f.under_test.counters().refused_duplicate == 0);
}

TEST_CASE("an edge restored from an older copy is named") {
  fixture f;
  const auto session = f.open("a", 1);
  f.send("a", session, f.events(1, 10, f.key));
  f.settle();
  f.under_test.on_message("a", f.edge, link::message{session, link::bye{}});
  auto hello = f.hello_of(2);
  hello.current = {2, {2}};
  range_set held;
  held.add({1, 5});
  hello.streams.push_back({f.key, held, {}, 5, true, 0});
  f.under_test.on_message("b", f.edge, link::message{0, hello});
  CHECK(f.under_test.counters().restored_edges == 1);
  const auto* welcome = f.last_sent<link::welcome>("b");
  REQUIRE(welcome != nullptr);
  CHECK(welcome->durable.at(0).ranges.contains(sequence_range{1, 5}));
}
