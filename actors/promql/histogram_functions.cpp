// histogram_quantile() over classic histograms: cumulative counts by upper bound (`le`). Linear interpolation
// within a bucket, as the Prometheus documentation of histogram_quantile() describes it.

#include "actors/promql/label_keys.hpp"
#include "actors/promql/series_table.hpp"
#include "actors/promql/vector_functions.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

namespace skerry::promql {

namespace {

constexpr auto infinity = std::numeric_limits<double>::infinity();
constexpr auto nan = std::numeric_limits<double>::quiet_NaN();

struct bucket {
  double bound = 0;
  double count = 0; // of all observations up to the bound
};

// The buckets of one step, bounds ascending. Changes them.
double quantile_of_buckets(double phi, std::vector<bucket>& buckets) {
  if (std::isnan(phi))
    return nan;
  if (phi < 0)
    return -infinity;
  if (phi > 1)
    return infinity;
  if (buckets.back().bound != infinity)
    return nan;
  // Buckets with one bound are one.
  std::size_t kept = 0;
  for (std::size_t i = 1; i < buckets.size(); ++i) {
    if (buckets[i].bound == buckets[kept].bound)
      buckets[kept].count += buckets[i].count;
    else
      buckets[++kept] = buckets[i];
  }
  buckets.resize(kept + 1);
  // Buckets of different scrapes may fall; take the envelope.
  auto most = buckets[0].count;
  for (auto& b : buckets) {
    if (b.count > most)
      most = b.count;
    else if (b.count < most)
      b.count = most;
  }
  if (buckets.size() < 2 || buckets.back().count == 0)
    return nan;
  auto rank = phi * buckets.back().count;
  const auto found = std::partition_point(buckets.begin(), buckets.end() - 1,
                                          [&](const bucket& b) { return !(b.count >= rank); });
  if (found == buckets.end() - 1)
    return buckets[buckets.size() - 2].bound;
  if (found == buckets.begin()) {
    if (found->bound <= 0)
      return found->bound;
    return 0 + found->bound * (rank / found->count); // from 0 on: never -0
  }
  const auto& below = *(found - 1);
  rank -= below.count;
  return below.bound + (found->bound - below.bound) * (rank / (found->count - below.count));
}

std::optional<double> bound_of(std::string_view text) {
  if (text.starts_with('+'))
    text.remove_prefix(1);
  double bound = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), bound);
  if (error != std::errc{} || stop != text.data() + text.size() || text.empty())
    return std::nullopt;
  return bound;
}

// The series of one histogram.
struct histogram {
  labels metric;
  std::vector<std::pair<double, std::vector<double>>> buckets; // bound, column
};

} // namespace

void eval_of_histograms(evaluation& ev, const call& c, const step_range& steps, const series_sink&) {
  for (const auto& argument : c.arguments)
    if (type_of(*argument) == value_type::vector)
      ev.vector(*argument, steps, [](const series_item&) {}); // it may still fail
}

void eval_histogram_quantile(evaluation& ev, const call& c, const step_range& steps,
                             const series_sink& sink) {
  constexpr std::string_view le = "le";
  scalar_column phi{ev, *c.arguments[0], steps};
  if (ev.failed())
    return;
  auto of_histogram = label_picker::except({std::string{le}}, true); // two names are two histograms
  const auto of_result = label_picker::except({std::string{le}});
  std::vector<histogram> all;
  std::unordered_map<label_key, std::size_t, label_key_hash> by_labels;
  holding held{ev};
  ev.vector(*c.arguments[1], steps, [&](const series_item& item) {
    const auto bound = bound_of(value_of(*item.metric, le));
    // Lists may have room for as many again; a step's buckets get one of each.
    if (!bound || !held.add(0, steps.count, 2 * sizeof(histogram::buckets[0]) + 2 * sizeof(bucket)))
      return;
    const auto [at, fresh] =
        by_labels.try_emplace(of_histogram.key(*item.metric, item.without_name), all.size());
    if (fresh) {
      auto metric = of_result.pick(*item.metric, false);
      if (!held.add(0, 0, 2 * sizeof(histogram) + memory_of(metric) + sizeof(label_key) + table_entry_bytes))
        return;
      all.push_back({std::move(metric), {}});
    }
    all[at->second].buckets.emplace_back(*bound, std::vector<double>{item.values.begin(), item.values.end()});
  });
  series_table table{ev};
  step_column column{ev, steps.count};
  const auto out = column.values();
  std::vector<bucket> now;
  for (auto& h : all) {
    if (ev.stopped())
      break;
    std::stable_sort(h.buckets.begin(), h.buckets.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (std::size_t k = 0; k < out.size(); ++k) {
      now.clear();
      for (const auto& [bound, values] : h.buckets)
        if (!is_absent(values[k]))
          now.push_back({bound, values[k]});
      out[k] = now.empty() ? absent_value : quantile_of_buckets(phi[k], now);
    }
    if (any_present(out))
      table.add_or_fail(std::move(h.metric), out);
    h = {};
  }
  held.clear();
  table.hand_over(sink);
}

} // namespace skerry::promql
