#include "cloud/ingest/clock_trust.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::cloud;

namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t hour = 3600 * second;
constexpr std::int64_t start = 1'700'000'000 * second;

struct settable_clock final : clock_source {
  std::int64_t wall = start;
  std::int64_t boot = 5 * second;
  [[nodiscard]] std::int64_t wall_ns() const noexcept override { return wall; }
  [[nodiscard]] std::int64_t monotonic_ns() const noexcept override { return boot; }
  void pass(std::int64_t ns) { wall += ns, boot += ns; }
};

struct world {
  settable_clock clock;
  clock_trust trust{clock, std::chrono::minutes{10}};
  void heard(std::uint64_t edge, std::int64_t offset_ns) {
    std::int64_t said = 0;
    if (__builtin_add_overflow(clock.wall, offset_ns, &said))
      said = offset_ns < 0 ? INT64_MIN : INT64_MAX;
    trust.heard(edge_id{edge}, said);
  }
  [[nodiscard]] bool trusted() const { return trust.judge().trusted(); }
};

} // namespace

TEST_CASE("a clock is trusted until more edges contradict it than do not") {
  world w;
  CHECK(w.trusted());
  w.heard(1, 600 * second); // as far ahead as a sample may be
  w.heard(2, -40 * 24 * hour);
  CHECK(w.trusted());
  w.heard(3, 2 * hour);
  w.heard(4, 3 * hour);
  CHECK(w.trusted()); // as many say so as say otherwise
  w.heard(5, 4 * hour);
  const auto verdict = w.trust.judge();
  CHECK_FALSE(verdict.trusted());
  CHECK(verdict.ahead == 3);
  CHECK(verdict.heard == 5);
  CHECK(verdict.ahead_ns == 2 * hour);
  CHECK(doubt_of(verdict).find("7200 s or more behind those of 3 of the 5 edges") != std::string::npos);
  w.heard(5, 0); // it was that one
  CHECK(w.trusted());
  CHECK(doubt_of(w.trust.judge()).empty());
}

TEST_CASE("the only edge is believed, and one more that is right is enough to see that it is wrong") {
  world w;
  w.heard(1, 2 * hour);
  CHECK_FALSE(w.trusted());
  w.heard(2, 0);
  CHECK(w.trusted());
}

TEST_CASE("a clock that is set back while it runs is doubted at once, and trusted again when it is right") {
  world w;
  for (std::uint64_t edge = 1; edge <= 3; ++edge)
    w.heard(edge, 0);
  w.clock.pass(hour);
  CHECK(w.trusted());
  w.clock.wall -= 2 * hour;
  CHECK_FALSE(w.trusted());
  w.clock.wall += 2 * hour;
  CHECK(w.trusted());
}

TEST_CASE("what an edge said counts for a day, and there are never more votes than may be") {
  world w;
  w.heard(1, 2 * hour);
  w.clock.pass(25 * hour);
  CHECK(w.trust.judge().heard == 0);
  CHECK(w.trusted());
  for (std::uint64_t edge = 1; edge <= clock_trust::votes_max + 1; ++edge)
    w.heard(edge, edge == 2 ? 2 * hour : 0), w.clock.pass(1);
  CHECK(w.trust.judge().heard == clock_trust::votes_max);
  w.heard(1, INT64_MAX - start); // it may say anything
  w.heard(1, INT64_MIN + start);
  CHECK(w.trusted());
}
