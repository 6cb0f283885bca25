// <aggregation>_over_time(). Means and variances are updated sample by sample (Welford, Technometrics 4 (1962),
// 419–420) with compensated sums, as Prometheus does.

#include "actors/promql/arithmetic.hpp"
#include "actors/promql/windows.hpp"

namespace skerry::promql {

namespace {

double average(std::span<const double> values) noexcept {
  compensated_sum mean;
  double count = 0;
  for (const auto v : values) {
    ++count;
    if (!mean_stays(mean.sum, v))
      mean.add(v / count - mean.sum / count);
  }
  return std::isinf(mean.sum) ? mean.sum : mean.total();
}

double variance(std::span<const double> values) noexcept {
  compensated_sum mean;
  compensated_sum squares;
  double count = 0;
  for (const auto v : values) {
    ++count;
    const auto delta = v - mean.total();
    mean.add(delta / count);
    squares.add(delta * (v - mean.total()));
  }
  return squares.total() / count;
}

double sum(std::span<const double> values) noexcept {
  compensated_sum all;
  for (const auto v : values)
    all.add(v);
  return std::isinf(all.sum) ? all.sum : all.total();
}

// The largest or smallest value, of equal ones the first; NaN only where there is nothing else. Candidates wait in
// falling order (a monotonic queue), so a window costs what is new in it, however long it is.
template <class Better>
void extremes(const window_input& in, std::span<double> out, Better better) {
  holding held{in.ev};
  if (!held.add(0, in.values.size()))
    return;
  std::vector<std::size_t> waiting;
  std::size_t head = 0;
  std::size_t next = 0;
  each_window(in, out, [&](const window& w) {
    for (; next < w.last; ++next) {
      const auto v = in.values[next];
      if (std::isnan(v))
        continue;
      while (waiting.size() > head && better(v, in.values[waiting.back()]))
        waiting.pop_back();
      waiting.push_back(next);
    }
    while (head < waiting.size() && waiting[head] < w.first)
      ++head;
    return head == waiting.size() ? std::numeric_limits<double>::quiet_NaN() : in.values[waiting[head]];
  });
}

template <class F>
void of_values(const window_input& in, std::span<double> out, F f) {
  each_window(in, out, [&](const window& w) { return f(in.values.subspan(w.first, w.size())); });
}

} // namespace

void windows_avg_over_time(const window_input& in, std::span<double> out) { of_values(in, out, average); }
void windows_sum_over_time(const window_input& in, std::span<double> out) { of_values(in, out, sum); }
void windows_stdvar_over_time(const window_input& in, std::span<double> out) { of_values(in, out, variance); }
void windows_stddev_over_time(const window_input& in, std::span<double> out) {
  of_values(in, out, [](std::span<const double> values) { return std::sqrt(variance(values)); });
}
void windows_max_over_time(const window_input& in, std::span<double> out) {
  extremes(in, out, std::greater<>{});
}
void windows_min_over_time(const window_input& in, std::span<double> out) {
  extremes(in, out, std::less<>{});
}
void windows_count_over_time(const window_input& in, std::span<double> out) {
  each_window(in, out, [](const window& w) { return static_cast<double>(w.size()); });
}
void windows_last_over_time(const window_input& in, std::span<double> out) {
  each_window(in, out, [&](const window& w) { return in.values[w.last - 1]; });
}
void windows_present_over_time(const window_input& in, std::span<double> out) {
  each_window(in, out, [](const window&) { return 1.0; });
}
void windows_quantile_over_time(const window_input& in, std::span<double> out) {
  std::vector<double> values;
  holding held{in.ev};
  if (!held.add(0, in.values.size()))
    return;
  each_window(in, out, [&](const window& w) {
    values.assign(in.values.begin() + static_cast<std::ptrdiff_t>(w.first),
                  in.values.begin() + static_cast<std::ptrdiff_t>(w.last));
    return quantile_of(in.parameters[0][w.step], values);
  });
}

} // namespace skerry::promql
