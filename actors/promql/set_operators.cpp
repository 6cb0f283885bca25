// and, or, unless: only whether the other side has a series with the same labels at a step counts.

#include "actors/promql/label_keys.hpp"
#include "actors/promql/series_table.hpp"

#include <unordered_map>

namespace skerry::promql {

namespace {

// At which steps each match group has a series.
class presence {
public:
  presence(evaluation& ev, const vector_matching& m, std::size_t steps)
      : steps_(steps),
        picker_(m.on ? label_picker::only(m.labels) : label_picker::except(m.labels)),
        held_(ev) {}

  void add(const series_item& item) {
    auto& seen = groups_[picker_.key(*item.metric, item.without_name)];
    if (seen.empty()) {
      if (!held_.add(0, steps_ / sizeof(double) + 1, sizeof(label_key) + sizeof seen + table_entry_bytes))
        return;
      seen.resize(steps_);
    }
    for (std::size_t k = 0; k < steps_; ++k)
      seen[k] = seen[k] != 0 || !is_absent(item.values[k]) ? 1 : 0;
  }
  // Null: at none.
  [[nodiscard]] const std::vector<std::uint8_t>* find(const series_item& item) {
    const auto at = groups_.find(picker_.key(*item.metric, item.without_name));
    return at == groups_.end() || at->second.empty() ? nullptr : &at->second;
  }

private:
  std::size_t steps_;
  label_picker picker_;
  std::unordered_map<label_key, std::vector<std::uint8_t>, label_key_hash> groups_;
  holding held_;
};

// Leaves the steps where the group was seen (or was not).
void mask(const series_item& item, const std::vector<std::uint8_t>* seen, bool where_seen) {
  for (std::size_t k = 0; k < item.values.size(); ++k)
    if ((seen && (*seen)[k] != 0) != where_seen)
      item.values[k] = absent_value;
}

} // namespace

void eval_set_operator(evaluation& ev, const binary_expression& b, const step_range& steps,
                       const series_sink& sink) {
  presence other{ev, b.matching, steps.count};
  if (b.op != binary_op::set_or) {
    ev.vector(*b.right, steps, [&](const series_item& item) { other.add(item); });
    return ev.vector(*b.left, steps, [&](const series_item& item) {
      mask(item, other.find(item), b.op == binary_op::set_and);
      if (any_present(item.values))
        sink(item);
    });
  }
  // The same series may come from the left at one step and from the right at another: then it is one.
  series_table table{ev};
  ev.vector(*b.left, steps, [&](const series_item& item) {
    other.add(item);
    table.add_or_fail(labels_of(item), item.values);
  });
  ev.vector(*b.right, steps, [&](const series_item& item) {
    mask(item, other.find(item), false);
    if (any_present(item.values))
      table.add_or_fail(labels_of(item), item.values);
  });
  table.hand_over(sink);
}

} // namespace skerry::promql
