#include "tests/actors/delivery/world.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <deque>

using namespace skerry;
using namespace skerry::delivery;
using namespace skerry::delivery::test;

namespace {

struct fixture final : sender_sink {
  fixture() {
    sender_config config;
    config.edge = self.edge;
    config.current = self.epoch;
    config.fresh_records = 2;
    config.under_way = claims_;
    under_test.emplace(config, clock, random, spool, *this);
  }
  bool send(link::message message) override {
    if (takes == 0)
      return false;
    --takes;
    sent.push_back(std::move(message));
    return true;
  }
  void reconnect() override {}
  bool backlog_apart() const noexcept override { return apart; }

  run commit(const stream_key& key, int records) {
    std::vector<pending_record> all(static_cast<std::size_t>(records));
    for (auto& record : all)
      record.kind = record_kind::event;
    return spool.commit(key, all);
  }
  void welcome(std::uint64_t credit = 1 << 20, std::vector<link::stream_held> durable = {}) {
    under_test->on_connected();
    link::welcome welcome;
    welcome.durable = std::move(durable);
    welcome.credit_bytes = credit;
    welcome.features = features;
    welcome.kinds = kinds;
    sent.clear();
    under_test->on_message({9, welcome});
  }
  std::vector<std::tuple<stream_key, sequence, link::lane>> batches() const {
    std::vector<std::tuple<stream_key, sequence, link::lane>> out;
    for (const auto& message : sent)
      if (const auto* batch = std::get_if<link::batch>(&message.body))
        out.emplace_back(batch->run.header.key, batch->run.header.first, batch->lane);
    return out;
  }

  // The ones to be sent, in order, each with the kinds of its records.
  std::vector<std::vector<record_kind>> kinds_sent() const {
    std::vector<std::vector<record_kind>> out;
    for (const auto& message : sent)
      if (const auto* batch = std::get_if<link::batch>(&message.body)) {
        out.emplace_back();
        const auto records = decode_records(batch->run).value();
        for (const auto& record : records)
          out.back().push_back(record.kind);
      }
    return out;
  }
  run commit(const std::vector<record_kind>& kinds_of) {
    std::vector<pending_record> all(kinds_of.size());
    for (std::size_t i = 0; i < all.size(); ++i)
      all[i].kind = kinds_of[i];
    return spool.commit(self, all);
  }

  std::uint64_t features = link::feature_keeps_kinds; // of the receiver
  kind_set kinds = known_kinds;
  const stream_key self{edge_id{1}, {5, {5}}, stream_id::telemetry};
  const stream_key outer_old{edge_id{2}, {1, {1}}, stream_id::telemetry};
  const stream_key outer{edge_id{2}, {2, {2}}, stream_id::telemetry};
  std::shared_ptr<claims> claims_ = std::make_shared<claims>();
  manual_clock clock;
  seeded_random random{1};
  memory_spool spool;
  std::vector<link::message> sent;
  bool apart = false;
  std::size_t takes = SIZE_MAX; // messages, until the link is full
  std::optional<sender> under_test;
};

using link::lane;

} // namespace

TEST_CASE("after Welcome the newest records of every edge go before any backlog") {
  fixture f;
  for (int i = 0; i < 3; ++i) {
    f.commit(f.self, 2);
    f.commit(f.outer_old, 1);
    f.commit(f.outer, 2);
  }
  f.welcome();
  const std::vector<std::tuple<stream_key, sequence, lane>> expected{{f.self, 5, lane::live},
                                                                     {f.outer, 5, lane::live},
                                                                     {f.self, 1, lane::backlog},
                                                                     {f.outer_old, 1, lane::backlog},
                                                                     {f.outer, 1, lane::backlog}};
  CHECK(f.batches() == expected);
}

