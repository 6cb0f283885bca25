#include "actors/promql/evaluator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace skerry::promql {

namespace {

// Times come from users: sums of them must not overflow.
std::int64_t plus(std::int64_t a, std::int64_t b) noexcept {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum))
    return b > 0 ? std::numeric_limits<std::int64_t>::max() : std::numeric_limits<std::int64_t>::min();
  return sum;
}
std::int64_t minus(std::int64_t a, std::int64_t b) noexcept {
  std::int64_t difference = 0;
  if (__builtin_sub_overflow(a, b, &difference))
    return b < 0 ? std::numeric_limits<std::int64_t>::max() : std::numeric_limits<std::int64_t>::min();
  return difference;
}

auto too_many_samples() {
  return fail(errc::exhausted, "query processing would load too many samples into memory in query execution");
}

// One call's bounds: how many samples the answer may still hold, and whether anyone still wants it.
class budget {
public:
  explicit budget(const evaluate_options& options) noexcept
      : left_(options.samples_max), cancelled_(options.cancelled) {}

  // False when the series is not to be looked at any more: the call ends with failed().
  [[nodiscard]] bool more() noexcept {
    stopped_ = stopped_ || (cancelled_ && cancelled_->load(std::memory_order_relaxed));
    return !stopped_ && !over_;
  }
  [[nodiscard]] bool spend(std::uint64_t samples) noexcept {
    over_ = over_ || samples > left_;
    left_ -= over_ ? 0 : samples;
    return !over_;
  }
  [[nodiscard]] result<void> check() const {
    if (stopped_)
      return fail(errc::cancelled, "query was canceled in query execution");
    if (over_)
      return too_many_samples();
    return ok();
  }

private:
  std::uint64_t left_;
  const std::atomic<bool>* cancelled_;
  bool stopped_ = false;
  bool over_ = false;
};

select_request request_for(const vector_selector& selector, std::int64_t from_ms, std::int64_t to_ms,
                           std::int64_t step_ms, const evaluate_options& options) {
  select_request request;
  request.matchers = selector.matchers;
  request.from_ms = from_ms;
  request.to_ms = to_ms;
  request.step_ms = step_ms;
  request.samples_max = options.samples_max;
  request.cancelled = options.cancelled;
  return request;
}

// Built where it stands: moving a variant makes GCC 12 see uninitialised members under sanitizers.
template <class T>
result<value> answer(T made) {
  return result<value>{boost::outcome_v2::in_place_type<value>, std::in_place_type<T>, std::move(made)};
}

template <class T>
void sort_by_labels(std::vector<T>& all) {
  std::sort(all.begin(), all.end(), [](const T& a, const T& b) { return a.metric < b.metric; });
}

result<void> run_select(series_source& source, const select_request& request, budget& bounds,
                        const std::function<void(const series_view&)>& each) {
  BOOST_OUTCOME_TRYV(source.select(request, [&](const series_view& view) {
    if (bounds.more())
      each(view);
  }));
  return bounds.check();
}

result<value> instant_vector(const vector_selector& selector, series_source& source, std::int64_t time_ms,
                             const evaluate_options& options) {
  const auto to = minus(time_ms, selector.when.offset_ms);
  const auto from = minus(to, options.lookback_ms);
  vector_value out;
  budget bounds{options};
  BOOST_OUTCOME_TRYV(
      run_select(source, request_for(selector, from, to, 0, options), bounds, [&](const series_view& view) {
        const auto after = std::upper_bound(view.times_ms.begin(), view.times_ms.end(), to);
        if (after == view.times_ms.begin())
          return;
        const auto newest = static_cast<std::size_t>(after - view.times_ms.begin()) - 1;
        if (view.times_ms[newest] < from || is_stale(view.values[newest]))
          return;
        if (bounds.spend(1))
          out.push_back({view.all, {time_ms, view.values[newest]}});
      }));
  sort_by_labels(out);
  return answer(std::move(out));
}

result<value> range_vector(const matrix_selector& m, series_source& source, std::int64_t time_ms,
                           const evaluate_options& options) {
  const auto to = minus(time_ms, m.selector.when.offset_ms);
  const auto from = minus(to, m.range_ms);
  matrix_value out;
  budget bounds{options};
  BOOST_OUTCOME_TRYV(
      run_select(source, request_for(m.selector, from, to, 0, options), bounds, [&](const series_view& view) {
        const auto begin = std::lower_bound(view.times_ms.begin(), view.times_ms.end(), from);
        const auto end = std::upper_bound(begin, view.times_ms.end(), to);
        matrix_series made;
        made.points.reserve(static_cast<std::size_t>(end - begin));
        for (auto it = begin; it != end; ++it)
          if (const auto v = view.values[static_cast<std::size_t>(it - view.times_ms.begin())]; !is_stale(v))
            made.points.push_back({*it, v});
        if (made.points.empty() || !bounds.spend(made.points.size()))
          return;
        made.metric = view.all;
        out.push_back(std::move(made));
      }));
  sort_by_labels(out);
  return answer(std::move(out));
}

