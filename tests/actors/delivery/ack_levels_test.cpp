// Acks of two levels, at a sender: what is durable is not sent again in the session, what is safe is released, and what
// was durable and is not named any more goes again.

#include "tests/actors/delivery/world.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <optional>
#include <set>

using namespace skerry;
using namespace skerry::delivery;
using namespace skerry::delivery::test;

namespace {

range_set ranges(std::initializer_list<sequence_range> all) {
  range_set out;
  for (const auto& one : all)
    out.add(one);
  return out;
}

struct fixture final : sender_sink {
  explicit fixture(std::size_t durable_ranges_max = 4096) {
    sender_config config;
    config.edge = self.edge;
    config.current = self.epoch;
    config.fresh_records = 0;
    config.under_way = under_way;
    config.batch_bytes_max = 300;
    config.durable_ranges_max = durable_ranges_max;
    under_test.emplace(config, clock, random, spool, *this);
  }
  bool send(link::message message) override {
    if (const auto* batch = std::get_if<link::batch>(&message.body)) {
      batches.push_back(*batch);
      for (auto seq = batch->run.header.first; seq <= batch->run.header.last(); ++seq)
        sent_durable += durable_told.contains(seq) ? 1 : 0;
    }
    hellos += std::holds_alternative<link::hello>(message.body) ? 1 : 0;
    return true;
  }
  void reconnect() override {}

  run commit(int records) {
    std::vector<pending_record> all(static_cast<std::size_t>(records));
    for (auto& record : all)
      record.kind = record_kind::event;
    return spool.commit(self, all);
  }
  void welcome(const range_set& durable = {}, const range_set& not_safe = {}) {
    under_test->on_connected();
    answer_hello(durable, not_safe);
  }
  void answer_hello(const range_set& durable, const range_set& not_safe) {
    batches.clear();
    durable_told = durable;
    link::welcome welcome;
    welcome.credit_bytes = 1 << 20;
    welcome.features = features;
    if (!durable.empty())
      welcome.durable.push_back({self, durable});
    if (!not_safe.empty())
      welcome.not_safe.push_back({self, not_safe});
    under_test->on_message({9, std::move(welcome)});
  }
  void ack(const range_set& of, link::ack_level level) {
    durable_told.add(of);
    under_test->on_message({9, link::ack{{{self, of}}, 0, level}});
  }
  void wait(int seconds) { // on a link that answers
    for (int i = 0; i < seconds; ++i) {
      clock.now += 1'000'000'000;
      under_test->on_message({9, link::pong{}});
      under_test->on_tick();
    }
  }
  [[nodiscard]] range_set sent() const {
    range_set out;
    for (const auto& batch : batches)
      out.add({batch.run.header.first, batch.run.header.last()});
    return out;
  }
  // Of 1 to `last`, what limits may drop.
  [[nodiscard]] range_set free(sequence last, bool for_room) const {
    auto out = under_way->block(self, ranges({{1, last}}), for_room);
    under_way->unblock_all();
    return out;
  }
  [[nodiscard]] range_set held() { return spool.streams().front().held; }
  [[nodiscard]] range_set released() { return spool.streams().front().released; }

  std::uint64_t features = link::features_known;
  const stream_key self{edge_id{1}, {5, {5}}, stream_id::telemetry};
  std::shared_ptr<claims> under_way = std::make_shared<claims>();
  manual_clock clock;
  seeded_random random{1};
  memory_spool spool;
  std::vector<link::batch> batches;
  range_set durable_told; // in this session
  int hellos = 0;
  std::uint64_t sent_durable = 0; // records that were sent although they were durable
  std::optional<sender> under_test;
};

using link::ack_level;

} // namespace