TEST_CASE("what is just committed goes as the quota allows: alerts last, and nothing when it is used up") {
  fixture f;
  const stream_key alerts{f.self.edge, f.self.epoch, stream_id::alert};
  f.welcome();
  const auto goes = [&](quota_level level, const stream_key& key) {
    f.under_test->limit(level, std::chrono::minutes{5}, 0);
    f.sent.clear();
    f.under_test->on_committed(f.commit(key, 1));
    return !f.batches().empty();
  };
  CHECK(goes(quota_level::no_backlog, f.self));
  CHECK_FALSE(goes(quota_level::alerts_only, f.self));
  CHECK(goes(quota_level::alerts_only, alerts));
  CHECK_FALSE(goes(quota_level::exhausted, alerts));
}

TEST_CASE("where an edge's newest epoch is all there, its older ones are backlog") {
  fixture f;
  f.commit(f.outer_old, 3);
  f.commit(f.outer, 2);
  f.commit(f.self, 1);
  range_set both;
  both.add({1, 2});
  f.welcome(1 << 20, {{f.outer, both}});
  const std::vector<std::tuple<stream_key, sequence, lane>> expected{{f.self, 1, lane::live},
                                                                     {f.outer_old, 1, lane::backlog}};
  CHECK(f.batches() == expected);
}

TEST_CASE("what was backlog is so again when a batch that held it gets no answer") {
  fixture f;
  f.commit(f.self, 1);
  f.welcome();
  f.takes = 0;
  f.under_test->on_committed(f.commit(f.outer, 1), lane::live);
  f.under_test->on_committed(f.commit(f.outer, 3), lane::backlog);
  f.takes = SIZE_MAX;
  f.sent.clear();
  f.under_test->on_tick();
  REQUIRE(f.batches() == std::vector{std::tuple{f.outer, sequence{1}, lane::live}}); // it reaches to 4
  link::ack ack;
  range_set one;
  one.add({1, 1});
  ack.ranges.push_back({f.outer, one});
  f.under_test->on_message({9, ack});
  f.sent.clear();
  for (int i = 0; i < 4; ++i) {
    f.clock.now += 10'000'000'000;
    f.under_test->on_message({9, link::pong{}});
    f.under_test->on_tick();
  }
  const auto sent = f.batches();
  CHECK(std::find(sent.begin(), sent.end(), std::tuple{f.outer, sequence{2}, lane::backlog}) != sent.end());
  CHECK(f.under_test->counters().unanswered_batches >= 1);
}

TEST_CASE("apart from what is fresh, more backlog is under way") {
  const auto under_way = [](bool apart) {
    fixture f;
    f.apart = apart;
    for (int i = 0; i < 400; ++i)
      f.commit(f.self, 100);
    f.welcome();
    CHECK(f.under_test->backlog_flows());
    // A link that takes a batch a second.
    std::deque<link::batch> on_link;
    for (int i = 0; i < 30; ++i) {
      for (auto& message : std::exchange(f.sent, {}))
        if (auto* batch = std::get_if<link::batch>(&message.body))
          on_link.push_back(std::move(*batch));
      REQUIRE_FALSE(on_link.empty());
      f.clock.now += 1'000'000'000;
      const auto& landed = on_link.front().run.header;
      link::ack ack;
      range_set range;
      range.add({landed.first, landed.last()});
      ack.ranges.push_back({landed.key, range});
      on_link.pop_front();
      f.under_test->on_message({9, ack});
    }
    return f.under_test->in_flight_bytes();
  };
  CHECK(under_way(true) > 2 * under_way(false));
}

TEST_CASE("what comes from further out keeps its lane") {
  fixture f;
  f.commit(f.outer, 4);
  f.welcome(1); // a byte of credit: one batch at a time
  f.sent.clear();
  const auto old = f.commit(f.outer_old, 1);
  f.under_test->on_committed(old, lane::backlog);
  const auto fresh = f.commit(f.outer, 1);
  f.under_test->on_committed(fresh, lane::live);
  CHECK(f.batches().empty());
  link::ack ack;
  range_set first;
  first.add({3, 4});
  ack.ranges.push_back({f.outer, first});
  f.under_test->on_message({9, ack});
  REQUIRE(f.batches().size() == 1);
  CHECK(f.batches()[0] == std::tuple{f.outer, sequence{5}, lane::live});
}