// The steps of one series: both the steps and the samples only move forward.
void fill_steps(const series_view& view, const time_range& range, std::int64_t offset_ms,
                std::int64_t lookback_ms, std::vector<point>& into) {
  const auto count = view.times_ms.size();
  std::size_t after = 0; // the first sample beyond the step
  std::int64_t t = range.start_ms;
  while (t <= range.end_ms) {
    const auto to = minus(t, offset_ms);
    while (after < count && view.times_ms[after] <= to)
      ++after;
    if (after > 0) {
      const auto newest = view.values[after - 1];
      if (view.times_ms[after - 1] >= minus(to, lookback_ms) && !is_stale(newest))
        into.push_back({t, newest});
    }
    if (range.end_ms - t < range.step_ms)
      return;
    t += range.step_ms;
  }
}

result<matrix_value> vector_steps(const vector_selector& selector, series_source& source,
                                  const time_range& range, const evaluate_options& options) {
  const auto from = minus(minus(range.start_ms, selector.when.offset_ms), options.lookback_ms);
  const auto to = minus(range.end_ms, selector.when.offset_ms);
  matrix_value out;
  budget bounds{options};
  std::vector<point> points;
  BOOST_OUTCOME_TRYV(run_select(
      source, request_for(selector, from, to, range.step_ms, options), bounds, [&](const series_view& view) {
        points.clear();
        fill_steps(view, range, selector.when.offset_ms, options.lookback_ms, points);
        if (!points.empty() && bounds.spend(points.size()))
          out.push_back({view.all, {points.begin(), points.end()}}); // a copy of the exact size
      }));
  sort_by_labels(out);
  return out;
}

matrix_value scalar_steps(double number, const time_range& range) {
  matrix_series made;
  for (auto t = range.start_ms;; t = plus(t, range.step_ms)) {
    made.points.push_back({t, number});
    if (range.end_ms - t < range.step_ms)
      break;
  }
  matrix_value out;
  out.push_back(std::move(made));
  return out;
}

struct instant_visitor {
  series_source& source;
  std::int64_t time_ms;
  const evaluate_options& options;

  result<value> operator()(const number_literal& n) const { return answer(scalar_value{{time_ms, n.value}}); }
  result<value> operator()(const string_literal& s) const { return answer(string_value{time_ms, s.text}); }
  result<value> operator()(const vector_selector& v) const {
    return instant_vector(v, source, time_ms, options);
  }
  result<value> operator()(const matrix_selector& m) const {
    return range_vector(m, source, time_ms, options);
  }
  result<value> operator()(const paren_expression& p) const {
    return evaluate_instant(*p.inner, source, time_ms, options);
  }
  template <class Other>
  result<value> operator()(const Other&) const {
    return fail(errc::unsupported, "not evaluated yet");
  }
};

} // namespace

result<value> evaluate_instant(const expression& e, series_source& source, std::int64_t time_ms,
                               const evaluate_options& options) {
  return std::visit(instant_visitor{source, time_ms, options}, unwrap(e).node);
}

result<matrix_value> evaluate_range(const expression& e, series_source& source, const time_range& range,
                                    const evaluate_options& options) {
  if (range.step_ms <= 0 || range.end_ms < range.start_ms)
    return fail(errc::invalid_argument, "a range query takes a step above 0 and an end not before its start");
  if (minus(range.end_ms, range.start_ms) / range.step_ms > points_max)
    return fail(errc::invalid_argument, "exceeded maximum resolution of 11,000 points per timeseries. Try "
                                        "decreasing the query resolution (?step=XX)");
  const auto& inner = unwrap(e);
  if (const auto* number = std::get_if<number_literal>(&inner.node))
    return scalar_steps(number->value, range);
  if (const auto* selector = std::get_if<vector_selector>(&inner.node))
    return vector_steps(*selector, source, range, options);
  return fail(errc::invalid_argument,
              fmt::format("invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                          describe(type_of(inner))));
}

} // namespace skerry::promql