TEST_CASE("what is durable is kept and not sent again, what is safe is released") {
  fixture f;
  f.commit(20);
  f.welcome();
  f.wait(1);
  REQUIRE(f.under_test->in_flight_bytes() != 0);
  const auto all = ranges({{1, 20}});
  for (int i = 0; i < 40 && f.sent() != all; ++i)
    f.ack(f.sent(), ack_level::durable);
  f.ack(all, ack_level::durable);
  CHECK(f.under_test->in_flight_bytes() == 0); // its credit is free again
  CHECK(f.under_test->pending_records() == 0);
  CHECK(f.under_test->durable_records() == 20);
  CHECK(f.held() == all);
  const auto batches = f.batches.size();
  f.wait(100); // nothing is due
  CHECK(f.batches.size() == batches);
  CHECK(f.under_test->counters().unanswered_batches == 0);
  CHECK(f.under_test->counters().dead_links == 0);

  f.ack(ranges({{1, 12}}), ack_level::safe);
  CHECK(f.released() == ranges({{1, 12}}));
  CHECK(f.under_test->durable_records() == 8);
  f.ack(all, ack_level::safe);
  f.ack(all, ack_level::durable); // late: of what is no longer here
  CHECK(f.held().empty());
  CHECK(f.under_test->durable_records() == 0);
  CHECK(f.under_test->pending_records() == 0);
  CHECK(f.under_test->counters().acked_records == 20);
  CHECK(f.under_test->counters().safe_records == 20);
}

TEST_CASE("safe alone says both") {
  fixture f;
  f.commit(3);
  f.welcome();
  f.ack(ranges({{1, 3}}), ack_level::safe);
  CHECK(f.held().empty());
  CHECK(f.under_test->in_flight_bytes() == 0);
  CHECK(f.under_test->counters().acked_records == 3);
  CHECK(f.under_test->counters().safe_records == 3);
}

TEST_CASE("of a receiver that knows one level, durable is safe") {
  fixture f;
  f.features = link::feature_refusals | link::feature_keeps_kinds;
  f.commit(3);
  f.welcome(ranges({{1, 1}}));
  CHECK(f.released() == ranges({{1, 1}}));
  f.ack(ranges({{1, 3}}), ack_level::durable);
  CHECK(f.held().empty());
}

TEST_CASE("what was durable and is not named by the next Welcome goes again") {
  fixture f;
  f.commit(9);
  f.welcome();
  f.ack(ranges({{1, 9}}), ack_level::durable);
  f.ack(ranges({{1, 3}}), ack_level::safe);
  f.under_test->on_disconnected();
  CHECK(f.under_test->durable_records() == 0);
  CHECK(f.under_test->pending_records() == 6);
  CHECK(f.under_way->claimed_ranges() == 0);

  // 4 to 6 are there still, and 6 is not safe.
  f.welcome(ranges({{1, 6}}), ranges({{6, 6}}));
  CHECK(f.sent() == ranges({{7, 9}}));
  CHECK(f.held() == ranges({{6, 9}}));
  CHECK(f.under_test->durable_records() == 1);
  CHECK(f.under_test->counters().taken_back_records == 3);
  f.ack(ranges({{6, 9}}), ack_level::safe);
  CHECK(f.held().empty());
  // Once more it is not said.
  f.under_test->on_disconnected();
  f.welcome();
  CHECK(f.under_test->counters().taken_back_records == 3);
}

TEST_CASE("what is not said to be safe for long is asked for by a new Hello, and less often each time") {
  fixture f;
  f.commit(3);
  f.welcome();
  const auto all = ranges({{1, 3}});
  f.ack(all, ack_level::durable);
  std::vector<int> waits;
  for (int seconds = 0; waits.size() < 8; ++seconds) {
    REQUIRE(seconds < 5 * 3600);
    f.hellos = 0;
    f.wait(1);
    if (f.hellos == 0)
      continue;
    CHECK(f.under_test->phase() == sender_phase::greeting);
    waits.push_back(std::exchange(seconds, 0));
    f.answer_hello(all, all);
    CHECK(f.batches.empty());
    CHECK(f.under_test->durable_records() == 3);
  }
  CHECK(waits.front() >= 140);
  CHECK(waits.front() <= 600); // it was not durable yet when that was looked at first
  CHECK(waits.back() >= 1790);
  CHECK(waits.back() <= 3600);
  CHECK(f.under_test->counters().asked_whether_safe == 8);
  // The last time it is.
  f.under_test->on_disconnected();
  f.welcome(all);
  CHECK(f.held().empty());
  // What goes on becoming safe is not asked for.
  f.hellos = 0;
  for (sequence seq = 4; seq < 400; ++seq) {
    f.under_test->on_committed(f.commit(1));
    f.ack(ranges({{seq, seq}}), ack_level::durable);
    f.wait(10);
    if (seq > 4)
      f.ack(ranges({{seq - 1, seq - 1}}), ack_level::safe);
  }
  CHECK(f.hellos == 0);
}