TEST_CASE("what was sent may not be dropped until it is acknowledged or the session ends") {
  fixture f;
  f.commit(f.self, 3);
  f.welcome();
  REQUIRE(f.batches().size() == 2); // 2 and 3 are fresh, 1 is not
  range_set all;
  all.add({1, 3});
  const auto free = [&] {
    auto out = f.claims_->block(f.self, all);
    f.claims_->unblock_all();
    return out;
  };
  CHECK(free().empty());
  // The link answers, though not for these: they go again, and may be stored by the first try still.
  for (int i = 0; i < 4; ++i) {
    f.clock.now += 10'000'000'000;
    f.under_test->on_message({9, link::pong{}});
    f.under_test->on_tick();
  }
  CHECK(f.batches().size() == 4);
  CHECK(free().empty());
  link::ack ack;
  range_set first;
  first.add({1, 1});
  ack.ranges.push_back({f.self, first});
  f.under_test->on_message({9, ack});
  CHECK(free() == first);
  f.under_test->on_disconnected();
  CHECK(free() == all);
}

TEST_CASE("a batch that the link does not take sets nothing free that another has under way") {
  fixture f;
  f.commit(f.self, 4);
  f.takes = 2; // Hello, and the batch with 3 and 4, which are fresh; the backlog's would hold them once more
  f.welcome();
  REQUIRE(f.batches().size() == 1);
  range_set all, unsent;
  all.add({1, 4});
  unsent.add({1, 2});
  CHECK(f.claims_->block(f.self, all) == unsent);
}

TEST_CASE("what was dropped before the sender heard of it is not sent") {
  fixture f;
  f.welcome();
  const auto data = f.commit(f.self, 2);
  // Its limits strike before the run is handed over.
  range_set both;
  both.add({1, 2});
  CHECK(f.claims_->block(f.self, both) == both);
  tombstone stone;
  stone.last = 2;
  byte_buffer payload, bytes;
  encode_payload(stone, payload);
  run_builder builder{f.self, 1};
  builder.append(record_kind::tombstone, 0, {}, payload, 2);
  const auto instead = std::move(builder).finish();
  encode_record(record_kind::tombstone, f.self, 1, 0, {}, payload, bytes);
  f.spool.streams_[f.self].records = {{1, bytes}};
  f.claims_->replaced(f.self, {1, 2});
  f.claims_->unblock_all();

  f.under_test->on_committed(data);
  CHECK(f.batches().empty());
  f.under_test->on_committed(instead, lane::alert, true);
  REQUIRE(f.batches().size() == 1);
  CHECK(f.batches()[0] == std::tuple{f.self, sequence{1}, lane::alert});
  const auto& sent = std::get<link::batch>(f.sent.back().body).run;
  const auto records = decode_records(sent).value();
  CHECK(records.at(0).kind == record_kind::tombstone);
}

TEST_CASE("a wall clock that jumps is told at the next tick, once") {
  fixture f;
  f.welcome();
  const auto pings = [&] {
    return std::count_if(f.sent.begin(), f.sent.end(), [](const link::message& message) {
      return std::holds_alternative<link::ping>(message.body);
    });
  };
  f.under_test->on_tick();
  CHECK(pings() == 0);
  f.clock.wall_offset -= 3'600'000'000'000;
  f.under_test->on_tick();
  f.under_test->on_tick();
  REQUIRE(pings() == 1);
  CHECK(std::get<link::ping>(f.sent.back().body).wall_ns == f.clock.wall_ns());
}

