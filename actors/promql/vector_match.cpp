// Arithmetic and comparisons between two instant vectors. The side of which a match group may have one series
// at a step is held; the other one passes by. Which series belong together is found once per series, only
// whether they are there is asked at every step.

#include "actors/promql/label_keys.hpp"
#include "actors/promql/operators.hpp"
#include "actors/promql/series_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace skerry::promql {

namespace {

// {a="b", c="d"}, as Prometheus' messages have them; of very large ones the beginning.
std::string describe(const labels& all) {
  constexpr std::uint64_t described_max = 16 << 10;
  std::string out = "{";
  std::uint64_t bytes = 0;
  for (const auto& l : all) {
    bytes += l.name.size() + l.value.size();
    if (bytes > described_max)
      return out + (out.size() > 1 ? ", …}" : "…}");
    out += fmt::format("{}{}={}", out.size() > 1 ? ", " : "", l.name, quote(l.value));
  }
  return out + "}";
}

struct member {
  labels metric;
  std::vector<double> values;
};

// The series of the "one" side with the same matching labels: at most one of them at each step.
struct match_group {
  std::vector<member> members;
  std::vector<double> merged;        // of several members; empty while there is one
  std::vector<std::uint32_t> owner;  // of each step of `merged`
  std::vector<std::uint8_t> matched; // one-to-one: the steps that have a result

  [[nodiscard]] const std::vector<double>& values() const {
    return merged.empty() ? members[0].values : merged;
  }
};

class vector_matcher {
public:
  vector_matcher(evaluation& ev, const binary_expression& b, const step_range& steps)
      : ev_(ev),
        b_(b),
        m_(b.matching),
        steps_(steps),
        picker_(m_.on ? label_picker::only(m_.labels) : label_picker::except(m_.labels)),
        result_(result_picker()),
        swapped_(m_.card == match_cardinality::one_to_many),
        table_(ev),
        held_(ev) {}

  void run(const series_sink& sink) {
    ev_.vector(swapped_ ? *b_.left : *b_.right, steps_, [&](const series_item& item) { add_one(item); });
    step_column column{ev_, steps_.count};
    if (!ev_.failed())
      ev_.vector(swapped_ ? *b_.right : *b_.left, steps_,
                 [&](const series_item& item) { add_many(item, column.values()); });
    refuse();
    groups_.clear();
    if (!ev_.failed())
      table_.hand_over(sink);
  }

private:
  struct duplicate {
    std::size_t step = 0;
    labels first;
    labels second;
  };

  // What a result's labels are, before labels of the other side come in.
  [[nodiscard]] label_picker result_picker() const {
    const bool keep_name = !drops_name(b_.op) && !b_.return_bool;
    if (m_.card != match_cardinality::one_to_one)
      return label_picker::except({}, keep_name);
    if (!m_.on)
      return label_picker::except(m_.labels, keep_name);
    auto names = m_.labels;
    if (!keep_name)
      names.erase(std::remove(names.begin(), names.end(), label_name), names.end());
    return label_picker::only(std::move(names));
  }

  void add_one(const series_item& item) {
    if (!held_.add(0, steps_.count,
                   2 * sizeof(member) + memory_of(*item.metric) + sizeof(label_key) + sizeof(match_group)
                       + table_entry_bytes))
      return;
    auto& g = groups_[picker_.key(*item.metric, item.without_name)];
    g.members.push_back({labels_of(item), {item.values.begin(), item.values.end()}});
    if (g.members.size() == 1)
      return;
    if (g.merged.empty()) {
      if (!held_.add(0, 2 * steps_.count))
        return;
      g.merged = g.members[0].values;
      g.owner.assign(steps_.count, 0);
    }
    const auto index = static_cast<std::uint32_t>(g.members.size() - 1);
    for (std::size_t k = 0; k < steps_.count; ++k) {
      if (is_absent(item.values[k]))
        continue;
      if (!is_absent(g.merged[k])) {
        note_duplicate(k, g.members[g.owner[k]].metric, g.members[index].metric);
        continue;
      }
      g.merged[k] = item.values[k];
      g.owner[k] = index;
    }
  }

  // An error only where the other side has anything at that step, so it has to wait.
  void note_duplicate(std::size_t step, const labels& first, const labels& second) {
    if (many_present_.empty()) {
      if (!held_.add(0, 0, steps_.count))
        return;
      many_present_.resize(steps_.count);
    }
    if (duplicate_at_.count(step) != 0
        || !held_.add(0, 0, 2 * sizeof(duplicate) + memory_of(first) + memory_of(second) + table_entry_bytes))
      return;
    duplicate_at_.insert(step);
    duplicates_.push_back({step, first, second});
  }