TEST_CASE("how soon is asked what is safe does not depend on how many sessions there were") {
  fixture f;
  f.commit(3);
  const auto all = ranges({{1, 3}});
  for (int i = 0; i < 8; ++i) {
    f.under_test->on_disconnected();
    f.welcome(all, all);
    f.wait(1);
  }
  f.hellos = 0;
  f.wait(310);
  CHECK(f.hellos == 1);
}

TEST_CASE("where something becomes safe again after long, what is left is asked for soon") {
  fixture f;
  f.commit(9);
  f.welcome();
  f.ack(ranges({{1, 9}}), ack_level::durable);
  f.wait(300); // durable by then, and all the time from then on
  for (int asked = 0; asked < 6;) {
    f.hellos = 0;
    f.wait(1);
    asked += f.hellos;
    if (f.hellos != 0)
      f.answer_hello(ranges({{1, 9}}), ranges({{1, 9}}));
  }
  f.hellos = 0;
  f.wait(20 * 60);
  REQUIRE(f.hellos == 0);                   // it may be an hour by now
  f.ack(ranges({{1, 3}}), ack_level::safe); // and the others were lost on their way
  f.wait(310);
  CHECK(f.hellos == 1);
}

TEST_CASE("what is durable may go for want of room alone, and its tombstone is sent") {
  fixture f;
  f.commit(9);
  f.welcome();
  CHECK(f.free(9, true).empty());
  f.ack(ranges({{1, 6}}), ack_level::durable);
  CHECK(f.free(9, true) == ranges({{1, 6}}));
  CHECK(f.free(9, false).empty());
  f.ack(ranges({{1, 2}}), ack_level::safe);
  CHECK(f.free(9, false) == ranges({{1, 2}}));
  f.under_test->on_disconnected();
  CHECK(f.free(9, false) == ranges({{1, 9}}));

  f.welcome(ranges({{1, 6}}), ranges({{3, 6}}));
  CHECK(f.free(9, false) == ranges({{1, 2}}));
  byte_buffer payload;
  encode_payload(tombstone{5, 1, 2, 3, 4, loss_cause::spool_bytes}, payload);
  run_builder builder{f.self, 3};
  builder.append(record_kind::tombstone, 2, {}, payload, 3);
  const auto stone = std::move(builder).finish();
  auto& records = f.spool.streams_[f.self].records;
  const auto record = decode_records(stone).value().front();
  records[3] = {record.bytes.begin(), record.bytes.end()};
  records.erase(4), records.erase(5);
  f.under_way->replaced(f.self, {3, 5});
  f.batches.clear();
  f.under_test->on_committed(stone, link::lane::alert, true);
  CHECK(f.sent() == ranges({{3, 5}}));
  CHECK(f.under_test->durable_records() == 1);
  CHECK(f.under_test->pending_records() == 6);
}

