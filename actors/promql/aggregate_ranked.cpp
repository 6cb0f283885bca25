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
  std::vector<double> parameter;
  std::vector<std::size_t> k_of;
  ev.scalar(*a.parameter, steps, parameter);
  if (ev.failed() || !read_k(ev, parameter, k_of))
    return;
  group_index index{a};
  std::vector<ranked_group> groups;
  std::vector<kept_series> kept;
  std::uint64_t held = 0;
  std::uint64_t heap_cells = 0;
  ev.vector(*a.inner, steps, [&](const series_item& item) {
    bool fresh = false;
    const auto at = index.find(item, fresh);
    if (ev.failed())
      return;
    if (fresh) {
      // Each step's heap is a vector: as large as so many cells before it holds anything.
      const auto cells = steps.count * sizeof(std::vector<candidate>) / sizeof(double);
      if (!ev.hold(0, cells))
        return;
      heap_cells += cells;
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
          out.metric = {};
          ev.release(1, 0);
          --held;
        }
        best.pop_back();
      } else {
        if (!ev.hold(1, 0))
          return;
        ++held;
      }
      if (!is_kept) {
        if (!ev.hold(1, 0))
          return;
        ++held;
        is_kept = true;
        kept.push_back({labels_of(item), 0});
      }
      ++kept.back().places;
      best.push_back({v, static_cast<std::uint32_t>(kept.size() - 1)});
      std::push_heap(best.begin(), best.end(), ranks_behind);
    }
  });
  // Back to columns, group by group; the first step's order is an instant query's.
  std::vector<std::vector<double>> columns(kept.size());
  std::uint64_t cells = 0;
  for (auto& g : groups) {
    std::vector<std::uint32_t> order;
    for (std::size_t k = 0; k < g.best.size(); ++k) {
      std::sort_heap(g.best[k].begin(), g.best[k].end(), ranks_behind);
      for (const auto& c : g.best[k]) {
        auto& column = columns[c.series];
        if (column.empty()) {
          if (!ev.hold(0, steps.count))
            break;
          cells += steps.count;
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
      columns[series] = {};
    }
    ev.release(0, cells);
    cells = 0;
    g = {};
  }
  ev.release(held, heap_cells);
}

void eval_quantile(evaluation& ev, const aggregation& a, const step_range& steps, const series_sink& sink) {
  struct group {
    labels metric;
    std::vector<std::vector<double>> columns;
  };
  std::vector<double> phi;
  ev.scalar(*a.parameter, steps, phi);
  group_index index{a};
  std::vector<group> groups;
  std::uint64_t held = 0;
  ev.vector(*a.inner, steps, [&](const series_item& item) {
    if (!ev.hold(0, steps.count))
      return;
    held += steps.count;
    bool fresh = false;
    const auto at = index.find(item, fresh);
    if (fresh)
      groups.emplace_back().metric = index.labels_of_group(item);
    groups[at].columns.emplace_back(item.values.begin(), item.values.end());
  });
  // Steps side by side in one cache line are read together.
  constexpr std::size_t block = 8;
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
  ev.release(0, held);
}

} // namespace skerry::promql
