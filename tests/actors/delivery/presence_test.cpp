// How edges stand: what their sessions, their gateways and a restart say, and what that may cost.

#include "actors/delivery/presence.hpp"
#include "actors/delivery/quota.hpp"
#include "tests/actors/delivery/world.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::delivery;
using namespace skerry::delivery::test;

namespace {

constexpr std::int64_t second = 1'000'000'000;

struct fixture {
  manual_clock clock;
  seeded_random random{3};
  memory_backend backend;
  receiver under_test{{}, clock, random, backend};
  const edge_id edge{1};
  const epoch_id epoch{1, {1}};

  std::uint64_t open(const link::peer_id& peer, std::uint8_t instance = 1,
                     std::chrono::nanoseconds ping = std::chrono::seconds{10}) {
    link::hello hello;
    hello.edge = edge;
    hello.features = link::feature_refusals;
    hello.instance = {instance};
    hello.current = epoch;
    hello.ping_interval_ns = ping.count();
    under_test.on_message(peer, edge, link::message{0, hello});
    for (auto it = backend.outbox.rbegin(); it != backend.outbox.rend(); ++it)
      if (it->first == peer && std::holds_alternative<link::welcome>(it->second.body))
        return it->second.session;
    return 0;
  }
  void say(const link::peer_id& peer, std::uint64_t session, link::body body) {
    under_test.on_message(peer, edge, link::message{session, std::move(body)});
  }
  edge_presence now() const {
    const auto all = under_test.edges();
    REQUIRE(all.size() == 1);
    return presence_of(all.front(), clock.wall_ns());
  }
  std::map<edge_id, edge_presence> book() const {
    presence_book all;
    all.update(under_test.edges(), clock.wall_ns());
    return all.all();
  }
};

} // namespace

TEST_CASE("a goodbye, a closed connection and a silent one are told apart, at once") {
  fixture f;
  auto session = f.open("a");
  REQUIRE(session != 0);
  CHECK(f.now().now == link::presence::connected);
  f.say("a", session, link::bye{link::bye_reason::stopping, "the edge is stopping"});
  CHECK(f.now().now == link::presence::stopped);
  CHECK(f.now().since_ns == f.clock.wall_ns());
  f.under_test.on_closed("a", f.edge); // follows the goodbye
  CHECK(f.now().now == link::presence::stopped);

  session = f.open("b", 2);
  f.under_test.on_closed("a", f.edge); // of a connection before
  f.under_test.on_closed("backlog", f.edge);
  CHECK(f.now().now == link::presence::connected);
  f.under_test.on_closed("b", f.edge);
  CHECK(f.now().now == link::presence::unreachable);
  CHECK(f.now().cause == "connection closed");
  CHECK(f.under_test.counters().closed_sessions == 1);
  CHECK(f.open("c", 3) != 0); // nobody is asked whether the one before is still alive

  const auto heard = f.clock.wall_ns();
  f.clock.now += 20 * second; // within two of its pings
  CHECK(f.now().now == link::presence::connected);
  f.clock.now += 1;
  CHECK(f.now().now == link::presence::unreachable);
  CHECK(f.now().cause == "silent");
  CHECK(f.now().since_ns == heard);
}

TEST_CASE("how long a link may be silent follows from its pings") {
  CHECK(silence_max_ns(0) == 300 * second);
  CHECK(silence_max_ns(240 * second) == 300 * second);
  CHECK(silence_max_ns(2 * second) == 4 * second);
  for (const auto interval : {second, 20 * second, 240 * second, 3600 * second}) {
    CHECK(silence_max_ns(interval) > interval);
    CHECK(silence_max_ns(interval) <= 2 * interval);
  }
}

TEST_CASE("a quota is told while it lasts, also by one that says nothing any more") {
  fixture f;
  const auto session = f.open("a");
  f.say("a", session, link::ping{1, 1, {2, 77}});
  CHECK(f.now().now == link::presence::quota);
  CHECK(f.now().cause == "thinned");
  f.clock.now += 3600 * second; // it pings at that level
  CHECK(f.now().now == link::presence::unreachable);
  f.say("a", session, link::ping{1, 1, {static_cast<std::uint16_t>(quota_level::exhausted), 78}});
  f.clock.now += 3600 * second;
  CHECK(f.now().now == link::presence::quota);
  f.under_test.on_closed("a", f.edge);
  CHECK(f.now().now == link::presence::unreachable);
}

TEST_CASE("what can't be stored, another protocol and a revoked key are told with their cause") {
  fixture f;
  const auto session = f.open("a");
  run_builder builder{{f.edge, f.epoch, stream_id::telemetry}, 1};
  builder.append(record_kind::event, 1000, "host", as_bytes("x"));
  link::batch batch;
  batch.run = std::move(builder).finish();
  f.say("a", session, batch);
  f.backend.complete_one(f.under_test, true);
  CHECK(f.now().now == link::presence::refused);
  CHECK(f.now().cause.find("the disk is full") != std::string::npos);
  f.say("a", session, batch);
  f.backend.complete_one(f.under_test, false);
  f.backend.complete_one(f.under_test, false);
  CHECK(f.now().now == link::presence::connected);
  f.under_test.on_revoked(f.edge);
  CHECK(f.now().now == link::presence::revoked);

  fixture g;
  link::hello hello;
  hello.edge = g.edge;
  hello.protocol = hello.protocol_min = link::protocol_version + 1;
  g.under_test.on_message("a", g.edge, link::message{0, hello});
  CHECK(g.now().now == link::presence::refused);
  CHECK(g.now().cause.find("upgrade the older one") != std::string::npos);
}

