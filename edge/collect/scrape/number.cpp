#include "edge/collect/scrape/number.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <string_view>

namespace skerry::edge {

namespace {

bool equals_ignoring_case(std::string_view text, std::string_view lower) {
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(), [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
  });
}

} // namespace

const char* parse_number_slow(const char* at, const char* end, double& into) noexcept {
  const char* stop = at;
  while (stop != end && *stop != ' ' && *stop != '\t' && *stop != '\n')
    ++stop;
  std::string_view text{at, static_cast<std::size_t>(stop - at)};
  bool negative = false;
  bool has_sign = false;
  if (!text.empty() && (text.front() == '+' || text.front() == '-')) {
    negative = text.front() == '-';
    has_sign = true;
    text.remove_prefix(1);
  }
  if (text.empty())
    return nullptr;
  if ((text.front() < '0' || text.front() > '9') && text.front() != '.') {
    if (equals_ignoring_case(text, "inf") || equals_ignoring_case(text, "infinity")) {
      into = negative ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
      return stop;
    }
    if (!has_sign && equals_ignoring_case(text, "nan")) {
      into = normal_nan();
      return stop;
    }
    return nullptr;
  }
  double v = 0;
  const auto [p, error] =
      std::from_chars(text.data(), text.data() + text.size(), v, std::chars_format::general);
  if (p != stop || error == std::errc::invalid_argument)
    return nullptr;
  if (error == std::errc::result_out_of_range) {
    // Too small becomes 0, too large is refused, as in Go. A positive decimal exponent of the leading digit,
    // or a number without exponent and with digits before the point, can only be too large.
    const auto e = text.find_first_of("eE");
    const auto leading = text.find_first_of("123456789");
    const auto point = std::min(text.find('.'), std::min(e, text.size()));
    long shift = 0;
    if (e != std::string_view::npos) {
      const auto sign = text[e + 1];
      const auto* first = text.data() + e + 1 + (sign == '+' ? 1 : 0);
      if (std::from_chars(first, stop, shift).ec == std::errc::result_out_of_range)
        shift = sign == '-' ? -1'000'000'000 : 1'000'000'000;
    }
    if (leading != std::string_view::npos && leading < std::min(e, text.size())
        && static_cast<long>(point) - static_cast<long>(leading) + shift > 0)
      return nullptr;
    v = 0;
  }
  into = negative ? -v : v;
  return stop;
}

} // namespace skerry::edge
