#include "tests/conformance/check.hpp"

#include "actors/promql/functions.hpp"
#include "actors/promql/infos.hpp"
#include "actors/promql/parser.hpp"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace skerry::conformance {

namespace {

using namespace skerry::promql;

// Relative, as Prometheus' harness compares.
bool almost_equal(double a, double b) {
  constexpr double epsilon = 0.000001;
  constexpr double smallest = std::numeric_limits<double>::min();
  if ((std::isnan(a) && std::isnan(b)) || a == b)
    return true;
  const auto apart = std::fabs(a - b);
  if (a == 0 || b == 0 || apart < smallest)
    return apart < epsilon * smallest;
  return apart / (std::fabs(a) + std::fabs(b)) < epsilon;
}

std::string show(const std::vector<point>& points) {
  std::string out;
  for (const auto& p : points)
    out += fmt::format(" {}@{}", p.value, p.time_ms);
  return out;
}
std::string show(const matrix_value& all) {
  std::string out;
  for (const auto& s : all)
    out += fmt::format("\n      {}{}", to_string(s.metric), show(s.points));
  return out.empty() ? " nothing" : out;
}

// Two results in any order, or in the given one.
std::string compare(const matrix_value& expected, const matrix_value& got, bool ordered) {
  const auto differ = [&](std::string_view why) {
    return fmt::format("{}\n    expected{}\n    got{}", why, show(expected), show(got));
  };
  if (expected.size() != got.size())
    return differ(fmt::format("expected {} series, got {}", expected.size(), got.size()));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto& want = expected[i];
    const auto found = ordered ? got.begin() + static_cast<std::ptrdiff_t>(i)
                               : std::find_if(got.begin(), got.end(), [&](const matrix_series& s) {
                                   return s.metric == want.metric;
                                 });
    if (found == got.end() || found->metric != want.metric)
      return differ(fmt::format("{} is missing{}", to_string(want.metric), ordered ? " at its place" : ""));
    const bool same = std::equal(want.points.begin(), want.points.end(), found->points.begin(),
                                 found->points.end(), [](const point& a, const point& b) {
                                   return a.time_ms == b.time_ms && almost_equal(a.value, b.value);
                                 });
    if (!same)
      return differ(fmt::format("{} differs", to_string(want.metric)));
  }
  return {};
}

matrix_value expected_of(const eval_command& what, std::int64_t start_ms, std::int64_t step_ms) {
  matrix_value out;
  for (const auto& line : what.series) {
    matrix_series made{line.metric, {}};
    for (std::size_t i = 0; i < line.values.size(); ++i)
      if (line.values[i])
        made.points.push_back({start_ms + static_cast<std::int64_t>(i) * step_ms, *line.values[i]});
    // A line that says the same labels again takes the other's place.
    const auto old =
        std::find_if(out.begin(), out.end(), [&](const auto& s) { return s.metric == made.metric; });
    if (old != out.end())
      *old = std::move(made);
    else
      out.push_back(std::move(made));
  }
  return out;
}

matrix_value as_matrix(const vector_value& v) {
  matrix_value out;
  for (const auto& s : v)
    out.push_back({s.metric, {s.at}});
  return out;
}

std::string unquoted(const std::string& text) { // newer scripts quote it
  return text.size() >= 2 && text.front() == '"' && text.back() == '"' ? unquote(text) : text;
}

std::string check_failure(const eval_command& what, const error& e) {
  const auto wanted = unquoted(what.fails_with);
  const auto pattern = unquoted(what.fails_matching);
  if (!wanted.empty() && e.message != wanted)
    return fmt::format("expected the failure: {}\n    got: {}", wanted, e.message);
  if (!pattern.empty() && !re2::RE2::PartialMatch(e.message, pattern))
    return fmt::format("expected a failure like: {}\n    got: {}", pattern, e.message);
  return {};
}

std::string compare_scalar(const eval_command& what, double got) {
  const auto expected = what.scalar.value_or(std::numeric_limits<double>::quiet_NaN());
  return what.scalar && almost_equal(expected, got)
             ? std::string{}
             : fmt::format("expected the scalar {}, got {}", expected, got);
}

std::string compare_instant(const eval_command& what, const value& got, std::int64_t time_ms) {
  if (const auto* scalar = std::get_if<scalar_value>(&got))
    return compare_scalar(what, scalar->at.value);
  if (const auto* text = std::get_if<string_value>(&got))
    return what.text == text->text ? "" : fmt::format("expected another string than \"{}\"", text->text);
  if (const auto* vector = std::get_if<vector_value>(&got))
    return compare(expected_of(what, time_ms, 0), as_matrix(*vector), what.ordered);
  if (!what.matrix_times)
    return "received range result on instant evaluation";
  return compare(expected_of(what, what.matrix_times->start_ms, what.matrix_times->step_ms),
                 std::get<matrix_value>(got), what.ordered);
}

std::string check_infos(const eval_command& what, const expression& tree) {
  if (!what.informs)
    return {};
  const auto infos = infos_of(tree, what.query);
  if (!*what.informs)
    return infos.empty() ? "" : "expected no info, got: " + infos.front();
  const bool found = std::any_of(infos.begin(), infos.end(), [&](const auto& text) {
    return (what.informs_with.empty() || text == unquoted(what.informs_with))
           && (what.informs_matching.empty()
               || re2::RE2::PartialMatch(text, unquoted(what.informs_matching)));
  });
  return found ? "" : fmt::format("expected another info, got {}", infos.empty() ? "none" : infos.front());
}

