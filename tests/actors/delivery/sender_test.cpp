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
