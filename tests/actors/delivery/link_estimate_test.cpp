// The estimate against a simulated link: a bottleneck with a rate, a delay, and a queue.

#include "actors/delivery/link_estimate.hpp"
#include "actors/delivery/quota.hpp"
#include "actors/delivery/token_bucket.hpp"

#include <catch2/catch.hpp>

#include <deque>
#include <optional>

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

namespace {

constexpr std::int64_t hour = 3'600'000 * ms;
constexpr std::int64_t day = 24 * hour;
constexpr std::int64_t last_of_february = 19'782 * day; // 2024-02-29

// A meter with a wall clock that may be wrong and a boot clock that is not.
struct metered {
  explicit metered(quota_period per) { start(per); }
  void start(quota_period per, bool noted = true) {
    quota_config config;
    config.bytes = 1000;
    config.per = per;
    meter = meter ? quota_meter{config, meter->usage(), noted ? meter->clock_note() : std::string{}}
                  : quota_meter{config};
    boot = 5 * ms; // the boot clock begins anew
    add(0);
  }
  quota_level add(std::uint64_t bytes) {
    meter->add(bytes, true_ns + ahead, boot);
    return meter->level();
  }
  void pass(std::int64_t ns) {
    for (; ns > 0; ns -= hour / 2) {
      true_ns += std::min(ns, hour / 2);
      boot += std::min(ns, hour / 2);
      add(0);
    }
  }
  void off(std::int64_t ns, quota_period per) { // and started again
    true_ns += ns;
    start(per);
  }
  std::uint64_t welcome() { return meter->told_time(true_ns, true_ns + ahead, boot); }

  std::optional<quota_meter> meter;
  std::int64_t true_ns = last_of_february + day / 2;
  std::int64_t boot = 0;
  std::int64_t ahead = 0;
};

} // namespace

TEST_CASE("a quota closes step by step and opens with the next period") {
  metered m{quota_period::month};
  CHECK(m.add(0) == quota_level::open);
  CHECK(m.add(799) == quota_level::open);
  CHECK(m.add(1) == quota_level::no_backlog);
  CHECK(m.add(100) == quota_level::thinned);
  CHECK(m.add(50) == quota_level::alerts_only);
  CHECK(m.add(50) == quota_level::exhausted);
  m.ahead = -40 * day;
  CHECK(m.add(0) == quota_level::exhausted); // a clock that goes back gives nothing
  m.ahead = 0;
  CHECK(m.welcome() == 0);
  CHECK(m.add(0) == quota_level::exhausted);
  CHECK(m.meter->day_bytes() == 1000);
  m.pass(day / 2);
  CHECK(m.add(0) == quota_level::open);
  CHECK(m.meter->month_bytes() == 0);

  metered daily{quota_period::day};
  CHECK(daily.add(1000) == quota_level::exhausted);
  daily.pass(day);
  CHECK(daily.add(0) == quota_level::open);
}

TEST_CASE("a clock that was ahead neither gives a second quota nor ends the quota") {
  for (const auto per : {quota_period::day, quota_period::month}) {
    metered m{per};
    CHECK(m.add(900) == quota_level::thinned);
    m.ahead = 400 * day;
    CHECK(m.add(0) == quota_level::thinned); // no second one, nor after a start
    m.off(0, per);
    CHECK(m.add(50) == quota_level::alerts_only);
    CHECK(m.meter->clock_ahead() > std::chrono::hours{24 * 399});
    // Nobody said otherwise for a day of running.
    m.pass(25 * hour);
    CHECK(m.add(0) == quota_level::open);
    CHECK(m.add(300) == quota_level::open);
    m.ahead = 0; // it is set right
    CHECK(m.add(0) == quota_level::open);
    // The receiver says what day it is: what went for days to come went today.
    CHECK(m.welcome() == 300);
    CHECK(m.meter->day_bytes() == 300);
    CHECK(m.welcome() == 0);
    CHECK(m.add(700) == quota_level::exhausted);
    m.pass(per == quota_period::day ? day : 31 * day);
    CHECK(m.add(0) == quota_level::open);
  }
}