TEST_CASE("what the receiver refuses is set aside, and all else goes on") {
  fixture f;
  f.commit(f.self, 2);
  f.commit(f.outer_old, 3);
  f.commit(f.outer, 3);
  f.welcome();
  const auto of_outer = [&] {
    const auto all = f.batches();
    return std::count_if(all.begin(), all.end(),
                         [](const auto& b) { return std::get<0>(b).edge == edge_id{2}; });
  };
  REQUIRE(of_outer() > 0);
  // Each batch is refused for itself; the first refusal is enough for all that is to come.
  const auto sent = std::exchange(f.sent, {});
  for (const auto& message : sent)
    if (const auto* batch = std::get_if<link::batch>(&message.body);
        batch != nullptr && batch->run.header.key.edge == edge_id{2})
      f.under_test->on_message({9, link::refusal{batch->run.header.key,
                                                 {batch->run.header.first, batch->run.header.last()},
                                                 link::refusal_scope::edge,
                                                 link::refusal_reason::forbidden,
                                                 "it has a key of its own"}});
  CHECK(f.claims_->claimed_ranges()
        == 1); // of the gateway's own, which is under way: limits may have the rest
  const auto aside = f.under_test->set_aside();
  REQUIRE(aside.size() == 1);
  CHECK(aside[0].key.edge == edge_id{2});
  CHECK(aside[0].records == 6);
  CHECK(aside[0].message == "it has a key of its own");
  CHECK(of_outer() == 0);
  f.under_test->on_committed(f.commit(f.outer, 1));
  f.under_test->on_committed(f.commit(f.self, 1));
  CHECK(of_outer() == 0);
  CHECK(f.batches() == std::vector<std::tuple<stream_key, sequence, lane>>{{f.self, 3, lane::live}});
  CHECK(std::get<link::batch>(f.sent.back().body).pending_records == 3); // nobody is to wait for the rest
  CHECK(f.under_test->phase() == sender_phase::live);
  CHECK_FALSE(f.under_test->has_backlog());

  // One record a minute or more, and not after a new session either.
  f.sent.clear();
  f.welcome();
  CHECK(of_outer() == 0);
  f.sent.clear();
  range_set own;
  own.add({1, 3});
  f.under_test->on_message({9, link::ack{{{f.self, own}}, 0}});
  const auto answer_all = [&] {
    for (const auto& message : std::exchange(f.sent, {}))
      if (const auto* ping = std::get_if<link::ping>(&message.body))
        f.under_test->on_message({9, link::pong{ping->wall_ns, ping->monotonic_ns}});
  };
  std::size_t asked = 0, probes = 0, records = 0;
  for (int i = 0; i < 2 * 600; ++i) {
    f.clock.now += 500'000'000;
    f.under_test->on_tick();
    for (const auto& message : f.sent)
      if (const auto* origins = std::get_if<link::origins>(&message.body)) {
        CHECK(origins->edges == std::vector{edge_id{2}});
        CHECK(++asked == probes); // before each after a refusal: that edge may have lost its key
      } else if (const auto* batch = std::get_if<link::batch>(&message.body);
                 batch != nullptr && batch->run.header.key.edge == edge_id{2}) {
        ++probes;
        records += batch->run.header.record_count;
        f.under_test->on_message({9, link::refusal{batch->run.header.key,
                                                   {batch->run.header.first, batch->run.header.last()},
                                                   link::refusal_scope::edge,
                                                   link::refusal_reason::forbidden,
                                                   "it has a key of its own"}});
      }
    answer_all();
  }
  CHECK(probes >= 2);
  CHECK(probes <= 6);
  CHECK(asked + 1 == probes);
  CHECK(records == probes);

  // Taken again: everything goes.
  std::optional<link::batch> probe;
  for (int i = 0; i < 2 * 3600 && !probe; ++i) {
    f.clock.now += 500'000'000;
    f.under_test->on_tick();
    for (const auto& message : f.sent)
      if (const auto* batch = std::get_if<link::batch>(&message.body);
          batch != nullptr && batch->run.header.key.edge == edge_id{2})
        probe = *batch;
    answer_all();
  }
  REQUIRE(probe);
  link::ack ack;
  range_set taken;
  taken.add({probe->run.header.first, probe->run.header.last()});
  ack.ranges.push_back({probe->run.header.key, taken});
  CHECK(f.claims_->refused().edges == std::set{edge_id{2}});
  f.under_test->on_message({9, ack});
  CHECK(f.under_test->set_aside().empty());
  CHECK(f.claims_->refused().empty()); // at once: it is on its way
  CHECK(of_outer() >= 2);              // both epochs
}

