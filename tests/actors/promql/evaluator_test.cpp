#include "actors/promql/evaluator.hpp"
#include "actors/promql/parser.hpp"
#include "tests/actors/promql/memory_source.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
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
    // 10 ms at least: a range query may have 11,000 points.
    const time_range range{start, start + static_cast<std::int64_t>(random() % 100'000),
                           10 + static_cast<std::int64_t>(random() % 7'000)};
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

TEST_CASE("every function and operator says the same of a range and of its steps one by one") {
  const auto* given = std::getenv("SKERRY_SEED");
  const auto seed = given ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  INFO("SKERRY_SEED=" << seed);
  std::mt19937_64 random{seed};
  const auto below = [&](std::uint64_t n) { return static_cast<std::int64_t>(random() % n); };
  memory_source source;
  for (const auto* name : {"a", "b"})
    for (int s = 0; s < 6; ++s) {
      std::vector<test::memory_sample> samples;
      std::int64_t t = below(100'000);
      for (auto left = below(80); left > 0; --left) {
        t += 1 + below(20'000);
        const auto kind = below(12);
        samples.push_back({t, kind == 0   ? stale_marker()
                              : kind == 1 ? std::numeric_limits<double>::quiet_NaN()
                                          : static_cast<double>(below(20)) - 4});
      }
      source.add({{"__name__", name}, {"s", std::to_string(s)}, {"g", std::to_string(s % 2)}, {"le", "1"}},
                 samples);
    }
  const std::vector<std::string> queries{
      "a",
      "-a",
      "+a",
      "a * 2",
      "2 - a",
      "a > 3",
      "3 > bool a",
      "a ^ 2 % 5",
      "a atan2 b",
      "a + b",
      "a == b",
      "a > bool b",
      "a - on(s) b",
      "a / on(g, s) group_left b",
      "a and b",
      "a or b",
      "a unless b",
      "a and on(g) b > 5",
      "a or on(g) b",
      "sum(a)",
      "sum by (g) (a)",
      "avg without (s) (a)",
      "min by (g) (a)",
      "max by (g) (a)",
      "count by (g) (a)",
      "group(a)",
      "stddev by (g) (a)",
      "stdvar(a)",
      "quantile by (g) (0.3, a)",
      "quantile(scalar(sum(b)) / 50, a)",
      "count_values by (g) (\"v\", a)",
      "topk by (g) (2, a)",
      "bottomk(3, a)",
      "rate(a[1m])",
      "increase(a[90s])",
      "delta(a[1m] offset 10s)",
      "irate(a[1m])",
      "idelta(a[1m])",
      "deriv(a[1m])",
      "predict_linear(a[1m], 60)",
      "holt_winters(a[1m], 0.5, 0.5)",
      "changes(a[1m])",
      "resets(a[1m])",
      "avg_over_time(a[1m])",
      "sum_over_time(a[1m])",
      "min_over_time(a[1m])",
      "max_over_time(a[1m])",
      "count_over_time(a[1m])",
      "stddev_over_time(a[1m])",
      "stdvar_over_time(a[1m])",
      "last_over_time(a[1m])",
      "present_over_time(a[1m])",
      "quantile_over_time(scalar(sum(b)) / 50, a[1m])",
      "absent_over_time(a{s=\"1\"}[1m])",
      "absent(a{s=\"1\"})",
      "absent(a > 10)",
      "abs(a)",
      "ceil(a / 3)",
      "round(a, 3)",
      "clamp(a, 0, scalar(sum(b)))",
      "clamp_min(a, 2)",
      "clamp_max(a, 2)",
      "sgn(a)",
      "exp(a)",
      "ln(a)",
      "sqrt(a)",
      "sin(a)",
      "deg(a)",
      "hour(a * 1e4)",
      "day_of_year()",
      "month()",
      "timestamp(a)",
      "timestamp(a + 1)",
      "time() + a",
      "scalar(a{s=\"1\"})",
      "vector(time())",
      "pi() * a",
      "histogram_quantile(0.5, a)",
      "label_replace(a, \"x\", \"$1\", \"s\", \"(.*)\")",
      "label_join(a, \"x\", \"-\", \"s\", \"g\")",
      "sort(a)",
      "sort_desc(a)",
      "a offset 30s",
      "a offset -30s",
      "a @ 100",
      "sum(a @ 100) + b",
      "rate(a[1m] @ 150) + 0 * a",
      "a @ 100 + time()",
      "max_over_time(a[1m:7s])",
      "sum_over_time(rate(a[1m])[2m:13s] offset 5s)",
      "rate(a[2m:5s] @ 200)",
      "max_over_time(sum by (g) (a)[1m:10s])",
      "topk(2, a) * on(s, g, le) b",
      "sum(a) / count(a) > 1",
      "predict_linear(a[2m:10s], 5) - a",
      "sum({__name__=~\"a|b\"})",
      "{__name__=~\"a|b\",s=\"1\"} == 3",
      "last_over_time({__name__=~\"a|b\"}[1m])",
      "1 + 2 * 3",
      "time() % 7 > bool 3",
  };
  for (const auto& query : queries) {
    INFO(query);
    for (int round = 0; round < 4; ++round) {
      const auto start = below(300'000);
      const time_range range{start, start + below(200'000), 1'000 + below(30'000)};
      INFO(range.start_ms << ".." << range.end_ms << " step " << range.step_ms);
      const auto got = evaluate_range(*parse(query).value(), source, range, {});
      REQUIRE(got);
      std::map<labels, std::vector<point>> expected;
      for (auto t = range.start_ms; t <= range.end_ms; t += range.step_ms) {
        const auto at_step = instant(source, query, t);
        REQUIRE(at_step);
        if (const auto* one = std::get_if<scalar_value>(&at_step.value()))
          expected[{}].push_back(one->at);
        else
          for (const auto& s : std::get<vector_value>(at_step.value()))
            expected[s.metric].push_back(s.at);
      }
      REQUIRE(got.value().size() == expected.size());
      auto want = expected.begin();
      for (const auto& s : got.value()) {
        CHECK(to_string(s.metric) == to_string(want->first));
        CHECK(show(s.points) == show(want->second));
        ++want;
      }
    }
  }
}

TEST_CASE("a selector asks its source once, for what it needs") {
  memory_source source;
  source.add({{"__name__", "m"}, {"a", "1"}}, {{0, 1}});
  const auto asked = [&](std::string_view query) {
    source.selects = 0;
    REQUIRE(evaluate_range(*parse(query).value(), source, {1'000'000, 1'600'000, 60'000}, {}));
    CHECK(source.selects == 1);
    return std::pair{source.last.from_ms, source.last.to_ms};
  };
  using span = std::pair<std::int64_t, std::int64_t>;
  CHECK(asked("sum(m)") == span{700'000, 1'600'000});
  CHECK(source.last.step_ms == 0); // its windows overlap
  CHECK(asked("rate(m[2m])") == span{880'000, 1'600'000});
  CHECK(source.last.step_ms == 0);
  CHECK(asked("rate(m[30s] offset 1m)") == span{910'000, 1'540'000});
  CHECK(source.last.step_ms == 60'000);
  CHECK(source.last.span_ms == 30'000);
  CHECK(asked("rate(m[30s] @ 500)") == span{470'000, 500'000});
  CHECK(source.last.step_ms == 0);
  CHECK(asked("rate(m[2m] offset 1m)") == span{820'000, 1'540'000});
  CHECK(asked("rate(m[2m] @ 500)") == span{380'000, 500'000});
  CHECK(asked("m @ end() offset 1m") == span{1'240'000, 1'540'000});
  CHECK(asked("max_over_time(m[10m:7s] offset 1m)") == span{343'000 - 300'000, 1'540'000 / 7'000 * 7'000});
  CHECK(asked("max_over_time(rate(m[1m])[10m:1m] @ 900)") == span{240'000, 900'000});
}

TEST_CASE("what an evaluation may hold is bounded, whatever it passes through") {
  memory_source source;
  for (int s = 0; s < 100; ++s)
    source.add({{"__name__", "m"}, {"s", std::to_string(s)}, {"g", std::to_string(s % 3)}},
               {{0, static_cast<double>(s)}, {1'000, 2}});
  const auto code = [&](std::string_view query, evaluate_options options) {
    const auto got = evaluate_range(*parse(query).value(), source, {0, 9'000, 1'000}, options);
    return got ? std::string{"fine"} : std::string{to_string(got.error().code)};
  };
  evaluate_options few;
  few.samples_max = 100;
  // 1,000 samples go by, 30 are the answer.
  CHECK(code("sum by (g) (m)", few) == "fine");
  CHECK(code("m", few) == "exhausted");
  CHECK(code("m + m", few) == "exhausted");
  CHECK(code("label_replace(m, \"x\", \"y\", \"s\", \".*\")", few) == "exhausted");
  CHECK(code("topk(50, m)", few) == "exhausted");
  CHECK(code("topk(3, m)", few) == "fine");
  CHECK(code("sum_over_time(m[1000d:1ms])", few) == "exhausted");
  few.samples_max = 10'000;
  CHECK(code("quantile(0.5, m)", few) == "fine");
  // What was held is given back: any number of times one after another.
  CHECK(code("sum(m + m) + sum(m + m) + sum(m + m) + sum(m + m) + sum(m + m) + sum(m + m) + sum(m + m)", few)
        == "fine");

  evaluate_options late;
  late.deadline = std::chrono::steady_clock::now() - std::chrono::seconds{1};
  CHECK(code("sum(m)", late) == "timeout");
  std::atomic<bool> stop{false};
  evaluate_options stopped;
  stopped.cancelled = &stop;
  source.before_select = [&] { stop = true; };
  CHECK(code("sum(m) + sum(m)", stopped) == "cancelled");
}

TEST_CASE("the deepest trees evaluate") {
  memory_source source;
  source.add({{"__name__", "m"}}, {{0, 1}});
  std::string sum = "m";
  while (parse(sum + " + m"))
    sum += " + m + m + m";
  sum.resize(sum.rfind(" + m + m"));
  const auto added = instant(source, sum, 0);
  REQUIRE(added);
  CHECK(std::get<vector_value>(added.value()).size() == 1);
  std::string nested = "m";
  while (parse("abs(" + nested + ")"))
    nested = "abs(" + nested + ")";
  CHECK(vector_at(source, nested, 0).at(0).at.value == 1);
  std::string queried = "m";
  for (std::size_t i = 1; i < depth_max / 2; ++i)
    queried = "max_over_time(" + queried + "[1s:1s])";
  CHECK(vector_at(source, queried, 0).at(0).at.value == 1);
}
