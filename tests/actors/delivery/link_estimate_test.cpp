// The estimate against a simulated link: a bottleneck with a rate, a delay, and a queue.

#include "actors/delivery/link_estimate.hpp"
#include "actors/delivery/quota.hpp"
#include "actors/delivery/token_bucket.hpp"

#include <catch2/catch.hpp>

#include <deque>

using namespace skerry;
using namespace skerry::delivery;

namespace {

constexpr std::int64_t ms = 1'000'000;

struct outcome {
  double used = 0;              // of the link's rate, in the second half
  std::int64_t wait_ns_max = 0; // in the link's queue, in the second half
  std::uint64_t in_flight_max = 0;
};

// Keeps the window full for a while.
outcome fill(double bytes_per_second, std::int64_t round_trip_ns, std::int64_t for_ns) {
  link_estimate under_test;
  struct batch {
    link_estimate::sent sent;
    std::uint64_t bytes;
    std::int64_t acked_ns;
  };
  std::deque<batch> in_flight;
  std::uint64_t in_flight_bytes = 0, delivered = 0;
  std::int64_t link_free_ns = 0;
  outcome out;
  for (std::int64_t now = 1; now < for_ns; now += ms) {
    while (!in_flight.empty() && in_flight.front().acked_ns <= now) {
      const auto done = in_flight.front();
      in_flight.pop_front();
      in_flight_bytes -= done.bytes;
      if (now > for_ns / 2)
        delivered += done.bytes;
      under_test.on_acked(done.sent, done.bytes, now);
    }
    for (;;) {
      const auto bytes = under_test.batch_bytes(256 << 10);
      if (in_flight_bytes != 0 && in_flight_bytes + bytes > under_test.window_bytes())
        break;
      if (now > for_ns / 2)
        out.wait_ns_max = std::max(out.wait_ns_max, link_free_ns - now);
      link_free_ns = std::max(link_free_ns, now)
                     + static_cast<std::int64_t>(static_cast<double>(bytes) / bytes_per_second * 1e9);
      in_flight.push_back({under_test.on_sent(in_flight_bytes, now), bytes, link_free_ns + round_trip_ns});
      in_flight_bytes += bytes;
      out.in_flight_max = std::max(out.in_flight_max, in_flight_bytes);
    }
  }
  out.used = static_cast<double>(delivered) / bytes_per_second / (static_cast<double>(for_ns) / 2e9);
  return out;
}

} // namespace

TEST_CASE("backlog fills the link and leaves a short queue, whatever its rate and round trip") {
  const double rate = GENERATE(8'000.0, 32'000.0, 1e6, 1e7);
  const std::int64_t round_trip = GENERATE(5, 50, 700, 1500) * ms;
  CAPTURE(rate, round_trip);
  const auto got = fill(rate, round_trip, 60'000 * ms);
  CHECK(got.used > 0.85);
  CHECK(got.used < 1.05);
  // The least window and the least batch are what a very thin link has to bear.
  const auto floor_ns = static_cast<std::int64_t>((16 << 10) / rate * 1e9);
  CHECK(got.wait_ns_max < std::max<std::int64_t>(round_trip + 700 * ms, 200 * ms) + floor_ns);
}

TEST_CASE("on a fast link what waits is bounded by bytes, as it takes memory") {
  const double rate = GENERATE(1e7, 4e7, 1e8);
  const std::int64_t round_trip = GENERATE(1, 5, 50) * ms;
  CAPTURE(rate, round_trip);
  const auto got = fill(rate, round_trip, 5'000 * ms);
  CHECK(got.used > 0.85);
  constexpr double batch = 256 << 10;
  const auto trips = 2 * rate * (static_cast<double>(round_trip + ms) / 1e9 + batch / rate);
  CHECK(static_cast<double>(got.in_flight_max) < trips + (512 << 10) + batch);
}

TEST_CASE("a link with little to do does not look slow") {
  link_estimate under_test;
  std::int64_t now = 1;
  for (int i = 0; i < 100; ++i, now += 10 * ms)
    under_test.on_acked(under_test.on_sent(1 << 20, now - 10 * ms), 100'000, now);
  const auto before = under_test.bytes_per_second();
  CHECK(before > 1e6);
  for (int i = 0; i < 100; ++i, now += 1000 * ms)
    under_test.on_acked(under_test.on_sent(0, now), 500, now + 10 * ms);
  CHECK(under_test.bytes_per_second() == before);
  under_test.reset();
  CHECK(under_test.bytes_per_second() == 0);
}

TEST_CASE("a bucket lets a rate through, one burst ahead") {
  token_bucket bucket{1000, 1000 * ms};
  std::uint64_t sent = 0;
  for (std::int64_t now = 1; now < 10'000 * ms; now += 7 * ms)
    while (bucket.open(now)) {
      bucket.spend(300);
      sent += 300;
    }
  CHECK(sent > 10'500);
  CHECK(sent < 11'400);
  token_bucket unlimited;
  CHECK(unlimited.open(1));
}

TEST_CASE("a quota closes step by step and opens with the next period") {
  constexpr std::int64_t day = 86'400'000 * ms;
  constexpr std::int64_t last_of_february = 19'782 * day; // 2024-02-29
  quota_config config;
  config.bytes = 1000;
  quota_meter meter{config};
  const auto at = last_of_february + day / 2;
  CHECK(meter.level(at) == quota_level::open);
  meter.add(799, at);
  CHECK(meter.level(at) == quota_level::open);
  meter.add(1, at);
  CHECK(meter.level(at) == quota_level::no_backlog);
  meter.add(100, at);
  CHECK(meter.level(at) == quota_level::thinned);
  meter.add(50, at);
  CHECK(meter.level(at) == quota_level::alerts_only);
  meter.add(50, at);
  CHECK(meter.level(at) == quota_level::exhausted);
  CHECK(meter.level(at - 40 * day) == quota_level::exhausted); // a clock that goes back gives nothing
  CHECK(meter.usage(at).day_bytes == 1000);
  CHECK(meter.level(last_of_february + day) == quota_level::open);
  CHECK(meter.usage(last_of_february + day).month_bytes == 0);

  config.per = quota_period::day;
  quota_meter daily{config, {}};
  daily.add(1000, at);
  CHECK(daily.level(at) == quota_level::exhausted);
  CHECK(daily.level(at + day) == quota_level::open);
}

TEST_CASE("the forecast goes on as the month went so far") {
  constexpr std::int64_t hour = 3'600'000 * ms;
  constexpr std::int64_t first_of_march = 19'783 * 24 * hour; // 2024-03-01
  quota_meter meter;
  for (int i = 0; i < 24 * 10; ++i)
    meter.add(100, first_of_march + i * hour);
  const auto whole = meter.month_forecast(first_of_march + 24 * 10 * hour);
  CHECK(whole > 73'000);
  CHECK(whole < 76'000); // 31 days of 2,400
}

TEST_CASE("a quota that makes no sense is refused") {
  quota_config config;
  CHECK(config.validate());
  config.live_until = 0.99;
  CHECK_FALSE(config.validate());
  config = {};
  config.backlog_until = 0.95;
  CHECK_FALSE(config.validate());
}