TEST_CASE("what is set aside goes on with a tombstone that began before what waits") {
  fixture f;
  tombstone stone;
  stone.last = 3;
  byte_buffer payload;
  encode_payload(stone, payload);
  run_builder builder{f.outer, 1};
  builder.append(record_kind::tombstone, 1, {}, payload, 3);
  const auto made = std::move(builder).finish();
  const auto records = decode_records(made).value();
  f.spool.streams_[f.outer].records[1] = {records[0].bytes.begin(), records[0].bytes.end()};
  f.spool.streams_[f.outer].last = 3;
  f.welcome();
  f.under_test->on_message(
      {9,
       link::refusal{
           f.outer, {1, 3}, link::refusal_scope::stream, link::refusal_reason::not_now, "the disk failed"}});
  REQUIRE(f.under_test->set_aside().size() == 1);
  // The record that the tombstone replaced had been on its way, and is stored: of the rest the tombstone tells.
  range_set first;
  first.add({1, 1});
  f.welcome(1 << 20, {{f.outer, first}});
  for (int i = 0; i < 2 * 60 && f.batches().empty(); ++i) {
    f.clock.now += 500'000'000;
    f.under_test->on_tick();
  }
  REQUIRE(f.batches() == std::vector<std::tuple<stream_key, sequence, lane>>{{f.outer, 1, lane::backlog}});
  range_set all;
  all.add({1, 3});
  f.under_test->on_message({9, link::ack{{{f.outer, all}}, 0}});
  CHECK(f.under_test->pending_records() == 0);
  CHECK(f.under_test->set_aside().empty());
}

TEST_CASE("of refused records each is tried alone, so that those go on that are not to blame") {
  fixture f;
  f.commit(f.self, 6);
  f.welcome();
  const sequence bad = 4;
  const auto answer = [&] {
    for (const auto& message : std::exchange(f.sent, {}))
      if (const auto* batch = std::get_if<link::batch>(&message.body)) {
        const sequence_range range{batch->run.header.first, batch->run.header.last()};
        range_set all;
        all.add(range);
        if (all.contains(bad))
          f.under_test->on_message({9, link::refusal{f.self, range, link::refusal_scope::batch,
                                                     link::refusal_reason::malformed, "does not decode"}});
        else
          f.under_test->on_message({9, link::ack{{{f.self, all}}, 0}});
      }
  };
  for (int i = 0; i < 2 * 200; ++i) {
    answer();
    f.clock.now += 500'000'000;
    f.under_test->on_tick();
  }
  const auto aside = f.under_test->set_aside();
  REQUIRE(aside.size() == 1);
  CHECK(aside[0].records == 1);
  CHECK(f.under_test->pending_records() == 1);
  // Limits may have what was refused when it came alone, not what came with it.
  range_set alone;
  alone.add({bad, bad});
  CHECK(f.claims_->refused().records == std::map<stream_key, range_set>{{f.self, alone}});
  // What comes after it is sent without it.
  f.sent.clear();
  f.under_test->on_committed(f.commit(f.self, 2));
  CHECK(f.batches() == std::vector<std::tuple<stream_key, sequence, lane>>{{f.self, 7, lane::live}});
}

TEST_CASE("what the receiver cannot store now is tried with one record within half a minute") {
  fixture f;
  f.commit(f.self, 50);
  f.welcome();
  std::size_t sent = 0;
  bool full = true;
  const auto answer = [&] {
    for (const auto& message : std::exchange(f.sent, {}))
      if (const auto* batch = std::get_if<link::batch>(&message.body)) {
        const sequence_range range{batch->run.header.first, batch->run.header.last()};
        ++sent;
        range_set all;
        all.add(range);
        if (full)
          f.under_test->on_message({9, link::refusal{f.self, range, link::refusal_scope::stream,
                                                     link::refusal_reason::not_now, "the disk is full"}});
        else
          f.under_test->on_message({9, link::ack{{{f.self, all}}, 0}});
      }
  };
  for (int i = 0; i < 2 * 600; ++i) {
    answer();
    f.clock.now += 500'000'000;
    f.under_test->on_tick();
    if (i % 20 == 0)
      f.under_test->on_committed(f.commit(f.self, 1));
  }
  CHECK(f.claims_->refused().empty()); // it waits for room, not for a person
  CHECK(sent < 60);                    // one in 15 to 30 s, and a few at first
  CHECK(f.under_test->phase() == sender_phase::live);
  full = false;
  for (int i = 0; i < 2 * 35; ++i) {
    answer();
    f.clock.now += 500'000'000;
    f.under_test->on_tick();
  }
  answer();
  CHECK(f.under_test->pending_records() == 0);
}

