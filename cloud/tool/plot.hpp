#pragma once

// Lines over time in a terminal: braille dots, an axis of values on the left and of times below, one colour a series.

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace skerry::cloud {

inline constexpr std::size_t plot_series_max = 12; // drawn; the rest is counted below

struct plot_series {
  std::string name;
  std::vector<std::pair<double, double>>
      points; // seconds, value; ascending. What is not finite leaves a gap.
};

struct plot_size {
  std::size_t width = 80;  // characters, all of it
  std::size_t height = 16; // lines of the field alone
};

// Lines end in '\n'. Nothing to draw: empty.
[[nodiscard]] std::string render_plot(const std::vector<plot_series>& all, plot_size size, bool colours);

} // namespace skerry::cloud