TEST_CASE("what a gateway says of edges behind it holds while it is there itself") {
  fixture f;
  const auto session = f.open("a");
  const edge_id x{2}, y{3}, foreign{4};
  f.backend.foreign.insert(foreign);
  f.say("a", session,
        link::origin_links{{{x, link::presence::connected, 5, 6, ""},
                            {y, link::presence::stopped, 7, 8, ""},
                            {foreign, link::presence::connected, 7, 8, ""},
                            {f.edge, link::presence::stopped, 7, 8, ""}}});
  auto all = f.book();
  CHECK(all.size() == 3);
  CHECK(all[x].now == link::presence::connected);
  CHECK(all[x].behind == f.edge);
  CHECK(all[y].now == link::presence::stopped);
  CHECK(all[y].heard_ns == 8);
  f.say("a", session, link::origin_links{{{x, link::presence::revoked, 9, 6, ""}}}); // the other one stays
  all = f.book();
  CHECK(all[x].now == link::presence::revoked);
  CHECK(all[y].now == link::presence::stopped);
  f.say("a", session, link::origin_links{{{x, link::presence::connected, 10, 11, ""}}});
  f.under_test.on_closed("a", f.edge);
  all = f.book();
  CHECK(all[f.edge].now == link::presence::unreachable);
  CHECK(all[x].now == link::presence::unreachable);
  CHECK(all[x].cause == "behind gateway " + to_string(f.edge) + " (unreachable)");
  CHECK(all[y].now == link::presence::stopped); // it had gone before
}

TEST_CASE("a gateway that changes its words all the time is not listened to for ever") {
  fixture f;
  const auto session = f.open("a");
  for (int i = 0; i < 1000; ++i)
    f.say("a", session,
          link::origin_links{{{edge_id{2}, link::presence{static_cast<std::uint16_t>(i % 8)}, i, i, ""}}});
  CHECK(f.under_test.counters().origin_links_dropped == 900);
  f.clock.now += 10 * second;
  f.say("a", session, link::origin_links{{{edge_id{2}, link::presence::quota, 1, 1, ""}}});
  CHECK(f.book()[edge_id{2}].now == link::presence::quota);
}

TEST_CASE("a sender passes on how edges further out stand, in few messages") {
  manual_clock clock;
  seeded_random random{5};
  memory_spool spool;
  struct sink final : sender_sink {
    bool send(link::message message) override {
      sent.push_back(std::move(message));
      return true;
    }
    void reconnect() override {}
    std::size_t told() const {
      return static_cast<std::size_t>(std::count_if(sent.begin(), sent.end(), [](const auto& m) {
        return std::holds_alternative<link::origin_links>(m.body);
      }));
    }
    std::vector<link::message> sent;
  } out;
  const auto board = std::make_shared<origin_board>();
  sender_config config;
  config.edge = edge_id{1};
  config.further_out = board;
  sender under_test{config, clock, random, spool, out};
  under_test.on_connected();
  under_test.on_message({9, link::welcome{}});
  for (std::uint64_t i = 2; i < 102; ++i)
    board->put(link::origin_link{edge_id{i}, link::presence::connected, 1, 1, ""});
  under_test.on_tick();
  REQUIRE(out.told() == 1);
  CHECK(std::get<link::origin_links>(out.sent.back().body).links.size() == 100);
  for (int i = 0; i < 3600; ++i) { // each second for an hour
    clock.now += second;
    board->put(link::origin_link{
        edge_id{2}, i % 2 == 0 ? link::presence::unreachable : link::presence::connected, i, i, ""});
    board->put(link::origin_link{edge_id{3}, link::presence::connected, 1, i, ""}); // heard again: no news
    under_test.on_tick();
  }
  CHECK(out.told() <= 1 + 10 + 360 + 1);
  CHECK(std::get<link::origin_links>(out.sent.back().body).links.size() == 1);
}

TEST_CASE("a book that comes back knows when edges were heard, and calls nobody there") {
  presence_book before;
  const std::int64_t t = 1'700'000'000 * second;
  edge_view there, gone;
  there.edge = edge_id{1};
  there.connected = true;
  there.last_heard_wall_ns = there.since_wall_ns = t;
  gone.edge = edge_id{2};
  gone.ended = link::presence::stopped;
  gone.last_heard_wall_ns = gone.since_wall_ns = t - 5;
  before.update({there, gone}, t);
  const auto first = before.take_changes();
  CHECK(first.size() == 2);
  for (int i = 1; i <= 59; ++i) { // heard each second: no writes
    there.last_heard_wall_ns = t + i * second;
    before.update({there, gone}, t + i * second);
    CHECK(before.take_changes().empty());
  }
  there.last_heard_wall_ns = t + 60 * second;
  before.update({there, gone}, t + 60 * second);
  CHECK(before.take_changes().size() == 1);
  there.connected = false;
  there.ended = link::presence::unreachable;
  before.update({there, gone}, t + 60 * second);
  there.connected = true;
  before.update({there, gone}, t + 60 * second);
  CHECK(before.take_changes().empty()); // it came and went in between: only what holds is kept
  presence_book after;
  for (const auto& [edge, one] : before.all()) {
    const auto kept = presence_from_text(to_text(one));
    REQUIRE(kept);
    CHECK(*kept == one);
    after.restore(*kept);
  }
  CHECK(after.all().at(edge_id{1}).now == link::presence::unreachable);
  CHECK(after.all().at(edge_id{1}).cause == "not heard of since this node started");
  CHECK(after.all().at(edge_id{1}).heard_ns == t + 60 * second);
  CHECK(after.all().at(edge_id{2}).now == link::presence::stopped);
  CHECK_FALSE(presence_from_text(""));
  CHECK_FALSE(presence_from_text("2 1 0 1 1 1 "));
  CHECK_FALSE(presence_from_text("1 1 0 9 1 1 "));
}