TEST_CASE("a session that achieves nothing does not reset the back-off") {
  fixture f;
  f.commit(f.self, 1);
  f.under_test->on_connected();
  int hellos = 0;
  for (int i = 0; i < 2 * 600; ++i) {
    for (const auto& message : std::exchange(f.sent, {}))
      if (std::holds_alternative<link::hello>(message.body)) {
        ++hellos;
        link::welcome welcome;
        welcome.credit_bytes = 1 << 20;
        f.under_test->on_message({9, welcome});
        f.under_test->on_message({9, link::bye{link::bye_reason::stopping, "cannot store now"}});
      }
    f.clock.now += 500'000'000;
    f.under_test->on_tick();
  }
  CHECK(hellos > 15);
  CHECK(hellos < 50);
}

// Where the receiver asks who lives, only a second Hello over the same connection is an answer: it must come before
// another address is tried (`failover_after`, 20 s), however often the receiver refused before.
TEST_CASE("a Hello that may have come late is said again soon, once a connection") {
  fixture f;
  f.commit(f.self, 1);
  const auto hellos_in = [&](int ticks) {
    int hellos = 0;
    for (int i = 0; i < ticks; ++i) {
      for (const auto& message : std::exchange(f.sent, {}))
        if (std::holds_alternative<link::hello>(message.body)) {
          ++hellos;
          f.under_test->on_message({0, link::bye{link::bye_reason::superseded, "say it again"}});
        }
      f.clock.now += 500'000'000;
      f.under_test->on_tick();
    }
    return hellos;
  };
  f.under_test->on_connected();
  CHECK(hellos_in(2 * 600) < 50); // the back-off is at its longest
  for (int connection = 0; connection < 3; ++connection) {
    f.under_test->on_disconnected();
    f.sent.clear();
    f.under_test->on_connected();
    CHECK(hellos_in(4) == 2);  // again after half a second
    CHECK(hellos_in(20) == 0); // and no more than that
  }
}

TEST_CASE("Welcome says of which edges nothing is taken") {
  fixture f;
  f.commit(f.self, 1);
  f.commit(f.outer, 1);
  f.under_test->on_connected();
  const auto& hello = std::get<link::hello>(f.sent.front().body);
  REQUIRE(hello.features == link::features_known);
  REQUIRE(hello.kinds == known_kinds);
  link::welcome welcome;
  welcome.credit_bytes = 1 << 20;
  welcome.features = link::features_known;
  welcome.refused_edges = {edge_id{2}};
  f.sent.clear();
  f.under_test->on_message({9, welcome});
  CHECK(f.batches() == std::vector<std::tuple<stream_key, sequence, lane>>{{f.self, 1, lane::live}});
  CHECK(f.under_test->set_aside().size() == 1);
  // The next session's word counts alone.
  f.under_test->on_connected();
  welcome.refused_edges.clear();
  f.sent.clear();
  f.under_test->on_message({9, welcome});
  CHECK(f.batches().size() == 2);
  CHECK(f.under_test->set_aside().empty());
}

