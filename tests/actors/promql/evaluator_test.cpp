#include "actors/promql/evaluator.hpp"
#include "actors/promql/parser.hpp"
#include "tests/actors/promql/memory_source.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <limits>
#include <random>

using namespace skerry;
using namespace skerry::promql;
using skerry::promql::test::memory_source;

namespace {

result<value> instant(memory_source& source, std::string_view query, std::int64_t t,
                      evaluate_options options = {}) {
  return evaluate_instant(*parse(query).value(), source, t, options);
}
vector_value vector_at(memory_source& source, std::string_view query, std::int64_t t) {
  return std::get<vector_value>(instant(source, query, t).value());
}
matrix_value steps(memory_source& source, std::string_view query, time_range range,
                   evaluate_options options = {}) {
  return evaluate_range(*parse(query).value(), source, range, options).value();
}
std::string show(const std::vector<point>& points) {
  std::string out;
  for (const auto& p : points)
    out += fmt::format("{}:{} ", p.time_ms, p.value);
  return out;
}

} // namespace

TEST_CASE("staleness as Prometheus' own test has it") {
  memory_source source;
  source.add({{"__name__", "metric"}}, {{0, 0}, {10'000, 1}, {20'000, stale_marker()}, {30'000, 2}});
  CHECK(vector_at(source, "metric", -1).empty());
  CHECK(vector_at(source, "metric", 10'000).at(0).at.value == 1);
  CHECK(vector_at(source, "metric", 19'999).at(0).at.value == 1);
  CHECK(vector_at(source, "metric", 20'000).empty());
  CHECK(vector_at(source, "metric", 30'000).at(0).at.value == 2);
  CHECK(vector_at(source, "metric", 330'000).at(0).at.value == 2); // exactly the lookback ago
  CHECK(vector_at(source, "metric", 330'001).empty());
  CHECK(vector_at(source, "metric", 40'000).at(0).at.time_ms == 40'000); // the query's time, not the sample's
}

TEST_CASE("a range selector is closed at both ends and leaves stale markers out") {
  memory_source source;
  source.add({{"__name__", "metric"}}, {{0, 0}, {10'000, 1}, {20'000, stale_marker()}, {30'000, 2}});
  const auto points = [&](std::string_view query, std::int64_t t) {
    const auto all = std::get<matrix_value>(instant(source, query, t).value());
    return all.empty() ? std::string{} : show(all.at(0).points);
  };
  CHECK(points("metric[1m]", 30'000) == "0:0 10000:1 30000:2 ");
  CHECK(points("metric[10s]", 20'000) == "10000:1 ");
  CHECK(points("metric[1s]", 20'000).empty());
  CHECK(points("metric[20s] offset 10s", 40'000) == "10000:1 30000:2 ");
}

TEST_CASE("NaN is a value; only the stale marker is not") {
  memory_source source;
  source.add({{"__name__", "m"}}, {{1'000, std::numeric_limits<double>::quiet_NaN()}});
  source.add({{"__name__", "s"}}, {{1'000, stale_marker()}});
  CHECK(std::isnan(vector_at(source, "m", 1'000).at(0).at.value));
  CHECK(vector_at(source, "s", 1'000).empty());
}

TEST_CASE("offset moves the time that is looked at") {
  memory_source source;
  source.add({{"__name__", "m"}}, {{0, 1}, {600'000, 2}});
  CHECK(vector_at(source, "m offset 10m", 600'000).at(0).at.value == 1);
  CHECK(vector_at(source, "m offset -10m", 0).at(0).at.value == 2);
  CHECK(vector_at(source, "m offset 5m", 600'000).at(0).at.value == 1);
  CHECK(vector_at(source, "m offset 5m", 600'001).empty());
  CHECK(show(steps(source, "m offset 10m", {0, 1'200'000, 600'000}).at(0).points) == "600000:1 1200000:2 ");
}

TEST_CASE("results are sorted by labels") {
  memory_source source;
  for (const auto* host : {"c", "a", "b"})
    source.add({{"__name__", "m"}, {"host", host}}, {{0, 1}});
  const auto all = vector_at(source, "m", 0);
  REQUIRE(all.size() == 3);
  CHECK(value_of(all[0].metric, "host") == "a");
  CHECK(value_of(all[2].metric, "host") == "c");
  CHECK(vector_at(source, "m{host=~\"a|b\"}", 0).size() == 2);
  CHECK(vector_at(source, "m{host!=\"a\",nope=\"\"}", 0).size() == 2);
}

TEST_CASE("range queries step from the start, whatever the end") {
  memory_source source;
  source.add({{"__name__", "m"}}, {{1'000, 1}, {2'000, 2}, {3'500, 3}});
  evaluate_options options;
  options.lookback_ms = 1'000;
  CHECK(show(steps(source, "m", {500, 6'000, 1'000}, options).at(0).points)
        == "1500:1 2500:2 3500:3 4500:3 ");
  CHECK(show(steps(source, "m", {2'000, 2'000, 1'000}, options).at(0).points) == "2000:2 ");
  CHECK(steps(source, "m", {6'000, 9'000, 1'000}, options).empty());
  CHECK(source.last.from_ms == 5'000);
  CHECK(source.last.to_ms == 9'000);
  CHECK(show(steps(source, "7", {0, 2'500, 1'000}).at(0).points) == "0:7 1000:7 2000:7 ");
}

TEST_CASE("a range query equals one instant query per step") {
  const auto* given = std::getenv("SKERRY_SEED");
  const auto seed = given ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  INFO("SKERRY_SEED=" << seed);
  std::mt19937_64 random{seed};
  for (int round = 0; round < 50; ++round) {
    memory_source source;
    for (int s = 0; s < 4; ++s) {
      std::vector<test::memory_sample> samples;
      std::int64_t t = 0;
      const auto count = random() % 60;
      for (std::uint64_t i = 0; i < count; ++i) {
        t += 1 + static_cast<std::int64_t>(random() % 5'000);
        samples.push_back({t, random() % 8 == 0 ? stale_marker() : static_cast<double>(random() % 100)});
      }
      source.add({{"__name__", "m"}, {"s", std::to_string(s)}}, samples);
    }
    evaluate_options options;
    options.lookback_ms = 1 + static_cast<std::int64_t>(random() % 10'000);
    const auto offset = static_cast<int>(random() % 20) - 10;
    const auto query = offset == 0 ? std::string{"m"} : fmt::format("m offset {}s", offset);
    const auto start = static_cast<std::int64_t>(random() % 50'000);
    const time_range range{start, start + static_cast<std::int64_t>(random() % 100'000),
                           1 + static_cast<std::int64_t>(random() % 7'000)};
    matrix_value expected;
    for (auto t = range.start_ms; t <= range.end_ms; t += range.step_ms) {
      const auto at_step = instant(source, query, t, options);
      for (const auto& sample : std::get<vector_value>(at_step.value())) {
        auto at = std::find_if(expected.begin(), expected.end(),
                               [&](const matrix_series& m) { return m.metric == sample.metric; });
        if (at == expected.end())
          at = expected.insert(at, {sample.metric, {}});
        at->points.push_back(sample.at);
      }
    }
    std::sort(expected.begin(), expected.end(),
              [](const matrix_series& a, const matrix_series& b) { return a.metric < b.metric; });
    const auto got = steps(source, query, range, options);
    REQUIRE(got.size() == expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      CHECK(got[i].metric == expected[i].metric);
      CHECK(show(got[i].points) == show(expected[i].points));
    }
  }
}

TEST_CASE("bounds: points, samples, cancellation, extreme times") {
  memory_source source;
  source.add({{"__name__", "m"}, {"a", "1"}}, {{0, 1}, {1'000, 2}});
  source.add({{"__name__", "m"}, {"a", "2"}}, {{0, 1}, {1'000, 2}});
  const auto tree = parse("m").value()->at; // parses
  CHECK(tree.end == 1);
  const auto range = [&](std::string_view query, time_range r, evaluate_options o = {}) {
    return evaluate_range(*parse(query).value(), source, r, o);
  };
  CHECK(range("m", {0, 11'000'000, 1'000}));
  CHECK(range("m", {0, 11'001'000, 1'000}).error().message
        == "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution "
           "(?step=XX)");
  CHECK(range("m[5m]", {0, 1, 1}).error().message
        == "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector");
  CHECK(range("(\"a\")", {0, 1, 1}).error().message
        == "invalid expression type \"string\" for range query, must be Scalar or instant Vector");
  evaluate_options few;
  few.samples_max = 5;
  CHECK(range("m", {0, 2'000, 1'000}, few).error().code == errc::exhausted);
  few.samples_max = 6;
  CHECK(range("m", {0, 2'000, 1'000}, few));
  std::atomic<bool> stop{true};
  evaluate_options stopped;
  stopped.cancelled = &stop;
  CHECK(instant(source, "m", 0, stopped).error().code == errc::cancelled);
  for (const auto t : {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()}) {
    CHECK(instant(source, "m offset 200y", t));
    CHECK(instant(source, "m[200y] offset -200y", t));
    CHECK(range("m", {t, t, 1}));
  }
  CHECK_FALSE(
      range("m", {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max(), 1}));
}
