// Range vectors: functions over them, subqueries, and a range vector as the answer itself.

#include "actors/promql/functions.hpp"
#include "actors/promql/series_table.hpp"
#include "actors/promql/vector_functions.hpp"
#include "actors/promql/windows.hpp"

#include <algorithm>

namespace skerry::promql {

namespace {

// The raw samples of a series without its stale markers; spans of the view itself where it has none. Empty where the
// evaluation failed over them.
class clean_samples {
public:
  explicit clean_samples(evaluation& ev) : held_(ev) {}

  void set(std::span<const std::int64_t> times_ms, std::span<const double> values) {
    times_ = times_ms;
    values_ = values;
    if (count_present(values) == values.size())
      return;
    kept_times_.clear();
    kept_values_.clear();
    times_ = {};
    values_ = {};
    if (values.size() > room_) {
      if (!held_.add(0, 2 * (values.size() - room_)))
        return;
      room_ = values.size();
      kept_times_.reserve(room_);
      kept_values_.reserve(room_);
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (is_absent(values[i]))
        continue;
      kept_times_.push_back(times_ms[i]);
      kept_values_.push_back(values[i]);
    }
    times_ = kept_times_;
    values_ = kept_values_;
  }
  [[nodiscard]] std::span<const std::int64_t> times() const noexcept { return times_; }
  [[nodiscard]] std::span<const double> values() const noexcept { return values_; }

private:
  std::span<const std::int64_t> times_;
  std::span<const double> values_;
  std::vector<std::int64_t> kept_times_;
  std::vector<double> kept_values_;
  std::size_t room_ = 0; // of both
  holding held_;
};

using series_samples = std::function<void(const labels& metric, bool without_name,
                                          std::span<const std::int64_t> times_ms, std::span<const double>)>;

// The samples that the windows of these steps can hold, series by series, ascending, without stale markers.
void each_selected(evaluation& ev, const expression& range, const step_range& steps,
                   const series_samples& each) {
  clean_samples clean{ev};
  if (const auto* m = std::get_if<matrix_selector>(&range.node)) {
    return ev.select(m->selector, steps, m->range_ms, false, [&](const series_view& view) {
      clean.set(view.times_ms, view.values);
      if (!clean.values().empty())
        each(view.all, false, clean.times(), clean.values());
    });
  }
  const auto& s = std::get<subquery>(range.node);
  const auto inner = ev.steps_of(s, steps);
  holding times_held{ev};
  if (ev.failed() || inner.count == 0 || !times_held.add(0, inner.count))
    return;
  std::vector<std::int64_t> times(inner.count);
  for (std::size_t k = 0; k < inner.count; ++k)
    times[k] = inner.at(k);
  ev.vector(*s.inner, inner, [&](const series_item& item) {
    clean.set(times, item.values);
    each(*item.metric, item.without_name, clean.times(), clean.values());
  });
}

struct range_of {
  std::int64_t range_ms = 0;
  time_modifiers when;
};
range_of range_of_argument(const expression& range) {
  if (const auto* m = std::get_if<matrix_selector>(&range.node))
    return {m->range_ms, m->selector.when};
  const auto& s = std::get<subquery>(range.node);
  return {s.range_ms, s.when};
}

} // namespace

void eval_window_function(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink) {
  const expression* range = nullptr;
  std::deque<scalar_column> parameters;
  for (const auto& argument : c.arguments) {
    if (type_of(*argument) == value_type::matrix)
      range = &unwrap(*argument);
    else
      parameters.emplace_back(ev, *argument, steps);
  }
  const auto span = range_of_argument(*range);
  std::int64_t at_ms = 0;
  const bool pinned = ev.pinned(span.when, at_ms);
  const bool keeps_name = c.target->name == "last_over_time"; // it is like an offset
  step_column column{ev, steps.count};
  const auto out = column.values();
  if (ev.failed())
    return;
  series_table table{ev, series_table::same_labels::refuse};
  const bool may_clash = !keeps_name && names_may_differ(*range);
  each_selected(ev, *range, steps, [&](const labels& metric, bool without_name, auto times_ms, auto values) {
    c.target->run.windows(
        {ev, times_ms, values, steps, span.range_ms, span.when.offset_ms, pinned, at_ms, parameters}, out);
    if (ev.failed() || !any_present(out))
      return;
    if (may_clash)
      table.add_or_fail(labels_of({&metric, true, {}}), out);
    else
      sink({&metric, without_name || !keeps_name, out});
  });
  table.hand_over(sink);
}

void eval_absent_over_time(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink) {
  const auto& range = unwrap(*c.arguments[0]);
  const auto span = range_of_argument(range);
  std::int64_t at_ms = 0;
  const bool pinned = ev.pinned(span.when, at_ms);
  step_column seen{ev, steps.count};
  step_column absent{ev, steps.count};
  if (ev.failed())
    return;
  const auto out = absent.values();
  std::fill(out.begin(), out.end(), 1);
  const std::deque<scalar_column> none;
  each_selected(ev, range, steps, [&](const labels&, bool, auto times_ms, auto values) {
    windows_present_over_time(
        {ev, times_ms, values, steps, span.range_ms, span.when.offset_ms, pinned, at_ms, none},
        seen.values());
    for (std::size_t k = 0; k < out.size(); ++k)
      if (!is_absent(seen.values()[k]))
        out[k] = absent_value;
  });
  const auto metric = labels_of_absent(range);
  if (!ev.stopped() && any_present(out))
    sink({&metric, false, out});
}

void evaluation::matrix(const expression& e, std::int64_t time_ms, matrix_value& out) {
  const auto& range = unwrap(e);
  const step_range steps{time_ms, 1, 1};
  each_selected(*this, range, steps,
                [&](const labels& metric, bool without_name, auto times_ms, auto values) {
                  if (!hold(values.size(), 0,
                            values.size() * sizeof(point) + 2 * sizeof(matrix_series) + memory_of(metric)))
                    return;
                  matrix_series made{labels_of({&metric, without_name, {}}), {}};
                  made.points.reserve(values.size());
                  for (std::size_t i = 0; i < values.size(); ++i)
                    made.points.push_back({times_ms[i], values[i]});
                  out.push_back(std::move(made));
                });
}

} // namespace skerry::promql
