// How fast and how often a series changes. The extrapolation of rate(), increase() and delta() to the window's
// borders is described in Prometheus' documentation of rate() and, in detail, in the comments of its issue 1161.

#include "actors/promql/windows.hpp"

#include <cmath>
#include <cstdint>

namespace skerry::promql {

namespace {

// Where a counter fell: indices i with values[i] < values[i - 1], ascending.
std::vector<std::uint32_t> find_resets(std::span<const double> values) {
  std::vector<std::uint32_t> at;
  for (std::size_t i = 1; i < values.size(); ++i)
    if (values[i] < values[i - 1])
      at.push_back(static_cast<std::uint32_t>(i));
  return at;
}

// Seconds as Go's Duration.Seconds() rounds them.
double seconds_of(std::int64_t ms) noexcept {
  return static_cast<double>(ms / 1000) + static_cast<double>(ms % 1000 * 1'000'000) / 1e9;
}

template <bool counter, bool per_second>
void extrapolated(const window_input& in, std::span<double> out) {
  const auto* t = in.times_ms.data();
  const auto* v = in.values.data();
  std::vector<std::uint32_t> resets;
  if constexpr (counter)
    resets = find_resets(in.values);
  std::size_t next_reset = 0; // the first one behind the window's first sample
  const auto range_seconds = seconds_of(in.range_ms);
  each_window(in, out, [&](const window& w) {
    if (w.size() < 2)
      return absent_value;
    const auto last = w.last - 1;
    auto change = v[last] - v[w.first];
    if constexpr (counter) {
      while (next_reset < resets.size() && resets[next_reset] <= w.first)
        ++next_reset;
      for (auto r = next_reset; r < resets.size() && resets[r] <= last; ++r)
        change += v[resets[r] - 1];
    }
    auto to_begin = static_cast<double>(t[w.first] - w.begin_ms) / 1000;
    const auto to_end = static_cast<double>(w.end_ms - t[last]) / 1000;
    const auto sampled = static_cast<double>(t[last] - t[w.first]) / 1000;
    const auto between = sampled / static_cast<double>(w.size() - 1);
    if (counter && change > 0 && v[w.first] >= 0) {
      // A counter was not below zero: do not extrapolate beyond where it was zero.
      const auto to_zero = sampled * (v[w.first] / change);
      if (to_zero < to_begin)
        to_begin = to_zero;
    }
    // A sample so close to the border means that the series goes on beyond it.
    const auto close = between * 1.1;
    auto covered = sampled;
    covered += to_begin < close ? to_begin : between / 2;
    covered += to_end < close ? to_end : between / 2;
    auto factor = covered / sampled;
    if (per_second)
      factor /= range_seconds;
    return change * factor;
  });
}

template <bool per_second>
void of_last_two(const window_input& in, std::span<double> out) {
  each_window(in, out, [&](const window& w) {
    if (w.size() < 2)
      return absent_value;
    const auto last = in.values[w.last - 1];
    const auto before = in.values[w.last - 2];
    const auto apart_ms = in.times_ms[w.last - 1] - in.times_ms[w.last - 2];
    if (!per_second)
      return last - before;
    return (last < before ? last : last - before) / (static_cast<double>(apart_ms) / 1000);
  });
}

// How often `counts(before, now)` is true of neighbours: one running count for all windows.
template <class Counts>
void count_neighbours(const window_input& in, std::span<double> out, Counts counts) {
  std::vector<std::uint32_t> up_to(in.values.size());
  for (std::size_t i = 1; i < in.values.size(); ++i)
    up_to[i] = up_to[i - 1] + (counts(in.values[i - 1], in.values[i]) ? 1 : 0);
  each_window(in, out,
              [&](const window& w) { return static_cast<double>(up_to[w.last - 1] - up_to[w.first]); });
}

} // namespace

void windows_rate(const window_input& in, std::span<double> out) { extrapolated<true, true>(in, out); }
void windows_increase(const window_input& in, std::span<double> out) { extrapolated<true, false>(in, out); }
void windows_delta(const window_input& in, std::span<double> out) { extrapolated<false, false>(in, out); }
void windows_irate(const window_input& in, std::span<double> out) { of_last_two<true>(in, out); }
void windows_idelta(const window_input& in, std::span<double> out) { of_last_two<false>(in, out); }

void windows_changes(const window_input& in, std::span<double> out) {
  count_neighbours(in, out, [](double before, double now) {
    return now != before && !(std::isnan(now) && std::isnan(before));
  });
}

void windows_resets(const window_input& in, std::span<double> out) {
  count_neighbours(in, out, [](double before, double now) { return now < before; });
}

} // namespace skerry::promql
