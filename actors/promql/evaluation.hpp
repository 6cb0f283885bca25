#pragma once

// One evaluation under way: what the parts of the evaluator share. Used on the thread that called
// evaluate_instant() or evaluate_range(), nowhere else; an evaluation of a shard on one thread of its own.
//
// Everything is evaluated as columns: the values of one series at all steps, side by side. A vector-typed node
// hands its series to a sink one after another, so functions and operators with a scalar change them in place,
// aggregations add them up, and nobody holds more columns than its own result needs. What needs all series at
// once (vector matching, sorting, joined labels) holds them in a series_table.
//
// A step without a value holds the stale marker, which no value of an instant vector can be.
//
// Failures: the first one stays; everybody stops at the next series or after some steps.

#include "actors/promql/ast.hpp"
#include "actors/promql/evaluator.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

namespace skerry::promql {

struct step_range {
  std::int64_t start_ms = 0;
  std::int64_t step_ms = 1;
  std::size_t count = 0;

  [[nodiscard]] std::int64_t at(std::size_t k) const noexcept {
    return start_ms + static_cast<std::int64_t>(k) * step_ms;
  }
  [[nodiscard]] step_range first() const noexcept { return {start_ms, step_ms, 1}; }
};

inline constexpr bool is_absent(double value) noexcept {
  return std::bit_cast<std::uint64_t>(value) == stale_nan_bits;
}
inline constexpr double absent_value = std::bit_cast<double>(stale_nan_bits);
[[nodiscard]] bool any_present(std::span<const double> column) noexcept;
[[nodiscard]] std::size_t count_present(std::span<const double> column) noexcept;

// One series of an instant vector over all steps. All of them may be absent.
struct series_item {
  const labels* metric = nullptr;
  bool without_name = false; // the metric's name does not count any more
  std::span<double> values;  // one per step; whoever gets the item may change them
};
[[nodiscard]] labels labels_of(const series_item& item); // a copy, without the name where it does not count

// A reference to something that takes series. As short-lived as a parameter.
class series_sink {
public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, series_sink>) series_sink(F&& f)
  noexcept // NOLINT: taken like a function
      : object_(const_cast<void*>(static_cast<const void*>(&f))),
        call_([](void* object, const series_item& item) {
          (*static_cast<std::remove_reference_t<F>*>(object))(item);
        }) {}
  void operator()(const series_item& item) const { call_(object_, item); }

private:
  void* object_;
  void (*call_)(void*, const series_item&);
};

// What an evaluation holds now, with all its shards.
struct evaluation_budget {
  std::atomic<std::uint64_t> samples{0};
  std::atomic<std::uint64_t> cells{0};
};

class evaluation {
public:
  // start_ms and end_ms: what `@ start()` and `@ end()` mean.
  evaluation(series_source& source, const evaluate_options& options, std::int64_t start_ms,
             std::int64_t end_ms);
  // The same evaluation over one shard of what prepare() found, on any one thread; it counts against the same bounds.
  evaluation(const evaluation& of, selected& found, std::size_t shard);

  // Precondition: e is of that type. `out` gets one value per step, all present.
  void vector(const expression& e, const step_range& steps, const series_sink& sink);
  void scalar(const expression& e, const step_range& steps, std::vector<double>& out);
  // The samples that a range vector has at one time, for the answer to an instant query.
  void matrix(const expression& e, std::int64_t time_ms, matrix_value& out);

  // What the one selector below `e` finds at these steps, for evaluating `e` shard by shard. Null where that could give
  // another answer (several selectors, or series that depend on each other), or where it failed.
  [[nodiscard]] std::unique_ptr<selected> prepare(const expression& e, const step_range& steps);

  // The samples of a selector in [t - span_ms, t], where t are its steps with offset and @ taken into account; more may
  // come. newest_only: where there is one step, only the newest of each series need come.
  void select(const vector_selector& v, const step_range& steps, std::int64_t span_ms, bool newest_only,
              const std::function<void(const series_view&)>& each);
  // A selector's newest samples at each step, or when they were taken (in seconds).
  void select_newest(const vector_selector& v, const step_range& steps, bool times, const series_sink& sink);

  // Where a pinned selector or subquery looks instead of the step; false: not pinned.
  [[nodiscard]] bool pinned(const time_modifiers& when, std::int64_t& at_ms) const noexcept;
  // The steps at which a subquery's inside is evaluated for these steps outside. Fails beyond the bounds.
  [[nodiscard]] step_range steps_of(const subquery& s, const step_range& outer);