TEST_CASE("an older receiver is not given what it cannot keep, and a newer one gets it") {
  using enum record_kind;
  const auto unknown = record_kind{200};
  fixture f;
  f.commit({watermark, event, clock_note, unknown, unknown, watermark});
  f.features = 0;
  f.kinds = bit_of(watermark) | bit_of(clock_note) | bit_of(tombstone);
  f.welcome();
  CHECK(f.kinds_sent()
        == std::vector<std::vector<record_kind>>{{watermark}, {watermark}, {clock_note}}); // the newest first
  CHECK(f.under_test->held_back_records() == 3);
  CHECK(f.under_test->pending_records() == 6);
  CHECK_FALSE(f.under_test->has_backlog());

  // What comes later alike; a tombstone in the place of what waits goes.
  f.sent.clear();
  f.under_test->on_committed(f.commit({event, watermark}));
  CHECK(f.kinds_sent() == std::vector<std::vector<record_kind>>{{watermark}});
  CHECK(f.under_test->held_back_records() == 4);
  f.under_test->on_tick();
  CHECK(f.kinds_sent().size() == 1);
  run_builder stone{f.self, 7};
  byte_buffer payload;
  encode_payload(skerry::tombstone{7, 0, 0, 0, 1, loss_cause::spool_bytes}, payload);
  stone.append(tombstone, 0, {}, payload);
  const auto replaced = std::move(stone).finish();
  const auto bytes = replaced.records();
  f.spool.streams_[f.self].records[7] = {bytes.begin(), bytes.end()};
  f.under_test->on_committed(replaced, lane::alert, true);
  CHECK(f.kinds_sent().back().front() == tombstone);
  CHECK(f.under_test->held_back_records() == 3);

  f.features = link::feature_keeps_kinds;
  range_set durable;
  durable.add({1, 1});
  f.welcome(1 << 20, {{f.self, durable}});
  CHECK(f.under_test->held_back_records() == 0);
  std::vector<record_kind> all;
  for (const auto& batch : f.kinds_sent())
    all.insert(all.end(), batch.begin(), batch.end());
  CHECK(std::count(all.begin(), all.end(), unknown) == 2);
  CHECK(std::count(all.begin(), all.end(), event) == 1);
}

TEST_CASE("a receiver that does not say which kinds it knows gets those of the first version") {
  using enum record_kind;
  fixture f;
  f.commit({frame, log_chunk, event, alert_transition, watermark, clock_note, not_collected});
  f.features = f.kinds = 0;
  f.welcome();
  std::set<record_kind> got;
  for (const auto& batch : f.kinds_sent())
    got.insert(batch.begin(), batch.end());
  CHECK(got == std::set{frame, watermark, clock_note, not_collected});
  CHECK(f.under_test->held_back_records() == 3);
}

TEST_CASE("a kind that names series sets goes to a receiver that knows it, not to one that only keeps it") {
  using enum record_kind;
  fixture f;
  f.commit({frame, event});
  f.kinds = known_kinds & ~bit_of(frame);
  f.welcome();
  CHECK(f.kinds_sent() == std::vector<std::vector<record_kind>>{{event}});
}

TEST_CASE("an origin is announced before its first batch, and once") {
  fixture f;
  f.welcome();
  f.takes = 0;
  f.under_test->on_committed(f.commit(f.outer, 1)); // the link takes nothing now
  CHECK(f.sent.empty());
  f.takes = SIZE_MAX;
  f.under_test->on_committed(f.commit(f.outer, 1));
  REQUIRE(f.sent.size() >= 2);
  CHECK(std::get<link::origins>(f.sent.at(0).body).edges == std::vector{edge_id{2}});
  f.under_test->on_committed(f.commit(f.outer, 1));
  CHECK(std::count_if(f.sent.begin(), f.sent.end(),
                      [](const auto& message) { return std::holds_alternative<link::origins>(message.body); })
        == 1);
}

