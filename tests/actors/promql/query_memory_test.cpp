// What a query holds counts, whatever it is, and goes back with it.

#include "actors/promql/evaluator.hpp"
#include "actors/promql/json.hpp"
#include "actors/promql/parser.hpp"
#include "tests/actors/promql/memory_source.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::promql;
using skerry::promql::test::memory_source;

namespace {

constexpr std::uint64_t mib = 1 << 20;
constexpr time_range hour{0, 3'600'000, 15'000};

// 200 series with a sample every 15 s for an hour.
memory_source many_series() {
  memory_source source;
  std::vector<test::memory_sample> samples;
  for (std::int64_t t = 0; t <= hour.end_ms; t += hour.step_ms)
    samples.push_back({t, static_cast<double>(t % 77'000)});
  for (int i = 0; i < 200; ++i) {
    auto text = std::to_string(i);
    source.add({{"__name__", "m"}, {"le", text}, {"long", std::string(300, 'x') + text}}, samples);
  }
  return source;
}

// How a query over an hour ends with such a bound of its own, and what it holds after that beside its tree.
struct ended {
  errc code{};
  std::string message; // "": it did not fail
};
ended run(memory_source& source, const std::string& text, std::uint64_t bytes_max) {
  query_memory memory{nullptr, bytes_max};
  memory.started();
  const auto tree = parse(text, &memory);
  if (!tree)
    return {tree.error().code, tree.error().message};
  evaluate_options options;
  options.memory = &memory;
  const auto parsed = memory.held();
  if (type_of(*tree.value()) == value_type::matrix) {
    const auto made = evaluate_instant(*tree.value(), source, hour.end_ms, options);
    CHECK(memory.held() >= parsed);
    return made ? ended{} : ended{made.error().code, made.error().message};
  }
  const auto made = evaluate_range(*tree.value(), source, hour, options);
  CHECK(memory.held() >= parsed);
  CHECK(memory.held() <= bytes_max);
  return made ? ended{} : ended{made.error().code, made.error().message};
}

} // namespace

TEST_CASE("labels that a query makes count against its memory", "[promql]") {
  memory_source source;
  source.add({{"__name__", "m"}, {"a", std::string(1'000, 'x')}}, {{0, 1}});
  std::string doubled = "m";
  for (int i = 0; i < 34; ++i)
    doubled = "label_join(" + doubled + R"x(,"a","","a","a"))x";
  REQUIRE(doubled.size() < 1'000);
  std::string replaced = "m";
  for (int i = 0; i < 34; ++i)
    replaced = "label_replace(" + replaced + R"x(,"a","$1$1","a","(.*)"))x";
  for (const auto& text : {doubled, replaced, "count(" + doubled + ")", "m+on()" + doubled}) {
    query_memory memory{nullptr, 64 * mib};
    evaluate_options options;
    options.memory = &memory;
    const auto tree = parse(text, &memory).value();
    const auto parsed = memory.held();
    const auto made = evaluate_instant(*tree, source, 0, options);
    REQUIRE_FALSE(made);
    CHECK(made.error().code == errc::exhausted);
    CHECK(made.error().message
          == "query processing would hold more than 67108864 bytes in memory in query execution "
             "(query.memory_each_bytes_max)");
    CHECK(memory.held() == parsed);
  }
}

TEST_CASE("whatever a query holds counts against its memory", "[promql]") {
  auto source = many_series();
  // 200 series of 241 steps are 385,600 bytes of columns, and 771,200 of points.
  const std::vector<std::string> heavy{
      "m",                                                             // the result
      "m[1h]",                                                         // the same of a range vector
      "count(sum by (long) (m) > 1e9)",                                // groups
      "count(topk by (long) (1e9, m) > 1e9)",                          // heaps
      "count(quantile by (long) (0.5, m) > 1e9)",                      // columns of groups
      R"x(count(count_values by (long) ("v", m) > 1e9))x",             // groups by value
      R"x(count(label_replace(m, "x", "$1", "long", "(.*)") > 1e9))x", // tables
      "count(m + on (long) m > 1e9)",                                  // the side that waits
      "count(m and m)",                                                // presence, 1 byte a step; and labels
      "count((m or m) > 1e9)",                                         // tables
      "count(histogram_quantile(0.5, m) > 1e9)",                       // buckets
      "max_over_time(vector(1)[1h:1ms])",                              // steps of a subquery
      "clamp(vector(1), scalar(sum(m)), 1e9) - scalar(max_over_time(vector(1)[1h:2ms]))", // scalars
  };
  for (const auto& text : heavy) {
    INFO(text);
    CHECK(run(source, text, 256 * mib).message.empty());
    const auto small = run(source, text, 64 << 10);
    CHECK(small.code == errc::exhausted);
    CHECK(small.message.find("query.memory_each_bytes_max") != std::string::npos);
  }
  CHECK(run(source, "sum(m)", 64 << 10).message.empty()); // one group
}

TEST_CASE("a query's tree counts before anything is evaluated", "[promql]") {
  memory_source source;
  std::string regexes = R"({a="b")";
  for (int i = 0; i < 200; ++i)
    regexes += R"(,a=~"x)" + std::to_string(i) + R"([0-9]{100}")";
  regexes += "}";
  query_memory memory{nullptr, mib};
  const auto made = parse(regexes, &memory);
  REQUIRE_FALSE(made);
  CHECK(made.error().code == errc::exhausted);
  CHECK(parse_selector(regexes, false, &memory).error().code == errc::exhausted);
  // What matching may add is counted when it begins.
  query_memory wide{nullptr, 32 * mib};
  evaluate_options options;
  options.memory = &wide;
  const auto tree = parse(regexes, &wide);
  REQUIRE(tree);
  CHECK(evaluate_instant(*tree.value(), source, 0, options).error().code == errc::exhausted);
  CHECK(parse("up", &memory));
}

TEST_CASE("all queries share a bound, and a small one passes by it", "[promql]") {
  auto source = many_series();
  const auto all = std::make_shared<memory_budget>(8 * mib);
  {
    query_memory large{all, 8 * mib};
    large.started();
    REQUIRE(large.take(8 * mib));
    query_memory second{all, 8 * mib};
    second.started();
    REQUIRE(all->taken() > 0);
    query_memory third{all, 8 * mib};
    third.started();
    REQUIRE(third.take(8 * mib));
    CHECK(all->taken() == 8 * mib);
    CHECK(second.take(query_memory::running_free_bytes));
    CHECK_FALSE(second.take(1));
    CHECK(second.refusal().code == errc::unavailable);
    CHECK(second.refusal().message.find("query.memory_bytes_max") != std::string::npos);
    second.give(query_memory::running_free_bytes);
    evaluate_options options;
    options.memory = &second;
    CHECK(evaluate_range(*parse("sum(m)", &second).value(), source, hour, options));
  }
  CHECK(all->taken() == 0);
}

TEST_CASE("JSON of large labels is written in parts", "[promql]") {
  vector_value all;
  std::string text;
  while (text.size() < 100'000)
    text += "ä<\"𝄞\n";
  all.push_back({{{"a", text}, {"b", "c"}}, {0, 1}});
  const value v{all};
  std::string whole;
  append_value(whole, v);
  std::string parts;
  std::string tail;
  std::size_t longest = 0;
  append_value(tail, v, [&](std::string& out) {
    longest = std::max(longest, out.size());
    parts += out;
    out.clear();
    return true;
  });
  parts += tail;
  CHECK(parts == whole);
  CHECK(longest < 110'000); // 16 KiB, escaped
  std::string stopped;
  append_value(stopped, v, [](std::string&) { return false; });
  CHECK(stopped.size() < 110'000);
}
