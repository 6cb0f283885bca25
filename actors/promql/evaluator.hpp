#pragma once

// Evaluates a tree over a series source. One call runs on the caller's thread from start to end; several may
// run at once. A range query goes through each series once, whatever the number of steps.
//
// Failures: invalid_argument (the expression's type can't be asked for this way), exhausted (samples_max),
// cancelled (the flag was raised), and whatever the source returns.

#include "actors/promql/ast.hpp"
#include "actors/promql/value.hpp"

#include <atomic>
#include <cstdint>

namespace skerry::promql {

inline constexpr std::int64_t lookback_ms_default = 300'000;
inline constexpr std::int64_t points_max = 11'000; // of one series in a range query
inline constexpr std::uint64_t samples_max_default = 50'000'000;

struct evaluate_options {
  std::int64_t lookback_ms = lookback_ms_default;
  std::uint64_t samples_max = samples_max_default;
  const std::atomic<bool>* cancelled = nullptr; // polled between series
};

struct time_range {
  std::int64_t start_ms = 0;
  std::int64_t end_ms = 0;  // >= start
  std::int64_t step_ms = 0; // > 0
};

// A vector selector takes the newest sample in [t - lookback, t], none where that is a stale marker (closed
// at both ends, as in Prometheus before 3.0); a range selector those in [t - range, t] without stale markers.
[[nodiscard]] result<value> evaluate_instant(const expression& e, series_source& source, std::int64_t time_ms,
                                             const evaluate_options& options);
[[nodiscard]] result<matrix_value> evaluate_range(const expression& e, series_source& source,
                                                  const time_range& range, const evaluate_options& options);

} // namespace skerry::promql