TEST_CASE("a Hello that would be too large leaves out what the receiver can do without") {
  fixture f;
  f.commit(f.self, 1);
  for (std::uint64_t i = 2; i < 70'000; ++i) {
    auto& stream = f.spool.streams_[{edge_id{i}, {1, {1}}, stream_id::telemetry}];
    stream.released.add({1, 1});
    stream.last = 1;
  }
  const stream_key pending{edge_id{80'000}, {1, {1}}, stream_id::telemetry};
  f.commit(pending, 1);
  f.under_test->on_connected();
  const auto& hello = std::get<link::hello>(f.sent.front().body);
  CHECK(hello.streams.size() <= 65'536);
  const auto names = [&](const stream_key& key) {
    return std::any_of(hello.streams.begin(), hello.streams.end(),
                       [&](const auto& stream) { return stream.key == key; });
  };
  CHECK(names(f.self));
  CHECK(names(pending));
  CHECK(link::decode(link::encode(f.sent.front()), 32 << 20));
}

TEST_CASE("what the receiver lost and is still here goes again as backlog") {
  fixture f;
  f.commit(f.self, 6);
  f.spool.kept[f.self] = f.spool.streams_[f.self].records;
  range_set all, lost, gone;
  all.add({1, 6});
  lost.add({2, 4});
  f.welcome(1 << 20, {{f.self, all}});
  CHECK(f.batches().empty());
  CHECK(f.under_test->pending_records() == 0);
  f.spool.kept[f.self].erase(4); // deleted since the Hello
  f.sent.clear();
  f.under_test->on_connected();
  link::welcome welcome;
  welcome.credit_bytes = 1 << 20;
  welcome.features = link::feature_keeps_kinds;
  welcome.again = {{f.self, lost}};
  f.under_test->on_message({9, welcome});
  REQUIRE(f.batches().size() == 1);
  CHECK(std::get<sequence>(f.batches().front()) == 2);
  CHECK(f.under_test->pending_records() == 2);
  CHECK(f.under_test->counters().returned_records == 2);
}

TEST_CASE("a receiver that asks for the same series sets again and again is answered within a budget") {
  fixture f;
  std::vector<set_hash> names;
  std::uint64_t once = 0;
  for (int i = 0; i < 50; ++i) {
    std::string junk; // does not compress
    for (int k = 0; k < 40'000; ++k)
      junk += static_cast<char>('a' + f.random.below(26));
    const auto set =
        make_series_set({{"m", metric_type::gauge, "", ""}}, {{0, {{"__name__", "m"}, {"i", junk}}}});
    f.spool.sets[set->hash] = set;
    names.push_back(set->hash);
    once += link::pack(*set).packed.view.size();
  }
  const auto answered = [&] {
    std::uint64_t bytes = 0;
    for (const auto& message : f.sent)
      if (const auto* sets = std::get_if<link::sets>(&message.body))
        for (const auto& one : sets->found)
          bytes += one.packed.view.size();
    return bytes;
  };
  f.welcome();
  f.under_test->on_message({9, link::need{f.self.edge, names}});
  CHECK(answered() == once);        // the first time at once
  for (int i = 0; i < 9'000; ++i) { // each millisecond
    f.clock.now += 1'000'000;
    f.under_test->on_message({9, link::need{f.self.edge, names}});
  }
  CHECK(answered() <= 2 * once + (5 << 20));
  // New sessions are no way around it, nor is what is not here.
  std::vector<set_hash> unknown(4096);
  for (std::size_t i = 0; i < unknown.size(); ++i)
    unknown[i].bytes = {static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(i >> 8), 1};
  std::uint64_t more = 0;
  std::size_t missing = 0;
  for (int i = 0; i < 20; ++i) {
    f.welcome();
    for (int k = 0; k < 100; ++k) {
      f.under_test->on_message({9, link::need{f.self.edge, names}});
      f.under_test->on_message({9, link::need{f.self.edge, unknown}});
    }
    more += answered();
    for (const auto& message : f.sent)
      if (const auto* sets = std::get_if<link::sets>(&message.body))
        missing += sets->missing.size();
  }
  CHECK(more <= 64 << 10);
  CHECK(missing <= 4096);
  // But they are answered as time goes by: a session waits for them.
  f.welcome();
  f.under_test->on_message({9, link::need{f.self.edge, {names.front()}}});
  for (int i = 0; i < 3600 && answered() == 0; ++i) {
    f.clock.now += 1'000'000'000;
    f.under_test->on_tick();
  }
  CHECK(answered() > 0);
}