TEST_CASE("what is durable beyond the bound of ranges goes again, and nothing of it is lost") {
  fixture f{2};
  f.commit(9);
  f.welcome();
  f.ack(ranges({{1, 1}, {3, 3}}), ack_level::durable);
  CHECK(f.under_test->durable_records() == 2);
  f.ack(ranges({{5, 5}}), ack_level::durable); // one too many
  CHECK(f.under_test->durable_records() == 2);
  CHECK(f.under_test->pending_records() == 7);
  CHECK(f.under_test->counters().durable_unnoted_records == 1);
  f.ack(ranges({{2, 2}, {4, 4}}), ack_level::durable); // these join them
  CHECK(f.under_test->durable_records() == 4);
  f.ack(ranges({{6, 9}}), ack_level::durable);
  CHECK(f.under_test->durable_records() == 8);
  CHECK(f.under_test->in_flight_bytes() != 0);
  CHECK(f.free(9, false).empty());
  f.batches.clear();
  f.wait(40);
  CHECK(f.sent() == ranges({{5, 5}}));
  f.ack(ranges({{1, 9}}), ack_level::safe);
  CHECK(f.held().empty());
  CHECK(f.under_test->pending_records() == 0);
  CHECK(f.under_test->counters().acked_records == 9);
  CHECK(f.under_test->counters().safe_records == 9);
}

TEST_CASE("whatever a cluster says in which order, nothing is released before it is safe, nor sent while it "
          "is durable") {
  std::uint64_t taken_back = 0, unnoted = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    INFO("seed " << seed);
    seeded_random random{seed};
    const bool bounded = random.chance(30);
    fixture f{bounded ? 1 + random.below(3) : 4096};
    range_set at_node, safe; // what the cluster has
    sequence last = 0;
    f.welcome();
    const auto reconnect = [&] {
      auto rest = at_node;
      rest.remove(safe);
      f.under_test->on_disconnected();
      f.welcome(at_node, rest);
    };
    const auto some_of = [&](const range_set& of) {
      range_set out;
      for (const auto& range : of.ranges())
        for (auto seq = range.first; seq <= range.last; ++seq)
          if (random.chance(50))
            out.add({seq, seq});
      return out;
    };
    const auto step = [&](bool faults) {
      switch (random.below(faults ? 8 : 6)) {
      case 0:
        if (faults) {
          const auto made = f.commit(static_cast<int>(1 + random.below(4)));
          last = made.header.last();
          f.under_test->on_committed(made, random.chance(50) ? link::lane::live : link::lane::backlog);
        }
        break;
      case 1:
      case 2: // some of what was sent arrives
        for (const auto& batch : std::exchange(f.batches, {}))
          if (!faults || random.chance(70)) {
            const sequence_range range{batch.run.header.first, batch.run.header.last()};
            at_node.add(range);
            if (random.chance(70))
              f.ack(ranges({range}), ack_level::durable);
          }
        break;
      case 3:
        if (const auto told = some_of(at_node); !told.empty())
          f.ack(told, ack_level::durable); // again, or in other pieces
        break;
      case 4: // all that is at the node becomes safe, and it says so of some
        safe = at_node;
        if (const auto told = some_of(safe); !told.empty())
          f.ack(told, ack_level::safe);
        break;
      case 5: f.wait(static_cast<int>(random.below(20))); break;
      case 6: reconnect(); break;
      case 7: // the node is lost
        at_node = safe;
        reconnect();
        break;
      }
      auto early = f.released();
      early.remove(safe);
      REQUIRE(early.empty());
      REQUIRE((bounded || f.sent_durable == 0));
      REQUIRE(f.under_test->pending_records() + f.under_test->durable_records() == f.held().count());
    };
    f.commit(1);
    last = 1;
    reconnect();
    for (int i = 0; i < 300; ++i)
      step(true);
    for (int i = 0; i < 3000 && !f.held().empty(); ++i)
      step(false);
    REQUIRE(f.held().empty());
    REQUIRE(safe == ranges({{1, last}}));
    REQUIRE(f.under_way->claimed_ranges() == 0);
    REQUIRE(f.under_test->counters().safe_records == last);
    taken_back += f.under_test->counters().taken_back_records;
    unnoted += f.under_test->counters().durable_unnoted_records;
  }
  CHECK(taken_back != 0);
  CHECK(unnoted != 0);
}
