// Lines and curves through a window: simple linear regression by least squares, and double exponential
// smoothing (Holt 1957; NIST/SEMATECH e-Handbook of Statistical Methods, 6.4.3.3).

#include "actors/promql/arithmetic.hpp"
#include "actors/promql/windows.hpp"

#include <fmt/format.h>

namespace skerry::promql {

namespace {

struct line {
  double slope = 0;
  double at_origin = 0; // its value at the time of origin
};

line fit(const window_input& in, const window& w, std::int64_t origin_ms) {
  compensated_sum x_sum;
  compensated_sum y_sum;
  compensated_sum xy_sum;
  compensated_sum xx_sum;
  const auto first = in.values[w.first];
  bool constant = true;
  for (auto i = w.first; i < w.last; ++i) {
    const auto y = in.values[i];
    const auto x = static_cast<double>(minus(in.times_ms[i], origin_ms)) / 1000;
    constant = constant && (i == w.first || y == first);
    x_sum.add(x);
    y_sum.add(y);
    xy_sum.add(x * y);
    xx_sum.add(x * x);
  }
  if (constant) {
    constexpr auto nan = std::numeric_limits<double>::quiet_NaN();
    return std::isinf(first) ? line{nan, nan} : line{0, first};
  }
  const auto n = static_cast<double>(w.size());
  const auto x = x_sum.total();
  const auto y = y_sum.total();
  const auto covariance = xy_sum.total() - x * y / n;
  const auto variance = xx_sum.total() - x * x / n;
  const auto slope = covariance / variance;
  return {slope, y / n - slope * x / n};
}

} // namespace

void windows_deriv(const window_input& in, std::span<double> out) {
  each_window(in, out, [&](const window& w) {
    // An origin near the samples keeps digits.
    return w.size() < 2 ? absent_value : fit(in, w, in.times_ms[w.first]).slope;
  });
}

void windows_predict_linear(const window_input& in, std::span<double> out) {
  const auto& ahead = in.parameters[0];
  each_window(in, out, [&](const window& w) {
    if (w.size() < 2)
      return absent_value;
    const auto found = fit(in, w, in.steps.at(w.step));
    return found.slope * ahead[w.step] + found.at_origin;
  });
}

void windows_holt_winters(const window_input& in, std::span<double> out) {
  const auto& smoothing = in.parameters[0];
  const auto& trending = in.parameters[1];
  const auto valid = [&](double factor, std::string_view which) {
    if (!(factor <= 0 || factor >= 1))
      return true;
    in.ev.fail(errc::invalid_argument, fmt::format("invalid {} factor. Expected: 0 < {} < 1, got: {:f}",
                                                   which, which == "trend" ? "tf" : "sf", factor));
    return false;
  };
  each_window(in, out, [&](const window& w) {
    const auto smooth = smoothing[w.step];
    const auto trend_factor = trending[w.step];
    if (!valid(smooth, "smoothing") || !valid(trend_factor, "trend") || w.size() < 2)
      return absent_value;
    double before = 0;
    auto level = in.values[w.first];
    auto trend = in.values[w.first + 1] - in.values[w.first];
    for (auto i = w.first + 1; i < w.last; ++i) {
      if (i > w.first + 1)
        trend = trend_factor * (level - before) + (1 - trend_factor) * trend;
      const auto next = smooth * in.values[i] + (1 - smooth) * (level + trend);
      before = level;
      level = next;
    }
    return level;
  });
}

} // namespace skerry::promql
