#include "actors/promql/evaluator.hpp"

#include "actors/promql/evaluation.hpp"
#include "actors/promql/functions.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace skerry::promql {

namespace {

// Built where it stands: moving a variant makes GCC 12 see uninitialised members under sanitizers.
template <class T>
result<value> answer(T made) {
  return result<value>{boost::outcome_v2::in_place_type<value>, std::in_place_type<T>, std::move(made)};
}

template <class T>
void sort_by_labels(std::vector<T>& all) {
  std::sort(all.begin(), all.end(), [](const T& a, const T& b) { return a.metric < b.metric; });
}

// Whether the order of an instant query's result says something.
bool ordered(const expression& e) noexcept {
  const auto& inner = unwrap(e);
  if (const auto* c = std::get_if<call>(&inner.node)) {
    const auto name = c->target->name;
    return name == "sort" || name == "sort_desc"
           || (!c->arguments.empty() && type_of(*c->arguments[0]) == value_type::vector
               && ordered(*c->arguments[0]));
  }
  if (const auto* a = std::get_if<aggregation>(&inner.node))
    return a->op == aggregate_op::topk || a->op == aggregate_op::bottomk;
  if (const auto* u = std::get_if<unary_expression>(&inner.node))
    return ordered(*u->inner);
  if (const auto* b = std::get_if<binary_expression>(&inner.node)) {
    if (type_of(*b->left) == value_type::scalar)
      return ordered(*b->right);
    return (type_of(*b->right) == value_type::scalar || b->op == binary_op::set_and
            || b->op == binary_op::set_unless)
           && ordered(*b->left);
  }
  return false;
}

void append_points(const series_item& item, const step_range& steps, std::vector<point>& into) {
  into.reserve(count_present(item.values));
  for (std::size_t k = 0; k < item.values.size(); ++k)
    if (!is_absent(item.values[k]))
      into.push_back({steps.at(k), item.values[k]});
}

// Of one series of a result beside its points. The list may have room for as many again.
template <class Series>
std::uint64_t result_bytes(const series_item& item) {
  return 2 * sizeof(Series) + memory_of(*item.metric);
}

vector_value instant_vector(evaluation& ev, const expression& e, const step_range& steps) {
  vector_value out;
  ev.vector(e, steps, [&](const series_item& item) {
    if (!is_absent(item.values[0]) && ev.hold(1, 0, result_bytes<vector_sample>(item)))
      out.push_back({labels_of(item), {steps.start_ms, item.values[0]}});
  });
  if (!ordered(e))
    sort_by_labels(out);
  return out;
}

} // namespace

result<value> evaluate_instant(const expression& e, series_source& source, std::int64_t time_ms,
                               const evaluate_options& options) {
  evaluation ev{source, options, time_ms, time_ms};
  const step_range steps{time_ms, 1, 1};
  const auto type = type_of(e);
  if (type == value_type::string)
    return answer(string_value{time_ms, std::get<string_literal>(unwrap(e).node).text});
  if (type == value_type::scalar) {
    std::vector<double> out;
    ev.scalar(e, steps, out);
    if (ev.failed())
      return fail(ev.failure().code, ev.failure().message);
    return answer(scalar_value{{time_ms, out[0]}});
  }
  if (type == value_type::vector) {
    auto out = instant_vector(ev, e, steps);
    if (ev.failed())
      return fail(ev.failure().code, ev.failure().message);
    return answer(std::move(out));
  }
  matrix_value out;
  ev.matrix(e, time_ms, out);
  if (ev.failed())
    return fail(ev.failure().code, ev.failure().message);
  sort_by_labels(out);
  return answer(std::move(out));
}

result<matrix_value> evaluate_range(const expression& e, series_source& source, const time_range& range,
                                    const evaluate_options& options) {
  if (range.step_ms <= 0 || range.end_ms < range.start_ms)
    return fail(errc::invalid_argument, "a range query takes a step above 0 and an end not before its start");
  const auto points = minus(range.end_ms, range.start_ms) / range.step_ms;
  if (points > points_max)
    return fail(errc::invalid_argument, "exceeded maximum resolution of 11,000 points per timeseries. Try "
                                        "decreasing the query resolution (?step=XX)");
  const auto type = type_of(e);
  if (type != value_type::scalar && type != value_type::vector)
    return fail(
        errc::invalid_argument,
        fmt::format("invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                    describe(type)));
  evaluation ev{source, options, range.start_ms, range.end_ms};
  const step_range steps{range.start_ms, range.step_ms, static_cast<std::size_t>(points) + 1};
  matrix_value out;
  const auto take = [&](const series_item& item) {
    matrix_series made;
    append_points(item, steps, made.points);
    if (made.points.empty()
        || !ev.hold(made.points.size(), 0,
                    made.points.size() * sizeof(point) + result_bytes<matrix_series>(item)))
      return;
    made.metric = labels_of(item);
    out.push_back(std::move(made));
  };
  if (type == value_type::scalar) {
    scalar_column column{ev, e, steps};
    const labels none;
    if (!ev.failed())
      take({&none, false, column.values()});
  } else {
    ev.vector(e, steps, take);
  }
  if (ev.failed())
    return fail(ev.failure().code, ev.failure().message);
  sort_by_labels(out);
  return out;
}

} // namespace skerry::promql
