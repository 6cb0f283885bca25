#include "cloud/tool/plot.hpp"
#include "cloud/tool/table.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <limits>

using namespace skerry::cloud;

namespace {

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = text.find('\n', at);
    out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

} // namespace

TEST_CASE("a rising line goes from the lower left to the upper right") {
  const auto text = render_plot({{"up", {{0, 0}, {10, 1}, {20, 2}, {30, 3}}}}, {40, 5}, false);
  const auto all = lines(text);
  REQUIRE(all.size() == 5 + 2 + 1);
  for (const auto& line : all)
    CHECK(display_width(line) <= 40 + 4);
  CHECK(all[0].starts_with("  3 ┤"));
  CHECK(all[4].starts_with("  0 ┤ \xe2")); // dots at the very left, at the bottom
  CHECK(all[0].find("\xe2\xa0") > 35);     // and at the right, at the top
  CHECK(all[5].find("└─") != std::string::npos);
  CHECK(all[6].find("00:00:00") != std::string::npos);
  CHECK(all[6].find("00:00:30 UTC") != std::string::npos);
  CHECK(all[7] == "── up");
}

TEST_CASE("gaps, single points, flat lines and what is not finite do no harm") {
  const auto nan = std::nan("");
  const auto infinity = std::numeric_limits<double>::infinity();
  CHECK(render_plot({}, {}, true).empty());
  CHECK(render_plot({{"nothing", {{0, nan}, {1, infinity}}}}, {}, true).empty());
  CHECK_FALSE(render_plot({{"one", {{5, 7}}}}, {1, 1}, true).empty());
  CHECK_FALSE(render_plot({{"flat", {{0, 7}, {1, 7}, {50, nan}, {51, 7}}}}, {80, 4}, true).empty());
  CHECK(render_plot({{"wide", {{0, -1.7e308}, {1, 1.7e308}}}}, {}, true).empty());
}

TEST_CASE("more series than fit are counted, and names are made harmless") {
  std::vector<plot_series> many(plot_series_max + 3, {"a\x1b[31m", {{0, 1}, {1, 2}}});
  const auto text = render_plot(many, {}, false);
  CHECK(text.find("and 3 more series") != std::string::npos);
  CHECK(text.find('\x1b') == std::string::npos);
}
