#include "tests/actors/delivery/world.hpp"

#include <catch2/catch.hpp>

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
    under_test.emplace(config, clock, random, spool, *this);
  }
  bool send(link::message message) override {
    sent.push_back(std::move(message));
    return true;
  }
  void reconnect() override {}

  run commit(const stream_key& key, int records) {
    std::vector<pending_record> all(static_cast<std::size_t>(records));
    for (auto& record : all)
      record.kind = record_kind::event;
    return spool.commit(key, all);
  }
  void welcome(std::uint64_t credit = 1 << 20) {
    under_test->on_connected();
    link::welcome welcome;
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
  manual_clock clock;
  seeded_random random{1};
  memory_spool spool;
  std::vector<link::message> sent;
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
