#include "tests/actors/promql/memory_source.hpp"
#include "tests/conformance/check.hpp"

#include <catch2/catch.hpp>

#include <cmath>

using namespace skerry;
using namespace skerry::conformance;

namespace {

std::string show(std::string_view line) {
  const auto parsed = parse_series_line(line);
  if (!parsed)
    return parsed.error().message;
  auto out = to_string(parsed.value().metric);
  for (const auto& v : parsed.value().values)
    out += v ? promql::is_stale(*v) ? " stale" : fmt::format(" {}", *v) : " _";
  return out;
}

// What is wrong with each case of a script over one series m: 1 at 0 s, 2 at 60 s.
std::vector<std::string> run(std::string_view script) {
  promql::test::memory_source source;
  source.add({{"__name__", "m"}, {"a", "1"}}, {{0, 1}, {60'000, 2}});
  source.add({{"__name__", "m"}, {"a", "2"}}, {{0, 4}, {60'000, 3}});
  std::vector<std::string> out;
  const auto commands = parse_script(script);
  if (!commands)
    return {commands.error().message};
  for (const auto& c : commands.value())
    if (c.kind == command_kind::eval)
      out.push_back(check(c.eval, source));
  return out;
}
bool passes(std::string_view script) {
  const auto out = run(script);
  return !out.empty() && std::all_of(out.begin(), out.end(), [](const auto& wrong) { return wrong.empty(); });
}

} // namespace

TEST_CASE("series lines expand as Prometheus' do") {
  CHECK(show("m{b=\"2\", a='x\\n'} 1 _ stale") == "m{a=\"x\\n\",b=\"2\"} 1 _ stale");
  CHECK(show("{} 1+2x3") == "{} 1 3 5 7");
  CHECK(show("m -3-10x2 5x1 _x2 .5e+1") == "m -3 -13 -23 5 5 _ _ 5");
  CHECK(show("m Inf -Inf NaN") == "m inf -inf nan");
  CHECK(show("m") == "m");
  CHECK(show("m{a=\"{\"} 1") == "m{a=\"{\"} 1");
  for (const auto* bad : {"m{a} 1", "m{a=\"b} 1", "m 1x", "m 1+2", "m 1y", "m word", "m 1x99999999999"})
    CHECK_FALSE(parse_series_line(bad));
  CHECK(parse_series_line("m {{sum:1}}").value().unsupported);
}

TEST_CASE("right expectations pass") {
  CHECK(passes("eval instant at 1m m\n  m{a=\"2\"} 3\n  m{a=\"1\"} 2\n"));
  CHECK(passes("eval_ordered instant at 1m sort_desc(m)\n  m{a=\"2\"} 3\n  m{a=\"1\"} 2\n"));
  CHECK(passes("eval instant at 1m sort(m)\n  expect ordered\n  m{a=\"1\"} 2\n  m{a=\"2\"} 3\n"));
  CHECK(passes("# comment\neval instant at 1m 1 - 3\n  -2\n"));
  CHECK(passes("eval range from 0 to 1m step 30s sum(m)\n  {} 5 5 5\n"));
  CHECK(passes("eval_fail instant at 1m m + on() m\n"));
  CHECK(passes(
      "eval instant at 1m abs({__name__!=\"\"}) or m + on() m\n  expect fail regex: found duplicate.*\n"));
  CHECK(passes("eval instant at 1m \"x\"\n  expect string \"x\"\n"));
  CHECK(passes(
      "eval instant at 1m m{a=\"1\"}[1m]\n  expect range vector from 0 to 1m step 1m\n  m{a=\"1\"} 1 2\n"));
}

TEST_CASE("wrong expectations fail, each in its own words") {
  const auto wrong = [](std::string_view script) { return run(script).at(0); };
  using Catch::Matchers::Contains;
  CHECK_THAT(wrong("eval instant at 1m m\n  m{a=\"2\"} 3\n"), Contains("expected 1 series, got 2"));
  CHECK_THAT(wrong("eval instant at 1m m{a=\"1\"}\n  m{a=\"1\"} 2.1\n"), Contains("differs"));
  CHECK_THAT(wrong("eval instant at 1m m{a=\"1\"}\n  m{a=\"3\"} 2\n"), Contains("is missing"));
  CHECK_THAT(wrong("eval_ordered instant at 1m sort(m)\n  m{a=\"2\"} 3\n  m{a=\"1\"} 2\n"),
             Contains("at its place"));
  CHECK_THAT(wrong("eval instant at 1m 1\n  2\n"), Contains("expected the scalar 2, got 1"));
  CHECK_THAT(wrong("eval_fail instant at 1m m\n"), Contains("expected a failure"));
  CHECK_THAT(wrong("eval instant at 1m m + on() m\n"), Contains("the query failed: found duplicate"));
  CHECK_THAT(wrong("eval_fail instant at 1m m + on() m\n  expected_fail_message other\n"),
             Contains("expected the failure: other"));
  CHECK_THAT(wrong("eval range from 0 to 1m step 30s sum(m)\n  {} 5 5 6\n"), Contains("differs"));
  CHECK_THAT(wrong("eval_warn instant at 1m m\n"), Contains("expected a warning"));
  CHECK_THAT(wrong("eval_info instant at 1m m{a=\"1\"}\n  m{a=\"1\"} 2\n"), Contains("got none"));
  CHECK_THAT(wrong("eval instant at 1m rate(m[1m])\n  expect no_info\n"),
             Contains("expected no info, got: PromQL"));
  CHECK_THAT(wrong("eval range from 0 to 1m step 1m rate(m[1s])\n  expect no_info\n"),
             Contains("expected no info"));
  CHECK_THAT(wrong("eval instant at 1m rate(m[1s])\n  expect info msg: other\n"),
             Contains("expected another info"));
  CHECK_THAT(wrong("eval instant at 1m rate(m[1s])\n  expect info regex: ^other\n"),
             Contains("expected another info"));
  CHECK(wrong("eval instant at 1m rate(m[1s])\n  expect info regex: .*might not be a counter.*\n").empty());
  CHECK_THAT(run("eval sometimes m\n").at(0), Contains("line 1: eval takes instant or range"));
  CHECK_THAT(run("\nload 1m\n  m 1 x\n").at(0), Contains("line 3: "));
  CHECK_THAT(run("what\n").at(0), Contains("unknown command"));
}

TEST_CASE("a script's commands come in order, with their lines") {
  const auto script = parse_script("load 30s\n  m 1\n  n 2\n\nclear\nrestart\n\nseal\n").value();
  REQUIRE(script.size() == 4);
  CHECK(script[0].load.step_ms == 30'000);
  CHECK(script[0].load.series.size() == 2);
  CHECK(script[1].kind == command_kind::clear);
  CHECK(script[1].line == 5);
  CHECK(script[2].kind == command_kind::restart);
  CHECK(script[3].kind == command_kind::seal);
}
