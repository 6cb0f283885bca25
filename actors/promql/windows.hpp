#pragma once

// The windows of a range vector function over one series. Windows and samples only move forward, so a column
// takes one pass: two indices that never go back.

#include "actors/promql/evaluation.hpp"

#include <deque>

namespace skerry::promql {

struct window_input {
  evaluation& ev;
  std::span<const std::int64_t> times_ms; // ascending
  std::span<const double> values;         // without stale markers
  const step_range& steps;
  std::int64_t range_ms = 0;
  std::int64_t offset_ms = 0;
  bool pinned = false; // every window ends at at_ms - offset_ms
  std::int64_t at_ms = 0;
  const std::deque<scalar_column>& parameters; // the scalar arguments in their order

  [[nodiscard]] std::int64_t end_of(std::size_t k) const noexcept {
    return minus(pinned ? at_ms : steps.at(k), offset_ms);
  }
};

// The samples [first, last) of the window of step k, with end - range <= t <= end.
struct window {
  std::size_t first = 0;
  std::size_t last = 0;
  std::size_t step = 0;
  std::int64_t begin_ms = 0;
  std::int64_t end_ms = 0;

  [[nodiscard]] std::size_t size() const noexcept { return last - first; }
};

// out[k] = f(window of step k) where that has samples, else absent.
template <class F>
void each_window(const window_input& in, std::span<double> out, F f) {
  constexpr std::size_t samples_per_poll = 1 << 16;
  const auto count = in.times_ms.size();
  std::size_t looked_at = 0;
  window w;
  for (std::size_t k = 0; k < out.size(); ++k) {
    looked_at += w.size() + 1;
    if (looked_at >= samples_per_poll) {
      if (in.ev.stopped())
        return;
      looked_at = 0;
    }
    w.step = k;
    w.end_ms = in.end_of(k);
    w.begin_ms = minus(w.end_ms, in.range_ms);
    while (w.last < count && in.times_ms[w.last] <= w.end_ms)
      ++w.last;
    while (w.first < w.last && in.times_ms[w.first] < w.begin_ms)
      ++w.first;
    out[k] = w.first == w.last ? absent_value : f(w);
  }
}

// rate_functions.cpp
void windows_rate(const window_input& in, std::span<double> out);
void windows_increase(const window_input& in, std::span<double> out);
void windows_delta(const window_input& in, std::span<double> out);
void windows_irate(const window_input& in, std::span<double> out);
void windows_idelta(const window_input& in, std::span<double> out);
void windows_changes(const window_input& in, std::span<double> out);
void windows_resets(const window_input& in, std::span<double> out);
// trend_functions.cpp
void windows_deriv(const window_input& in, std::span<double> out);
void windows_predict_linear(const window_input& in, std::span<double> out);
void windows_holt_winters(const window_input& in, std::span<double> out);
// over_time_functions.cpp
void windows_avg_over_time(const window_input& in, std::span<double> out);
void windows_count_over_time(const window_input& in, std::span<double> out);
void windows_last_over_time(const window_input& in, std::span<double> out);
void windows_max_over_time(const window_input& in, std::span<double> out);
void windows_min_over_time(const window_input& in, std::span<double> out);
void windows_present_over_time(const window_input& in, std::span<double> out);
void windows_quantile_over_time(const window_input& in, std::span<double> out);
void windows_stddev_over_time(const window_input& in, std::span<double> out);
void windows_stdvar_over_time(const window_input& in, std::span<double> out);
void windows_sum_over_time(const window_input& in, std::span<double> out);

} // namespace skerry::promql