std::string check_range(const eval_command& what, promql::series_source& source) {
  const auto tree = parse(what.query);
  const auto got = tree
                       ? evaluate_range(*tree.value(), source, {what.start_ms, what.end_ms, what.step_ms}, {})
                       : result<matrix_value>{tree.error()};
  if (!got)
    return what.fails ? check_failure(what, got.error()) : "the query failed: " + got.error().message;
  if (what.fails)
    return "expected a failure, got" + show(got.value());
  if (auto differs = check_infos(what, *tree.value()); !differs.empty())
    return differs;
  auto expected = expected_of(what, what.start_ms, what.step_ms);
  if (what.scalar) {
    expected.push_back({});
    for (auto t = what.start_ms; t <= what.end_ms; t += what.step_ms)
      expected.back().points.push_back({t, *what.scalar});
  }
  expected.erase(
      std::remove_if(expected.begin(), expected.end(), [](const auto& s) { return s.points.empty(); }),
      expected.end());
  return compare(expected, got.value(), false);
}

// The query in a range of three steps, of which the middle one must say the same.
std::string check_middle_step(const eval_command& what, const expression& tree, promql::series_source& source,
                              std::int64_t time_ms) {
  constexpr std::int64_t minute = 60'000;
  const auto got = evaluate_range(tree, source, {time_ms - minute, time_ms + minute, minute}, {});
  if (!got)
    return "in range mode the query failed: " + got.error().message;
  if (what.ordered) // means nothing in a range query
    return {};
  matrix_value middle;
  for (const auto& s : got.value())
    for (const auto& p : s.points)
      if (p.time_ms == time_ms)
        middle.push_back({s.metric, {p}});
  auto differs =
      type_of(tree) == value_type::scalar
          ? (middle.empty() ? "the middle step is missing" : compare_scalar(what, middle[0].points[0].value))
          : compare(expected_of(what, time_ms, 0), middle, false);
  return differs.empty() ? differs : "in range mode: " + differs;
}

std::string check_at(const eval_command& what, const std::string& query, promql::series_source& source,
                     std::int64_t time_ms) {
  const auto tree = parse(query);
  const auto got = tree ? evaluate_instant(*tree.value(), source, time_ms, {}) : result<value>{tree.error()};
  if (!got)
    return what.fails ? check_failure(what, got.error()) : "the query failed: " + got.error().message;
  if (what.fails)
    return "expected a failure, got none";
  if (auto differs = compare_instant(what, got.value(), time_ms); !differs.empty())
    return differs;
  const auto type = type_of(*tree.value());
  if (type != value_type::scalar && type != value_type::vector)
    return {};
  return check_middle_step(what, *tree.value(), source, time_ms);
}

// Where `@` can be added so that the query says the same at any time. False: it can't be made to.
class pinner {
public:
  bool visit(const expression& e) {
    return std::visit([&](const auto& node) { return visit_node(e, node); }, e.node);
  }
  [[nodiscard]] std::string apply(std::string query, std::int64_t time_ms) const {
    auto sorted = at_;
    std::sort(sorted.rbegin(), sorted.rend());
    for (const auto at : sorted)
      query.insert(at, fmt::format(" @ {:.3f}", static_cast<double>(time_ms) / 1000));
    return query;
  }

private:
  bool pin(const expression& e, const time_modifiers& when) {
    if (when.at == at_kind::none)
      at_.push_back(e.at.end);
    return true;
  }
  bool visit_node(const expression&, const number_literal&) { return true; }
  bool visit_node(const expression&, const string_literal&) { return true; }
  bool visit_node(const expression& e, const vector_selector& v) { return pin(e, v.when); }
  bool visit_node(const expression& e, const matrix_selector& m) { return pin(e, m.selector.when); }
  bool visit_node(const expression& e, const subquery& s) { return pin(e, s.when); } // pins what is inside
  bool visit_node(const expression&, const paren_expression& p) { return visit(*p.inner); }
  bool visit_node(const expression&, const unary_expression& u) { return visit(*u.inner); }
  bool visit_node(const expression&, const binary_expression& b) { return visit(*b.left) && visit(*b.right); }
  bool visit_node(const expression&, const aggregation& a) {
    return (!a.parameter || visit(*a.parameter)) && visit(*a.inner);
  }
  bool visit_node(const expression&, const call& c) {
    return !c.target->step_dependent
           && std::all_of(c.arguments.begin(), c.arguments.end(), [&](const auto& a) { return visit(*a); });
  }

  std::vector<std::size_t> at_;
};

} // namespace

std::string check(const eval_command& what, promql::series_source& source) {
  if (what.warns)
    return "expected a warning; the engine has none";
  if (std::any_of(what.series.begin(), what.series.end(), [](const auto& s) { return s.unsupported; }))
    return "expected native histograms; the engine has none";
  if (what.range)
    return check_range(what, source);
  const auto time_ms = what.start_ms;
  if (const auto tree = parse(what.query))
    if (auto differs = check_infos(what, *tree.value()); !differs.empty())
      return differs;
  if (auto differs = check_at(what, what.query, source, time_ms); !differs.empty())
    return differs;
  const auto tree = parse(what.query);
  pinner pins;
  if (!tree || type_of(*tree.value()) == value_type::matrix || !pins.visit(*tree.value()))
    return {};
  const auto pinned = pins.apply(what.query, time_ms);
  auto times = std::vector<std::int64_t>{-10 * time_ms, 0, time_ms / 5, time_ms, 10 * time_ms};
  if (time_ms == 0)
    times = {-1000, 1000};
  for (const auto at : times)
    if (auto differs = check_at(what, pinned, source, at); !differs.empty())
      return fmt::format("{} at {} ms: {}", pinned, at, differs);
  return {};
}

} // namespace skerry::conformance
