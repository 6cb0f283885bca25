// topk, bottomk and quantile: what depends on the order of a group's values.

#include "actors/promql/aggregate.hpp"
#include "actors/promql/arithmetic.hpp"
#include "actors/promql/literals.hpp"

#include <algorithm>
#include <cmath>

namespace skerry::promql {

namespace {

struct candidate {
  double value = 0;
  std::uint32_t series = 0; // among those whose labels are kept
};

// Whether a ranks behind b: its value is smaller (topk) or larger (bottomk). NaN ranks behind everything.
struct behind {
  bool top = true;
  bool operator()(double a, double b) const noexcept {
    if (std::isnan(a) || std::isnan(b))
      return std::isnan(a) && !std::isnan(b);
    return top ? a < b : a > b;
  }
  bool operator()(const candidate& a, const candidate& b) const noexcept {
    // For std's heaps: the one that ranks last on top; of equals the youngest.
    if ((*this)(b.value, a.value))
      return true;
    return !(*this)(a.value, b.value) && a.series < b.series;
  }
};

// The best k of one group at every step. A series is kept only once it is among them, so of many series few are.
struct ranked_group {
  std::vector<std::vector<candidate>> best; // per step, a heap with the last-ranking on top
};

// The labels of a series that is among the best somewhere; they go when it no longer is.
struct kept_series {
  labels metric;
  std::size_t places = 0;
};

// Lists may have room for as many again.
constexpr std::uint64_t candidate_bytes = 2 * sizeof(candidate);
constexpr std::uint64_t group_bytes = 2 * sizeof(ranked_group) + sizeof(label_key) + table_entry_bytes;
constexpr std::uint64_t kept_bytes = 2 * sizeof(kept_series) + sizeof(std::vector<double>); // and its column

// Each step's k. Fails where it is no whole number that fits, as in Prometheus.
bool read_k(evaluation& ev, const std::vector<double>& parameter, std::vector<std::size_t>& k_of) {
  constexpr double limit = 9'223'372'036'854'775'808.0;
  constexpr double k_max = 1e9; // more than there are series
  k_of.clear();
  for (const auto p : parameter) {
    if (!(p >= -limit && p <= limit)) {
      ev.fail(errc::invalid_argument, "Scalar value " + number_to_string(p) + " overflows int64");
      return false;
    }
    k_of.push_back(p < 1 ? 0 : static_cast<std::size_t>(std::min(p, k_max)));
  }
  return true;
}

} // namespace

void eval_topk(evaluation& ev, const aggregation& a, const step_range& steps, const series_sink& sink) {
  const behind ranks_behind{a.op == aggregate_op::topk};
  scalar_column parameter{ev, *a.parameter, steps};
  holding all_held{ev};
  std::vector<std::size_t> k_of;
  if (ev.failed() || !all_held.add(0, steps.count) || !read_k(ev, parameter.values(), k_of))
    return;
  group_index index{a};
  std::vector<ranked_group> groups;
  std::vector<kept_series> kept;
  ev.vector(*a.inner, steps, [&](const series_item& item) {
    bool fresh = false;
    const auto at = index.find(item, fresh);
    if (ev.failed())
      return;
    if (fresh) {
      // Each step's heap is a vector: as large as so many cells before it holds anything.
      const auto cells = steps.count * sizeof(std::vector<candidate>) / sizeof(double);
      if (!all_held.add(0, cells, group_bytes))
        return;
      groups.emplace_back().best.resize(steps.count);
    }
    bool is_kept = false;
    for (std::size_t k = 0; k < steps.count; ++k) {
      const auto v = item.values[k];
      if (is_absent(v) || k_of[k] == 0)
        continue;
      auto& best = groups[at].best[k];
      if (best.size() >= k_of[k]) {
        if (!ranks_behind(best.front().value, v) && !std::isnan(best.front().value))
          continue;
        std::pop_heap(best.begin(), best.end(), ranks_behind);
        if (auto& out = kept[best.back().series]; --out.places == 0) {
          all_held.remove(1, 0, memory_of(out.metric));
          out.metric = labels{};
        }
        best.pop_back();
      } else {
        if (!all_held.add(1, 0, candidate_bytes))
          return;
      }
      if (!is_kept) {
        if (!all_held.add(1, 0, kept_bytes + memory_of(*item.metric)))
          return;
        is_kept = true;
        kept.push_back({labels_of(item), 0});
      }
      ++kept.back().places;
      best.push_back({v, static_cast<std::uint32_t>(kept.size() - 1)});
      std::push_heap(best.begin(), best.end(), ranks_behind);
    }
  });
  // Back to columns, group by group; the first step's order is an instant query's.
  if (ev.failed())
    return;
  std::vector<std::vector<double>> columns(kept.size());
  holding columns_held{ev};
  for (auto& g : groups) {
    std::vector<std::uint32_t> order;
    for (std::size_t k = 0; k < g.best.size(); ++k) {
      std::sort_heap(g.best[k].begin(), g.best[k].end(), ranks_behind);
      for (const auto& c : g.best[k]) {
        auto& column = columns[c.series];
        if (column.empty()) {
          if (!columns_held.add(0, steps.count))
            break;
          column.assign(steps.count, absent_value);
          order.push_back(c.series);
        }
        column[k] = c.value;
      }
    }
    for (const auto series : order) {
      if (ev.stopped())
        break;
      sink({&kept[series].metric, false, columns[series]});
      columns[series] = std::vector<double>{};
    }
    columns_held.clear();
    g = {};
  }
}

void eval_quantile(evaluation& ev, const aggregation& a, const step_range& steps, const series_sink& sink) {
  struct group {
    labels metric;
    std::vector<std::vector<double>> columns;
  };
  constexpr std::size_t block = 8; // steps side by side in one cache line are read together
  scalar_column phi{ev, *a.parameter, steps};
  if (ev.failed())
    return;
  group_index index{a};
  std::vector<group> groups;
  holding held{ev};
  ev.vector(*a.inner, steps, [&](const series_item& item) {
    // The list of columns may have room for as many again; a block's rows get a value of each.
    if (!held.add(0, steps.count, 2 * sizeof(std::vector<double>) + 2 * block * sizeof(double)))
      return;
    bool fresh = false;
    const auto at = index.find(item, fresh);
    if (fresh) {
      auto metric = index.labels_of_group(item);
      if (!held.add(0, 0, 2 * sizeof(group) + memory_of(metric) + sizeof(label_key) + table_entry_bytes))
        return;
      groups.emplace_back().metric = std::move(metric);
    }
    groups[at].columns.emplace_back(item.values.begin(), item.values.end());
  });
  std::vector<std::vector<double>> rows(block);
  step_column column{ev, steps.count};
  const auto out = column.values();
  for (auto& g : groups) {
    for (std::size_t from = 0; from < out.size(); from += block) {
      if (ev.stopped())
        break;
      const auto to = std::min(out.size(), from + block);
      for (auto& row : rows)
        row.clear();
      for (const auto& values : g.columns)
        for (auto k = from; k < to; ++k)
          if (!is_absent(values[k]))
            rows[k - from].push_back(values[k]);
      for (auto k = from; k < to; ++k)
        out[k] = rows[k - from].empty() ? absent_value : quantile_of(phi[k], rows[k - from]);
    }
    if (!ev.stopped())
      sink({&g.metric, false, out});
    g = {};
  }
}

} // namespace skerry::promql
