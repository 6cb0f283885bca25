#pragma once

// Evaluates a tree over a series source: every function, operator and aggregation of Prometheus 2.42, with its
// answers. One call runs on the caller's thread from start to end; several may run at once. A range query goes
// through each series once, whatever the number of steps.
//
// Failures: invalid_argument (the expression's type can't be asked for this way, or Prometheus' own error of
// evaluation, in its words), exhausted (samples_max, the query's memory), unavailable (the memory of all queries),
// cancelled (the flag was raised), timeout (the deadline passed), and whatever the source returns.

#include "actors/promql/ast.hpp"
#include "actors/promql/query_memory.hpp"
#include "actors/promql/value.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

namespace skerry::promql {

inline constexpr std::int64_t lookback_ms_default = 300'000;
inline constexpr std::int64_t subquery_step_ms_default = 60'000;
inline constexpr std::int64_t points_max = 11'000; // of one series in a range query
inline constexpr std::uint64_t samples_max_default = 50'000'000;
// Columns hold a cell for every step, also for those without a sample: so many cells for each of samples_max.
inline constexpr std::uint64_t cells_per_sample_max = 2;
// What one selector may read in all, for each of samples_max. Most of it is gone when the next series comes.
inline constexpr std::uint64_t scanned_per_sample_max = 64;

struct evaluate_options {
  std::int64_t lookback_ms = lookback_ms_default;
  std::int64_t subquery_step_ms = subquery_step_ms_default; // of subqueries that name none
  std::uint64_t samples_max = samples_max_default;          // held at once
  const std::atomic<bool>* cancelled = nullptr;             // polled between series
  query_memory* memory =
      nullptr; // counts what is held, the result included, which stays counted; null: unbounded
  std::optional<std::chrono::steady_clock::time_point> deadline{};
};

struct time_range {
  std::int64_t start_ms = 0;
  std::int64_t end_ms = 0;  // >= start
  std::int64_t step_ms = 0; // > 0
};

// A vector selector takes the newest sample in [t - lookback, t], none where that is a stale marker (closed
// at both ends, as in Prometheus before 3.0); a range selector those in [t - range, t] without stale markers.
// Results are sorted by labels, those of an instant query by value where the expression asks for that (sort,
// topk).
[[nodiscard]] result<value> evaluate_instant(const expression& e, series_source& source, std::int64_t time_ms,
                                             const evaluate_options& options);
[[nodiscard]] result<matrix_value> evaluate_range(const expression& e, series_source& source,
                                                  const time_range& range, const evaluate_options& options);

} // namespace skerry::promql
