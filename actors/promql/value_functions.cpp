#include "actors/promql/functions.hpp"
#include "actors/promql/label_keys.hpp"
#include "actors/promql/series_table.hpp"
#include "actors/promql/vector_functions.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <numbers>

namespace skerry::promql {

namespace {

constexpr auto infinity = std::numeric_limits<double>::infinity();

// As Go's math.Min and math.Max: NaN if either is, except beside an infinity that no value can pass. Not what std::fmin
// and std::fmax do.
double smaller(double a, double b) noexcept {
  if (a == -infinity || b == -infinity)
    return -infinity;
  if (std::isnan(a) || std::isnan(b))
    return std::numeric_limits<double>::quiet_NaN();
  return a == b ? (std::signbit(a) ? a : b) : std::min(a, b);
}
double larger(double a, double b) noexcept {
  if (a == infinity || b == infinity)
    return infinity;
  if (std::isnan(a) || std::isnan(b))
    return std::numeric_limits<double>::quiet_NaN();
  return a == b ? (std::signbit(a) ? b : a) : std::max(a, b);
}

using columns = std::deque<scalar_column>;

// Every value with the step's scalar arguments behind it.
template <class F>
void with_scalars(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink, F f) {
  columns scalars;
  for (std::size_t i = 1; i < c.arguments.size(); ++i)
    scalars.emplace_back(ev, *c.arguments[i], steps);
  if (ev.failed())
    return;
  drop_names(ev, *c.arguments[0], steps, sink, [&](std::span<double> values) {
    for (std::size_t k = 0; k < values.size(); ++k)
      if (!is_absent(values[k]))
        values[k] = f(values[k], scalars, k);
  });
}

// Only the order of an instant query's result is seen.
template <class Before>
void sorted(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink, Before before) {
  if (steps.count != 1)
    return ev.vector(*c.arguments[0], steps, sink);
  series_table table{ev};
  ev.vector(*c.arguments[0], steps,
            [&](const series_item& item) { table.add_or_fail(labels_of(item), item.values); });
  auto& all = table.all();
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.metric < b.metric; });
  std::stable_sort(all.begin(), all.end(), [&](const held_series& a, const held_series& b) {
    return before(a.values[0], b.values[0]);
  });
  table.hand_over(sink);
}

} // namespace

double to_degrees(double radians) { return radians * 180 / std::numbers::pi; }
double to_radians(double degrees) { return degrees * std::numbers::pi / 180; }
double sign_of(double value) { return value < 0 ? -1 : value > 0 ? 1 : value; }

void eval_clamp(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink) {
  with_scalars(ev, c, steps, sink, [](double v, const columns& s, std::size_t k) {
    const auto low = s[0][k];
    const auto high = s[1][k];
    return high < low ? absent_value : larger(low, smaller(high, v));
  });
}
void eval_clamp_max(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink) {
  with_scalars(ev, c, steps, sink,
               [](double v, const columns& s, std::size_t k) { return smaller(s[0][k], v); });
}
void eval_clamp_min(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink) {
  with_scalars(ev, c, steps, sink,
               [](double v, const columns& s, std::size_t k) { return larger(s[0][k], v); });
}
void eval_round(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink) {
  with_scalars(ev, c, steps, sink, [](double v, const columns& s, std::size_t k) {
    const auto inverse = 1 / (s.empty() ? 1 : s[0][k]); // fewer digits are lost than by dividing twice
    return std::floor(v * inverse + 0.5) / inverse;
  });
}

// NaN comes last either way.
void eval_sort(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink) {
  sorted(ev, c, steps, sink, [](double a, double b) { return std::isnan(b) ? !std::isnan(a) : a < b; });
}
void eval_sort_desc(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink) {
  sorted(ev, c, steps, sink, [](double a, double b) { return std::isnan(b) ? !std::isnan(a) : a > b; });
}

void eval_vector(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink) {
  const labels none;
  scalar_column column{ev, *c.arguments[0], steps};
  if (!ev.stopped())
    sink({&none, false, column.values()});
}

void eval_timestamp(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink) {
  const auto& inner = unwrap(*c.arguments[0]);
  const auto* selector = std::get_if<vector_selector>(&inner.node);
  if (!selector) { // what was computed has the time of its step
    return drop_names(ev, inner, steps, sink, [&](std::span<double> values) {
      for (std::size_t k = 0; k < values.size(); ++k)
        if (!is_absent(values[k]))
          values[k] = static_cast<double>(steps.at(k)) / 1000;
    });
  }
  if (!names_may_differ(inner)) {
    return ev.select_newest(*selector, steps, true, [&](const series_item& item) {
      sink({item.metric, true, item.values});
    });
  }
  series_table table{ev};
  ev.select_newest(*selector, steps, true, [&](const series_item& item) {
    table.add_or_fail(labels_of({item.metric, true, {}}), item.values);
  });
  table.hand_over(sink);
}

void eval_absent(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink) {
  step_column column{ev, steps.count};
  if (ev.failed())
    return;
  const auto out = column.values();
  std::fill(out.begin(), out.end(), 1);
  ev.vector(*c.arguments[0], steps, [&](const series_item& item) {
    for (std::size_t k = 0; k < out.size(); ++k)
      if (!is_absent(item.values[k]))
        out[k] = absent_value;
  });
  const auto metric = labels_of_absent(unwrap(*c.arguments[0]));
  if (!ev.stopped() && any_present(out))
    sink({&metric, false, out});
}

void eval_pi(evaluation&, const call&, const step_range& steps, std::vector<double>& out) {
  out.assign(steps.count, std::numbers::pi);
}

void eval_time(evaluation&, const call&, const step_range& steps, std::vector<double>& out) {
  out.resize(steps.count);
  for (std::size_t k = 0; k < out.size(); ++k)
    out[k] = static_cast<double>(steps.at(k)) / 1000;
}

void eval_scalar(evaluation& ev, const call& c, const step_range& steps, std::vector<double>& out) {
  out.assign(steps.count, std::numeric_limits<double>::quiet_NaN());
  holding held{ev};
  if (!held.add(0, 0, steps.count))
    return;
  std::vector<std::uint8_t> seen(steps.count); // 0, 1, or more
  ev.vector(*c.arguments[0], steps, [&](const series_item& item) {
    for (std::size_t k = 0; k < out.size(); ++k) {
      if (is_absent(item.values[k]))
        continue;
      out[k] = seen[k] == 0 ? item.values[k] : std::numeric_limits<double>::quiet_NaN();
      seen[k] = seen[k] == 0 ? 1 : 2;
    }
  });
}

labels labels_of_absent(const expression& e) {
  const std::vector<matcher>* matchers = nullptr;
  if (const auto* v = std::get_if<vector_selector>(&e.node))
    matchers = &v->matchers;
  else if (const auto* m = std::get_if<matrix_selector>(&e.node))
    matchers = &m->selector.matchers;
  labels out;
  if (!matchers)
    return out;
  std::vector<std::string_view> seen;
  for (const auto& m : *matchers) {
    if (m.name() == label_name)
      continue;
    // A second matcher of a label takes it away again.
    const bool first = std::find(seen.begin(), seen.end(), m.name()) == seen.end();
    if (m.op() == match_op::equal && first) {
      set_label(out, m.name(), m.value());
      seen.push_back(m.name());
    } else {
      set_label(out, m.name(), {});
    }
  }
  return out;
}

const std::string& text_of(const expression& e) { return std::get<string_literal>(unwrap(e).node).text; }

} // namespace skerry::promql
