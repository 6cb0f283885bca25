#pragma once

// Arithmetic whose last digits matter, since answers are compared with Prometheus'.

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace skerry::promql {

// Neumaier's compensated sum: Zeitschrift für Angewandte Mathematik und Mechanik 54 (1974), 39–51.
struct compensated_sum {
  double sum = 0;
  double lost = 0; // what rounding took from it so far

  void add(double value) noexcept {
    const auto next = sum + value;
    lost += std::fabs(sum) >= std::fabs(value) ? (sum - next) + value : (value - next) + sum;
    sum = next;
  }
  [[nodiscard]] double total() const noexcept { return sum + lost; }
};

// An infinite mean stays what it is when a finite value comes, or an infinite one of its own sign.
[[nodiscard]] inline bool mean_stays(double mean, double value) noexcept {
  if (!std::isinf(mean))
    return false;
  return std::isinf(value) ? (mean > 0) == (value > 0) : !std::isnan(value);
}

// Orders NaN before every number.
struct nan_first {
  bool operator()(double a, double b) const noexcept { return std::isnan(a) ? !std::isnan(b) : a < b; }
};

// The φ-quantile, interpolated linearly between the two nearest ranks (Hyndman and Fan's type 7). Reorders the
// values; NaN counts as the smallest.
[[nodiscard]] inline double quantile_of(double phi, std::vector<double>& values) {
  if (values.empty() || std::isnan(phi))
    return std::numeric_limits<double>::quiet_NaN();
  if (phi < 0)
    return -std::numeric_limits<double>::infinity();
  if (phi > 1)
    return std::numeric_limits<double>::infinity();
  const auto rank = phi * static_cast<double>(values.size() - 1);
  const auto lower = static_cast<std::size_t>(std::floor(rank));
  const auto upper = std::min(values.size() - 1, lower + 1);
  const auto weight = rank - std::floor(rank);
  const auto at_lower = values.begin() + static_cast<std::ptrdiff_t>(lower);
  std::nth_element(values.begin(), at_lower, values.end(), nan_first{});
  const auto low = *at_lower;
  const auto high = upper == lower ? low : *std::min_element(at_lower + 1, values.end(), nan_first{});
  return low * (1 - weight) + high * weight;
}

} // namespace skerry::promql
