// count_values: how many series of a group have the same value, the value becoming a label.

#include "actors/promql/aggregate.hpp"
#include "actors/promql/json.hpp"
#include "actors/promql/series_table.hpp"
#include "actors/promql/vector_functions.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace skerry::promql {

namespace {

struct value_key {
  std::size_t group = 0;
  std::uint64_t bits = 0;

  bool operator==(const value_key&) const = default;
};
struct value_key_hash {
  std::size_t operator()(const value_key& k) const noexcept {
    constexpr std::uint64_t odd = 0x9E3779B97F4A7C15;
    return static_cast<std::size_t>(((k.bits ^ (k.group * odd)) * odd) >> 7);
  }
};

// The labels that a series has when its value has taken a label's place, without that label.
aggregation grouping_without(const aggregation& a, const std::string& label) {
  aggregation base;
  base.without = a.without;
  for (const auto& name : a.grouping)
    if (name != label)
      base.grouping.push_back(name);
  if (a.without)
    base.grouping.push_back(label);
  return base;
}

} // namespace

void eval_count_values(evaluation& ev, const aggregation& a, const step_range& steps,
                       const series_sink& sink) {
  const auto& label = text_of(*a.parameter);
  if (!is_label_name(label))
    return ev.fail(errc::invalid_argument, fmt::format("invalid label name {}", quote(label)));
  const bool label_dropped =
      a.without && std::find(a.grouping.begin(), a.grouping.end(), label) != a.grouping.end();
  group_index index{grouping_without(a, label)};
  std::vector<labels> groups;
  struct counted {
    value_key key;
    std::vector<double> column;
  };
  std::vector<counted> all;
  std::unordered_map<value_key, std::size_t, value_key_hash> by_value;
  holding held{ev};
  ev.vector(*a.inner, steps, [&](const series_item& item) {
    bool fresh = false;
    const auto group = index.find(item, fresh);
    if (fresh) {
      auto metric = index.labels_of_group(item);
      if (!held.add(0, 0, 2 * sizeof(labels) + memory_of(metric) + sizeof(label_key) + table_entry_bytes))
        return;
      groups.push_back(std::move(metric));
    }
    if (group >= groups.size())
      return; // failed
    value_key last;
    std::size_t at = all.size();
    for (std::size_t k = 0; k < steps.count; ++k) {
      auto v = item.values[k];
      if (is_absent(v))
        continue;
      if (std::isnan(v))
        v = std::numeric_limits<double>::quiet_NaN(); // whatever its bits, it is written alike
      const value_key key{group, label_dropped ? 0 : std::bit_cast<std::uint64_t>(v)};
      if (at == all.size() || !(key == last)) {
        const auto [found, made] = by_value.try_emplace(key, all.size());
        if (made) {
          if (!held.add(0, steps.count, 2 * sizeof(counted) + sizeof(value_key) + table_entry_bytes))
            return;
          all.push_back({key, std::vector<double>(steps.count, absent_value)});
        }
        at = found->second;
        last = key;
      }
      auto& count = all[at].column[k];
      count = is_absent(count) ? 1 : count + 1;
    }
  });
  series_table table{ev};
  for (auto& c : all) {
    if (ev.stopped())
      break;
    auto metric = groups[c.key.group];
    if (!label_dropped) {
      std::string text;
      append_number_plain(text, std::bit_cast<double>(c.key.bits));
      set_label(metric, label, std::move(text));
    }
    table.add_or_fail(std::move(metric), c.column);
    held.remove(0, steps.count);
    c = {};
  }
  held.clear();
  table.hand_over(sink);
}

} // namespace skerry::promql
