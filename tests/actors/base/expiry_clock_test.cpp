#include "actors/base/expiry_clock.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <random>
#include <vector>

using namespace skerry;

namespace {

constexpr std::int64_t minute = 60'000'000'000;
constexpr std::int64_t hour = 60 * minute;
constexpr std::int64_t day = 24 * hour;
constexpr std::int64_t began = 1'700'000'000'000'000'000;

} // namespace

TEST_CASE("age follows the wall clock where that goes with the time that passes") {
  expiry_clock clock{std::chrono::hours{24}, began};
  std::int64_t wall = began + 10 * minute; // a short stop before
  std::int64_t boot = 5;
  for (int i = 0; i < 10'000; ++i) {
    CHECK(clock.now_ns(wall, boot) == wall);
    CHECK(clock.ahead().count() == 0);
    wall += minute + 20'000'000; // a poor oscillator
    boot += minute;
  }
  wall -= 3 * day; // back is followed at once
  CHECK(clock.now_ns(wall, boot) == wall);
}

TEST_CASE("a clock that jumps ahead is believed after it has said so for the wait, and not before") {
  expiry_clock clock{std::chrono::hours{24}, began};
  CHECK(clock.now_ns(began, 0) == began);
  std::int64_t boot = 0;
  for (; boot < day; boot += minute) {
    CHECK(clock.now_ns(began + 40 * day + boot + 1, boot) == began + boot);
    CHECK(clock.ahead() >= std::chrono::hours{24 * 40});
  }
  CHECK(clock.now_ns(began + 40 * day + boot + 1, boot) == began + 40 * day + boot + 1);
  CHECK(clock.ahead().count() == 0);
}

TEST_CASE("a clock that comes back in time has made nothing older") {
  expiry_clock clock{std::chrono::hours{24}, began};
  std::int64_t boot = 0;
  for (; boot < 23 * hour; boot += minute)
    CHECK(clock.now_ns(began + 40 * day + boot, boot) == began + boot);
  for (; boot < 72 * hour; boot += minute)
    CHECK(clock.now_ns(began + boot, boot) == began + boot);
  // The next jump waits anew.
  CHECK(clock.now_ns(began + 40 * day + boot, boot) == began + boot);
}

TEST_CASE("only what the clock has said for the whole wait is believed") {
  expiry_clock clock{std::chrono::hours{24}, began};
  std::int64_t boot = 0;
  for (; boot < 12 * hour; boot += minute)
    (void)clock.now_ns(began + 10 * day + boot, boot);
  for (; boot < 24 * hour; boot += minute) // and then much more
    CHECK(clock.now_ns(began + 400 * day + boot, boot) == began + boot);
  CHECK(clock.now_ns(began + 400 * day + boot, boot) == began + 10 * day + boot);
}

TEST_CASE("a wait goes on over restarts, and a node that is off half of the time still gets there") {
  std::int64_t wall = began;
  auto note = expiry_clock{std::chrono::hours{24}, began}.note();
  for (int days = 0; days < 60; ++days) {
    auto clock = expiry_clock::from_note(std::chrono::hours{24}, note);
    REQUIRE(clock);
    wall += 12 * hour; // off
    std::int64_t seen = 0;
    for (std::int64_t boot = 0; boot <= 12 * hour; boot += 30 * minute, wall += 30 * minute)
      seen = clock->now_ns(wall, boot);
    if (days > 5)
      CHECK(seen >= wall - 3 * day);
    note = clock->note();
  }
}

TEST_CASE("a note that does not parse is none") {
  for (const char* bad : {"", "x", "1", "1 2", "1 2 ", "1 2 -3", "1 2 3 4", "1 2 99999999999999999999"})
    CHECK_FALSE(expiry_clock::from_note(std::chrono::hours{1}, bad));
  CHECK(expiry_clock::from_note(std::chrono::hours{1}, "5 5 0")->note() == "5 5 0");
}

TEST_CASE("age never goes ahead of what the wall clock said for the whole wait, and gets there") {
  const char* given = std::getenv("SKERRY_SEED");
  const auto seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  INFO("SKERRY_SEED=" << seed << " node_test \"age never goes ahead*\"");
  std::mt19937_64 rng{seed};
  for (int run = 0; run < 200; ++run) {
    expiry_clock clock{std::chrono::hours{24}, began};
    struct look {
      std::int64_t boot;
      std::int64_t offset; // of the wall clock, from boot
    };
    std::vector<look> looks;
    std::int64_t offset = began;
    std::int64_t before = began; // what the last look gave, without the time that passed
    std::int64_t jumped_at = 0;
    for (std::int64_t boot = 0; looks.size() < 1000;
         boot += static_cast<std::int64_t>(rng() % (30 * static_cast<std::uint64_t>(minute)))) {
      if (rng() % 80 == 0) {
        offset += static_cast<std::int64_t>(rng() % (100 * static_cast<std::uint64_t>(day))) - 50 * day;
        jumped_at = boot;
      }
      looks.push_back({boot, offset});
      const auto now = clock.now_ns(boot + offset, boot) - boot;
      REQUIRE(now <= offset);
      if (boot - jumped_at >= 2 * day + hour)
        REQUIRE(now == offset);
      if (now > before + hour)
        for (const auto& each : looks)
          if (each.boot > boot - day)
            REQUIRE(each.offset + hour >= now); // a step of less is no jump
      before = now;
    }
  }
}