  // Going step by step one would meet the earliest refusal first; the "one" side's duplicates before others.
  void note_refusal(std::size_t step, std::string_view message) {
    if (refusal_.empty() || step < refused_at_) {
      refused_at_ = step;
      refusal_ = message;
    }
  }

  void refuse() {
    const duplicate* worst = nullptr;
    for (const auto& d : duplicates_)
      if (many_present_[d.step] != 0 && (!worst || d.step < worst->step))
        worst = &d;
    if (worst && (refusal_.empty() || worst->step <= refused_at_))
      refusal_ =
          fmt::format("found duplicate series for the match group {} on the {} hand-side of the operation: "
                      "[{}, {}];many-to-many matching not allowed: matching labels must be unique on one "
                      "side",
                      describe(picker_.pick(worst->second, false)), swapped_ ? "left" : "right",
                      describe(worst->second), describe(worst->first));
    if (!refusal_.empty())
      ev_.fail(errc::invalid_argument, refusal_);
  }

  void add_many(const series_item& item, std::span<double> out) {
    for (std::size_t k = 0; k < many_present_.size(); ++k)
      if (!is_absent(item.values[k]))
        many_present_[k] = 1;
    const auto found = groups_.find(picker_.key(*item.metric, item.without_name));
    if (found == groups_.end())
      return;
    auto& g = found->second;
    compute(item.values, g.values(), out);
    if (!any_present(out))
      return;
    if (m_.card == match_cardinality::one_to_one)
      mark_matched(g, out);
    if (m_.include.empty() || g.members.size() == 1)
      return add_result(item, g.members[0].metric, out);
    // Labels come from whichever series stood on the other side at a step.
    step_column part{ev_, steps_.count};
    for (std::uint32_t i = 0; i < g.members.size() && !ev_.failed(); ++i) {
      for (std::size_t k = 0; k < out.size(); ++k)
        part.values()[k] = g.owner[k] == i ? out[k] : absent_value;
      if (any_present(part.values()))
        add_result(item, g.members[i].metric, part.values());
    }
  }

  void compute(std::span<const double> many, const std::vector<double>& one, std::span<double> out) const {
    with_operator(b_.op, [&](auto op) {
      for (std::size_t k = 0; k < out.size(); ++k) {
        const auto left = swapped_ ? one[k] : many[k];
        const auto right = swapped_ ? many[k] : one[k];
        const auto made = value_or_absent(op, left, right, left, b_.return_bool, absent_value);
        out[k] = is_absent(left) || is_absent(right) ? absent_value : made;
      }
    });
  }

  void mark_matched(match_group& g, std::span<const double> out) {
    if (g.matched.empty()) {
      if (!held_.add(0, steps_.count / sizeof(double) + 1))
        return;
      g.matched.resize(steps_.count);
    }
    for (std::size_t k = 0; k < out.size(); ++k) {
      if (is_absent(out[k]))
        continue;
      if (g.matched[k] != 0)
        return note_refusal(k, "multiple matches for labels: many-to-one matching must be explicit "
                               "(group_left/group_right)");
      g.matched[k] = 1;
    }
  }

  void add_result(const series_item& many, const labels& one, std::span<const double> values) {
    auto metric = result_.pick(*many.metric, many.without_name);
    for (const auto& name : m_.include)
      if (name != label_name || !b_.return_bool) // bool drops the name wherever it came from
        set_label(metric, name, std::string{value_of(one, name)});
    if (table_.add(std::move(metric), values) == series_table::added::fine)
      return;
    const auto first = std::find_if(values.begin(), values.end(), [](double v) { return !is_absent(v); });
    note_refusal(static_cast<std::size_t>(first - values.begin()),
                 m_.card == match_cardinality::one_to_one
                     ? series_table::clash_message
                     : "multiple matches for labels: grouping labels must ensure unique matches");
  }

  evaluation& ev_;
  const binary_expression& b_;
  const vector_matching& m_;
  const step_range& steps_;
  label_picker picker_;
  label_picker result_;
  bool swapped_;
  series_table table_;
  std::unordered_map<label_key, match_group, label_key_hash> groups_;
  std::vector<std::uint8_t> many_present_; // per step, kept only when there are duplicates
  std::vector<duplicate> duplicates_;      // at most one per step
  std::unordered_set<std::size_t> duplicate_at_;
  std::string refusal_; // "": none
  std::size_t refused_at_ = 0;
  holding held_;
};

} // namespace

void eval_vector_match(evaluation& ev, const binary_expression& b, const step_range& steps,
                       const series_sink& sink) {
  vector_matcher{ev, b, steps}.run(sink);
}

} // namespace skerry::promql
