#include "schemas/model/frame.hpp"
#include "schemas/model/payload.hpp"
#include "simulator/fleet/edge_tally.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::sim;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t start = 1'700'000'000'000 * ms;

struct world {
  fleet_latencies latencies;
  edge_tally tally{latencies};
  stream_key key{static_cast<edge_id>(7), {1, {}}, stream_id::telemetry};
  sequence next = 1;

  static byte_buffer frame_of(std::size_t samples, std::int64_t time_ns) {
    frame f;
    f.time_ns = time_ns;
    f.sections.push_back({{}, static_cast<std::uint16_t>(samples), {}});
    f.values.assign(samples, 1.5);
    value_encoder encoder;
    byte_buffer out;
    encode_frame(f, encoder, out);
    return out;
  }
  // Records of so many samples each, a second apart; 0: a watermark.
  void commit(const std::vector<std::size_t>& samples, std::int64_t at_ns, bool live,
              std::int64_t skew_ns = 0) {
    run_builder builder{key, next};
    for (const auto n : samples) {
      if (n != 0)
        builder.append(record_kind::frame, at_ns, "h", frame_of(n, at_ns));
      else
        builder.append(record_kind::watermark, at_ns, "h", {});
      ++next;
    }
    tally.committed(std::move(builder).finish(), live, skew_ns);
  }
  void release(sequence first, sequence last, std::int64_t now_ns) {
    range_set ranges;
    ranges.add({first, last});
    tally.released(key, ranges, now_ns);
  }
};

} // namespace

TEST_CASE("what was committed is pending until it is released, and counts once") {
  world w;
  w.commit({10, 0, 5}, start, true);
  CHECK(w.tally.totals().committed == 15);
  CHECK(w.tally.totals().pending() == 15);
  w.release(1, 2, start + 100 * ms);
  CHECK(w.tally.totals().acked == 10);
  w.release(1, 3, start + 200 * ms); // a range that was released before, in part
  w.release(1, 3, start + 300 * ms);
  CHECK(w.tally.totals().acked == 15);
  CHECK(w.tally.totals().pending() == 0);
  CHECK(w.latencies.all.count() == 15);
}

TEST_CASE("an ack that leaves a hole leaves it pending") {
  world w;
  w.commit({1, 2, 4, 8}, start, true);
  w.release(3, 4, start);
  CHECK(w.tally.totals().acked == 12);
  CHECK(w.tally.totals().pending() == 3);
  w.release(1, 2, start);
  CHECK(w.tally.totals().pending() == 0);
}

TEST_CASE("tombstones take samples from pending, and their ack is no sample's ack") {
  world w;
  w.commit({10, 20, 30, 40}, start, false);
  run_builder with{w.key, 2};
  tombstone stone;
  stone.last = 3;
  byte_buffer payload;
  encode_payload(stone, payload);
  with.append(record_kind::tombstone, start, {}, payload, 2);
  w.tally.replaced(std::move(with).finish());
  CHECK(w.tally.totals().dropped == 50);
  CHECK(w.tally.totals().pending() == 50);
  w.release(1, 4, start);
  CHECK(w.tally.totals().acked == 50);
  CHECK(w.tally.totals().dropped == 50);
  CHECK(w.tally.totals().pending() == 0);
  CHECK(w.latencies.all.count() == 50);
}

TEST_CASE("latency counts from the true time of a sample, and apart for what was committed with a session") {
  world w;
  w.commit({10}, start + 60'000 * ms, true, 60'000 * ms); // the clock is a minute ahead
  w.commit({10}, start, false);
  w.release(1, 1, start + 100 * ms);
  w.release(2, 2, start + 5000 * ms);
  CHECK(w.latencies.live.count() == 10);
  CHECK(w.latencies.live.quantile(1) >= 100ms);
  CHECK(w.latencies.live.quantile(1) <= 107ms);
  CHECK(w.latencies.all.quantile(1) >= 5000ms);
  CHECK(w.latencies.all.quantile(1) <= 5320ms);
}

TEST_CASE("an edge is current when what was newest at its Welcome is acknowledged") {
  world w;
  w.tally.expect_current(5);
  CHECK(w.tally.current_at() == 5); // it had nothing to say
  w.commit({1, 1, 1}, start, false);
  w.tally.expect_current(6);
  CHECK_FALSE(w.tally.current_at());
  w.commit({1}, start, true);
  w.release(4, 4, start); // newer than that
  CHECK_FALSE(w.tally.current_at());
  w.release(3, 3, start);
  REQUIRE(w.tally.current_at());
  CHECK(*w.tally.current_at() > 6);
}

TEST_CASE("acks of an earlier run's epochs are not counted") {
  world w;
  w.commit({1}, start, true);
  auto other = w.key;
  other.epoch.boot_counter = 9;
  range_set ranges;
  ranges.add({1, 1});
  w.tally.released(other, ranges, start);
  CHECK(w.tally.totals().acked == 0);
}

TEST_CASE("quantiles are right within a sixteenth, from a millisecond to days") {
  latency_histogram h;
  CHECK(h.quantile(0.5) == 0ms);
  for (int i = 1; i <= 10'000; ++i)
    h.add(std::chrono::milliseconds{i}, 1);
  for (const auto share : {0.1, 0.5, 0.9, 0.99, 1.0}) {
    const auto want = share * 10'000;
    const auto got = static_cast<double>(h.quantile(share).count());
    INFO(share << " " << got);
    CHECK(got >= want);
    CHECK(got <= want * (1 + 1.0 / 16) + 1);
  }
  latency_histogram ends;
  ends.add(-5s, 1);
  CHECK(ends.quantile(1) == 1ms);
  ends.add(std::chrono::hours{24 * 365}, 1);
  CHECK(ends.quantile(1) > std::chrono::hours{24});
}
