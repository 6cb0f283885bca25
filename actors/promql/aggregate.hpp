#pragma once

// What the kinds of aggregation share: finding a series' group.

#include "actors/promql/evaluation.hpp"
#include "actors/promql/label_keys.hpp"

#include <unordered_map>

namespace skerry::promql {

// Numbers the groups of `by` or `without` in the order in which they come.
class group_index {
public:
  explicit group_index(const aggregation& a)
      : picker_(a.without ? label_picker::except(a.grouping) : label_picker::only(a.grouping)) {}

  // The series' group; `fresh` when it is a new one, the next number.
  std::size_t find(const series_item& item, bool& fresh) {
    const auto [at, made] = groups_.try_emplace(picker_.key(*item.metric, item.without_name), groups_.size());
    fresh = made;
    return at->second;
  }
  [[nodiscard]] labels labels_of_group(const series_item& item) const {
    return picker_.pick(*item.metric, item.without_name);
  }

private:
  label_picker picker_;
  std::unordered_map<label_key, std::size_t, label_key_hash> groups_;
};

// topk and bottomk, quantile: aggregate_ranked.cpp; count_values: aggregate_values.cpp
void eval_topk(evaluation& ev, const aggregation& a, const step_range& steps, const series_sink& sink);
void eval_quantile(evaluation& ev, const aggregation& a, const step_range& steps, const series_sink& sink);
void eval_count_values(evaluation& ev, const aggregation& a, const step_range& steps,
                       const series_sink& sink);

} // namespace skerry::promql
