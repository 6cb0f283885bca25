#include "cloud/tool/plot.hpp"

#include "cloud/tool/format.hpp"
#include "cloud/tool/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>

namespace skerry::cloud {

namespace {

constexpr std::size_t dots_across = 2; // of one braille character
constexpr std::size_t dots_down = 4;
constexpr std::array<int, plot_series_max> colours_of{36, 33, 32, 35, 34, 31, 96, 93, 92, 95, 94, 91};
constexpr double day_s = 86'400;

struct range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void add(double v) {
    low = std::min(low, v);
    high = std::max(high, v);
  }
  [[nodiscard]] bool empty() const { return low > high; }
};

// The field: for each character its dots, and whose colour it has.
struct field {
  std::size_t columns, rows;
  std::vector<std::uint8_t> dots;
  std::vector<std::uint8_t> owner;

  field(std::size_t c, std::size_t r) : columns(c), rows(r), dots(c * r), owner(c * r) {}

  void set(std::size_t x, std::size_t y, std::uint8_t series) {
    // Dots 1 to 8 of a braille pattern, as Unicode orders their bits.
    constexpr std::array<std::array<std::uint8_t, dots_across>, dots_down> bit{
        {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}};
    const auto at = y / dots_down * columns + x / dots_across;
    dots[at] |= bit[y % dots_down][x % dots_across];
    owner[at] = series;
  }

  void line(double x0, double y0, double x1, double y1, std::uint8_t series) {
    const auto steps = std::max(1.0, std::ceil(std::max(std::abs(x1 - x0), std::abs(y1 - y0))));
    for (double i = 0; i <= steps; ++i)
      set(static_cast<std::size_t>(std::lround(x0 + (x1 - x0) * i / steps)),
          static_cast<std::size_t>(std::lround(y0 + (y1 - y0) * i / steps)), series);
  }
};

std::string character(std::uint8_t dots) {
  const unsigned code = 0x2800 + dots;
  return {static_cast<char>(0xE0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 0x3F)),
          static_cast<char>(0x80 | (code & 0x3F))};
}

std::string number(double v) {
  const auto size = std::abs(v);
  return size != 0 && (size >= 1e6 || size < 1e-3) ? fmt::format("{:.3g}", v) : fmt::format("{:.6g}", v);
}

std::string time_text(double seconds, double span) {
  const auto text = format_time(seconds); // 2026-11-20T05:22:00.000Z
  if (text.size() < 19)
    return text;
  return span > day_s ? text.substr(5, 5) + " " + text.substr(11, 5) : text.substr(11, 8);
}

std::string coloured(const std::string& text, std::size_t series, bool colours) {
  return colours ? fmt::format("\x1b[{}m{}\x1b[0m", colours_of[series % colours_of.size()], text) : text;
}

void draw(const plot_series& from, std::uint8_t number, const range& times, const range& values, field& on) {
  const auto across = static_cast<double>(on.columns * dots_across - 1);
  const auto down = static_cast<double>(on.rows * dots_down - 1);
  const auto x_of = [&](double t) {
    return times.high > times.low ? (t - times.low) / (times.high - times.low) * across : 0;
  };
  const auto y_of = [&](double v) {
    return values.high > values.low ? (values.high - v) / (values.high - values.low) * down : down / 2;
  };
  // Points that are further apart than usual are not joined: nothing was there in between.
  double usual = std::numeric_limits<double>::infinity();
  for (std::size_t i = 1; i < from.points.size(); ++i)
    usual = std::min(usual, from.points[i].first - from.points[i - 1].first);
  for (std::size_t i = 0; i < from.points.size(); ++i) {
    const auto [t, v] = from.points[i];
    if (!std::isfinite(v))
      continue;
    const bool joined =
        i > 0 && std::isfinite(from.points[i - 1].second) && t - from.points[i - 1].first <= usual * 1.5;
    const auto& before = joined ? from.points[i - 1] : from.points[i];
    on.line(x_of(before.first), y_of(before.second), x_of(t), y_of(v), number);
  }
}

} // namespace

std::string render_plot(const std::vector<plot_series>& all, plot_size size, bool colours) {
  range times, values;
  const auto drawn = std::min(all.size(), plot_series_max);
  for (std::size_t s = 0; s < drawn; ++s)
    for (const auto& [t, v] : all[s].points)
      if (std::isfinite(v)) {
        times.add(t);
        values.add(v);
      }
  if (times.empty())
    return {};
  // Values may lie as far apart as doubles can.
  if (!std::isfinite(values.high - values.low))
    return {};

  const std::vector<std::string> labels{number(values.high), number((values.high + values.low) / 2),
                                        number(values.low)};
  std::size_t axis = 0;
  for (const auto& label : labels)
    axis = std::max(axis, label.size());
  const auto columns = std::max<std::size_t>(size.width > axis + 3 ? size.width - axis - 3 : 0, 20);
  const auto rows = std::max<std::size_t>(size.height, 3);
  field on{columns, rows};
  for (std::size_t s = 0; s < drawn; ++s)
    draw(all[s], static_cast<std::uint8_t>(s), times, values, on);

  std::string out;
  for (std::size_t r = 0; r < rows; ++r) {
    const auto label = r == 0 ? labels[0] : r == rows / 2 ? labels[1] : r == rows - 1 ? labels[2] : "";
    out += fmt::format("{:>{}} {} ", label, axis, label.empty() ? "│" : "┤");
    for (std::size_t c = 0; c < columns; ++c) {
      const auto at = r * columns + c;
      out += on.dots[at] == 0 ? std::string{" "} : coloured(character(on.dots[at]), on.owner[at], colours);
    }
    while (out.ends_with(' '))
      out.pop_back();
    out += '\n';
  }
  const auto span = times.high - times.low;
  const auto from = time_text(times.low, span), to = time_text(times.high, span);
  out += fmt::format("{:>{}} └{:─<{}}\n", "", axis, "", columns + 1);
  const auto room = columns > from.size() + to.size() ? columns - from.size() - to.size() : 1;
  out += fmt::format("{:>{}}   {}{:{}}{} UTC\n", "", axis, from, "", room, to);
  for (std::size_t s = 0; s < drawn; ++s)
    out += coloured("──", s, colours) + " " + printable(all[s].name) + "\n";
  if (all.size() > drawn)
    out += fmt::format("and {} more series; narrow the query, or use --output table\n", all.size() - drawn);
  return out;
}

} // namespace skerry::cloud