TEST_CASE("with the receiver's time a period begins when it is due") {
  metered m{quota_period::day};
  CHECK(m.add(1000) == quota_level::exhausted);
  m.off(3 * day, quota_period::day); // longer than a jump: by its own clock it waits
  CHECK(m.add(0) == quota_level::exhausted);
  CHECK(m.welcome() == 0);
  CHECK(m.add(0) == quota_level::open);
  CHECK(m.meter->clock_ahead().count() == 0);
  // A clock that is wrong in a session, whichever way, changes nothing.
  CHECK(m.add(1000) == quota_level::exhausted);
  for (const auto ahead : {400 * day, -400 * day}) {
    m.ahead = ahead;
    CHECK(m.add(0) == quota_level::exhausted);
  }
  m.pass(day);
  CHECK(m.add(0) == quota_level::open);
}

TEST_CASE("a receiver whose clock is ahead gives no second quota") {
  metered m{quota_period::month};
  CHECK(m.add(1000) == quota_level::exhausted);
  CHECK(m.meter->told_time(m.true_ns + 60 * day, m.true_ns, m.boot) == 0);
  CHECK(m.add(0) == quota_level::exhausted);
  for (const auto says : {std::int64_t{0}, INT64_MIN, INT64_MAX}) {
    CHECK(m.meter->told_time(says, m.true_ns, m.boot) == 0);
    CHECK(m.add(0) == quota_level::exhausted);
  }
  m.welcome();
  CHECK(m.add(0) == quota_level::exhausted);
}

TEST_CASE("a receiver whose clock is far behind once gives no second quota") {
  metered m{quota_period::month};
  CHECK(m.add(1000) == quota_level::exhausted);
  CHECK(m.meter->told_time(m.true_ns - 60 * day, m.true_ns, m.boot) == 0);
  CHECK(m.add(0) == quota_level::exhausted);
  m.pass(hour);
  m.welcome(); // right again
  CHECK(m.add(0) == quota_level::exhausted);
  m.off(hour, quota_period::month);
  m.welcome();
  CHECK(m.add(0) == quota_level::exhausted);
}

TEST_CASE("what was counted ahead is set back when the receiver alone has said so for a day") {
  link_usage from;
  const auto ahead = last_of_february + 300 * day;
  from.days[ahead / day] = 1000;
  quota_config config;
  config.bytes = 1000;
  quota_meter meter{config, from};
  std::int64_t passed = 0;
  const auto told = [&] { return meter.told_time(last_of_february + passed, ahead + passed, 1 + passed); };
  for (; passed < day; passed += hour / 2) {
    CHECK(told() == 0);
    meter.add(0, ahead + passed, 1 + passed);
    CHECK(meter.level() == quota_level::exhausted);
  }
  CHECK(told() == 1000);
}

TEST_CASE("usage that an older version counted for a month to come is set back") {
  link_usage from;
  from.days[(last_of_february + 300 * day) / day] = 1000;
  quota_config config;
  config.bytes = 1000;
  quota_meter meter{config, from};
  meter.add(0, last_of_february, 1);
  CHECK(meter.level() == quota_level::exhausted);
  CHECK(meter.told_time(last_of_february, last_of_february, 1) == 1000);
  CHECK(meter.level() == quota_level::exhausted); // of this month, and of no other
  for (std::int64_t passed = 0; passed <= 2 * day; passed += hour / 2)
    meter.add(0, last_of_february + passed, 1 + passed);
  CHECK(meter.level() == quota_level::open);
}

TEST_CASE("the forecast goes on as the month went so far") {
  constexpr std::int64_t first_of_march = 19'783 * day; // 2024-03-01
  quota_meter meter;
  for (int i = 0; i < 24 * 10; ++i)
    meter.add(100, first_of_march + i * hour, 1 + i * hour);
  meter.add(0, first_of_march + 10 * day, 1 + 10 * day);
  const auto whole = meter.month_forecast();
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
