#include "schemas/model/frame.hpp"
#include "simulator/fleet/model_source.hpp"
#include "simulator/fleet/value_model.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <set>

using namespace skerry;
using namespace skerry::sim;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t start = 1'700'000'000 * second;

value_model model(std::uint64_t seed, const char* mix, std::size_t series = 40) {
  return {seed, value_mix::parse(mix).value(), series, 10s};
}

} // namespace

TEST_CASE("a mix is read, and its mistakes are named") {
  const auto mix = value_mix::parse("counter=3,burst=1");
  REQUIRE(mix);
  CHECK(mix.value().parts == std::array<std::uint32_t, 4>{3, 0, 0, 1});
  for (const auto* wrong :
       {"", "counter", "counter=", "counter=x", "counter=0", "tide=1", "counter=-1", "gauge=1 "}) {
    INFO(wrong);
    const auto read = value_mix::parse(wrong);
    REQUIRE_FALSE(read);
    CHECK(read.error().code == errc::invalid_argument);
  }
}

TEST_CASE("series are of the kinds that the mix asks for") {
  const auto m = model(1, "counter=40,gauge=30,diurnal=20,burst=10", 100);
  std::array<int, value_kinds> found{};
  for (std::size_t i = 0; i < 100; ++i)
    ++found[static_cast<std::size_t>(m.kind_of(i))];
  CHECK(found == std::array<int, 4>{40, 30, 20, 10});
  const auto one = model(1, "burst=1", 1);
  CHECK(one.kind_of(0) == value_kind::burst);
}

TEST_CASE("the same seed gives the same values, another seed others") {
  const auto a = model(1, "counter=1,gauge=1,diurnal=1,burst=1"),
             b = model(1, "counter=1,gauge=1,diurnal=1,burst=1"),
             c = model(2, "counter=1,gauge=1,diurnal=1,burst=1");
  int equal = 0, differ = 0;
  for (std::size_t series = 0; series < 40; ++series)
    for (std::uint64_t host = 1; host < 5; ++host) {
      const auto at = start + static_cast<std::int64_t>(host) * 7 * second;
      equal += a.value(host, 1, series, at) == b.value(host, 1, series, at) ? 1 : 0;
      differ += a.value(host, 1, series, at) != c.value(host, 1, series, at) ? 1 : 0;
    }
  CHECK(equal == 160);
  CHECK(differ > 120);
}

TEST_CASE("counters are whole numbers that do not fall from one collection to the next") {
  const auto m = model(3, "counter=1");
  int fell = 0, fractions = 0;
  double grown = 0;
  for (std::size_t series = 0; series < 40; ++series) {
    auto last = m.value(9, 1, series, start);
    for (int i = 1; i < 500; ++i) {
      const auto now = m.value(9, 1, series, start + i * 10 * second);
      fell += now < last && now > 1e6 ? 1 : 0; // a reset goes back to nearly nothing
      fractions += std::floor(now) != now ? 1 : 0;
      grown += std::max(now - last, 0.0);
      last = now;
    }
  }
  CHECK(fell == 0);
  CHECK(fractions == 0);
  CHECK(grown > 1e6);
}

TEST_CASE("gauges move around, diurnal values follow the day, bursts are rare and large") {
  const auto m = model(4, "gauge=1,diurnal=1,burst=1", 30);
  std::set<double> gauge;
  double day_low = 1e9, day_high = 0;
  int quiet = 0, loud = 0;
  const auto calm = m.value(1, 1, 25, start);
  for (int minute = 0; minute < 24 * 60; ++minute) {
    const auto at = start + minute * 60 * second;
    gauge.insert(m.value(1, 1, 0, at));
    const auto day = m.value(1, 1, 15, at);
    day_low = std::min(day_low, day);
    day_high = std::max(day_high, day);
    (m.value(1, 1, 25, at) > 10 * std::max(calm, 1.0) ? loud : quiet)++;
  }
  CHECK(gauge.size() > 500);
  CHECK(*gauge.begin() > 0);
  CHECK(day_high > 2 * day_low);
  CHECK(quiet > 10 * loud);
}

TEST_CASE("a simulated host makes frames with every series, each with labels of its own") {
  auto shared = std::make_shared<const value_model>(model(5, "counter=40,gauge=30,diurnal=20,burst=10", 100));
  model_source source{shared, 7, 1};
  const auto first = source.collect(start, 1, "host-00007");
  CHECK(first.samples == 100);
  REQUIRE(first.sets.size() >= 1);
  std::set<std::string> names;
  for (const auto& set : first.sets) {
    const auto decoded = decode_series_set(set->encoded);
    REQUIRE(decoded);
    for (const auto& one : decoded.value()->members) {
      CHECK(value_of(one.all, "job") == "fleet");
      CHECK(value_of(one.all, "instance") == "host-00007");
      names.insert(std::string{value_of(one.all, "series")});
    }
  }
  CHECK(names.size() == 100);
  const auto second_one = source.collect(start + 10 * second, 1, "host-00007");
  CHECK(second_one.samples == 100);
  CHECK(second_one.records.size() == 1);
}
