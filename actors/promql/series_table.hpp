#pragma once

// Series that somebody has to hold all at once, each label set once. Counts what it holds against the
// evaluation's bounds and gives it back.

#include "actors/promql/evaluation.hpp"
#include "actors/promql/label_keys.hpp"

#include <unordered_map>

namespace skerry::promql {

struct held_series {
  labels metric;
  std::vector<double> values;
};

class series_table {
public:
  static constexpr std::string_view clash_message = "vector cannot contain metrics with the same labelset";

  enum class added : std::uint8_t { fine, clash };
  enum class same_labels : std::uint8_t {
    merge, // one series, as long as no step has both
    refuse // an error
  };

  series_table(evaluation& ev, same_labels policy = same_labels::merge)
      : ev_(ev), policy_(policy), held_(ev) {}
  series_table(const series_table&) = delete;
  series_table& operator=(const series_table&) = delete;

  // clash: two series would be one; the caller says what that means.
  [[nodiscard]] added add(labels metric, std::span<const double> values);
  // The same, and a clash fails the evaluation.
  void add_or_fail(labels metric, std::span<const double> values);
  // Each once, in the order of arrival, and drops them on the way.
  void hand_over(const series_sink& sink);
  [[nodiscard]] std::vector<held_series>& all() noexcept { return all_; }
  void clear();

private:
  evaluation& ev_;
  same_labels policy_;
  label_picker whole_ = label_picker::except({}, true);
  std::vector<held_series> all_;
  std::unordered_map<label_key, std::size_t, label_key_hash> by_labels_;
  holding held_;
};

} // namespace skerry::promql