  void fail(error e);
  void fail(errc code, std::string message) { fail(error{code, std::move(message)}); }
  // True once it failed, was cancelled or ran out of time: leave. Cheap.
  [[nodiscard]] bool stopped();
  [[nodiscard]] bool failed() const noexcept { return failed_; }
  [[nodiscard]] const error& failure() const noexcept { return failure_; }

  // What is held from now on: samples and column cells against samples_max; cells and other bytes against the query's
  // memory. False: failed, nothing is held. `holding` gives it back by itself.
  [[nodiscard]] bool hold(std::uint64_t samples, std::uint64_t cells, std::uint64_t bytes = 0);
  void release(std::uint64_t samples, std::uint64_t cells, std::uint64_t bytes = 0) noexcept;

private:
  struct vector_dispatch;
  struct scalar_dispatch;

  series_source* source_; // null: one shard of found_
  selected* found_ = nullptr;
  std::size_t shard_ = 0;
  const evaluate_options& options_;
  std::int64_t start_ms_;
  std::int64_t end_ms_;
  evaluation_budget own_;
  evaluation_budget& budget_;
  std::uint32_t polls_ = 0;
  bool failed_ = false;
  error failure_;
};

// What somebody holds, given back at its end.
class holding {
public:
  explicit holding(evaluation& ev) noexcept : ev_(ev) {}
  ~holding() { clear(); }
  holding(const holding&) = delete;
  holding& operator=(const holding&) = delete;

  // False: the evaluation failed over it.
  [[nodiscard]] bool add(std::uint64_t samples, std::uint64_t cells, std::uint64_t bytes = 0);
  void remove(std::uint64_t samples, std::uint64_t cells, std::uint64_t bytes = 0) noexcept;
  void clear() noexcept { remove(samples_, cells_, bytes_); }

private:
  evaluation& ev_;
  std::uint64_t samples_ = 0;
  std::uint64_t cells_ = 0;
  std::uint64_t bytes_ = 0;
};

// A column of one's own, counted. Empty when the evaluation failed over it.
class step_column {
public:
  step_column(evaluation& ev, std::size_t steps);
  step_column(const step_column&) = delete;
  step_column& operator=(const step_column&) = delete;

  [[nodiscard]] std::span<double> values() noexcept { return values_; }

private:
  holding held_;
  std::vector<double> values_;
};

// A scalar at every step, counted. May be empty where the evaluation failed: ask it first.
class scalar_column {
public:
  scalar_column(evaluation& ev, const expression& e, const step_range& steps);
  scalar_column(const scalar_column&) = delete;
  scalar_column& operator=(const scalar_column&) = delete;

  [[nodiscard]] std::vector<double>& values() noexcept { return values_; }
  [[nodiscard]] double operator[](std::size_t step) const noexcept { return values_[step]; }

private:
  holding held_;
  std::vector<double> values_;
};

// Times come from users: sums of them must not overflow.
[[nodiscard]] std::int64_t plus(std::int64_t a, std::int64_t b) noexcept;
[[nodiscard]] std::int64_t minus(std::int64_t a, std::int64_t b) noexcept;

// Whether two series of this node can differ in nothing but their name, so that dropping it may make them one.
[[nodiscard]] bool names_may_differ(const expression& e) noexcept;

// Passes on what `inner` gives, without names, each column changed in place by change(values).
void drop_names(evaluation& ev, const expression& inner, const step_range& steps, const series_sink& sink,
                const std::function<void(std::span<double>)>& change);

// The parts of the evaluator, one per file.
void eval_binary(evaluation& ev, const binary_expression& b, const step_range& steps,
                 const series_sink& sink);
void eval_vector_match(evaluation& ev, const binary_expression& b, const step_range& steps,
                       const series_sink& sink);
void eval_set_operator(evaluation& ev, const binary_expression& b, const step_range& steps,
                       const series_sink& sink);
void eval_aggregation(evaluation& ev, const aggregation& a, const step_range& steps, const series_sink& sink);
void eval_window_function(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink);

// Two numbers; comparisons give 1 or 0.
[[nodiscard]] double compute(binary_op op, double left, double right) noexcept;

} // namespace skerry::promql
