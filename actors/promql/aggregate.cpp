// sum, avg, count, min, max, group, stddev and stdvar: one pass over the series, adding each column to its
// group's. Only groups are held, so a sum over any number of series takes one column per group. Partial results
// of several shards would be merged where add() puts a column in.

#include "actors/promql/aggregate.hpp"

#include "actors/promql/arithmetic.hpp"

#include <cmath>

namespace skerry::promql {

namespace {

// Up to three columns; which ones an operator needs is its own business.
struct group {
  labels metric;
  std::vector<double> value; // absent until the first sample
  std::vector<double> mean;
  std::vector<double> count;
};

bool needs_count(aggregate_op op) noexcept {
  return op == aggregate_op::avg || op == aggregate_op::stddev || op == aggregate_op::stdvar;
}
bool needs_mean(aggregate_op op) noexcept { return op == aggregate_op::stddev || op == aggregate_op::stdvar; }

// into[k] = into[k] is absent ? first(v[k]) : next(into[k], v[k]), where v is present.
template <class First, class Next>
void combine(std::vector<double>& into, std::span<const double> values, First first, Next next) {
  for (std::size_t k = 0; k < values.size(); ++k) {
    const auto v = values[k];
    const auto old = into[k];
    const auto made = is_absent(old) ? first(v) : next(old, v);
    into[k] = is_absent(v) ? old : made;
  }
}

constexpr auto itself = [](double v) { return v; };

void add_to_mean(group& g, std::span<const double> values) {
  for (std::size_t k = 0; k < values.size(); ++k) {
    const auto v = values[k];
    if (is_absent(v))
      continue;
    const auto n = ++g.count[k];
    auto& mean = g.value[k];
    if (n == 1)
      mean = v;
    else if (!mean_stays(mean, v))
      mean += v / n - mean / n; // both divided, so that large values do not overflow
  }
}

// Welford, Technometrics 4 (1962), 419–420.
void add_to_variance(group& g, std::span<const double> values) {
  for (std::size_t k = 0; k < values.size(); ++k) {
    const auto v = values[k];
    if (is_absent(v))
      continue;
    const auto n = ++g.count[k];
    if (n == 1) {
      g.mean[k] = v;
      g.value[k] = 0;
      continue;
    }
    const auto delta = v - g.mean[k];
    g.mean[k] += delta / n;
    g.value[k] += delta * (v - g.mean[k]);
  }
}

void add(aggregate_op op, group& g, std::span<const double> values) {
  switch (op) {
  case aggregate_op::sum: return combine(g.value, values, itself, [](double a, double v) { return a + v; });
  case aggregate_op::count:
    return combine(
        g.value, values, [](double) { return 1.0; }, [](double a, double) { return a + 1; });
  case aggregate_op::group:
    return combine(
        g.value, values, [](double) { return 1.0; }, [](double, double) { return 1.0; });
  case aggregate_op::max:
    return combine(g.value, values, itself,
                   [](double a, double v) { return a < v || std::isnan(a) ? v : a; });
  case aggregate_op::min:
    return combine(g.value, values, itself,
                   [](double a, double v) { return a > v || std::isnan(a) ? v : a; });
  case aggregate_op::avg: return add_to_mean(g, values);
  default: return add_to_variance(g, values);
  }
}

void finish(aggregate_op op, group& g) {
  if (!needs_mean(op))
    return;
  for (std::size_t k = 0; k < g.value.size(); ++k) {
    if (is_absent(g.value[k]))
      continue;
    const auto variance = g.value[k] / g.count[k];
    g.value[k] = op == aggregate_op::stddev ? std::sqrt(variance) : variance;
  }
}

} // namespace

void eval_aggregation(evaluation& ev, const aggregation& a, const step_range& steps,
                      const series_sink& sink) {
  switch (a.op) {
  case aggregate_op::topk:
  case aggregate_op::bottomk: return eval_topk(ev, a, steps, sink);
  case aggregate_op::quantile: return eval_quantile(ev, a, steps, sink);
  case aggregate_op::count_values: return eval_count_values(ev, a, steps, sink);
  default: break;
  }
  const auto columns = 1 + (needs_count(a.op) ? 1U : 0U) + (needs_mean(a.op) ? 1U : 0U);
  group_index index{a};
  std::vector<group> groups;
  ev.vector(*a.inner, steps, [&](const series_item& item) {
    bool fresh = false;
    const auto at = index.find(item, fresh);
    if (fresh) {
      if (!ev.hold(0, columns * steps.count))
        return;
      auto& made = groups.emplace_back();
      made.metric = index.labels_of_group(item);
      made.value.assign(steps.count, absent_value);
      made.count.assign(needs_count(a.op) ? steps.count : 0, 0);
      made.mean.assign(needs_mean(a.op) ? steps.count : 0, 0);
    }
    if (at < groups.size())
      add(a.op, groups[at], item.values);
  });
  const auto held = groups.size() * columns * steps.count;
  for (auto& g : groups) {
    if (ev.stopped())
      break;
    finish(a.op, g);
    sink({&g.metric, false, g.value});
    g = {};
  }
  ev.release(0, held);
}

} // namespace skerry::promql
