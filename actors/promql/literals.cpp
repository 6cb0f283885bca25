#include "actors/promql/literals.hpp"

#include "actors/promql/lexer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace skerry::promql {

namespace {

struct time_unit {
  std::string_view name;
  std::int64_t ms;
  bool exact; // printed only when nothing remains
};
constexpr std::array<time_unit, 7> time_units{{{"y", 365LL * 86'400'000, true},
                                               {"w", 7LL * 86'400'000, true},
                                               {"d", 86'400'000, false},
                                               {"h", 3'600'000, false},
                                               {"m", 60'000, false},
                                               {"s", 1'000, false},
                                               {"ms", 1, false}}};

void append_utf8(std::string& out, char32_t rune) {
  if (rune < 0x80) {
    out += static_cast<char>(rune);
  } else if (rune < 0x800) {
    out += static_cast<char>(0xC0 | rune >> 6);
    out += static_cast<char>(0x80 | (rune & 0x3F));
  } else if (rune < 0x10000) {
    out += static_cast<char>(0xE0 | rune >> 12);
    out += static_cast<char>(0x80 | (rune >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (rune & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | rune >> 18);
    out += static_cast<char>(0x80 | (rune >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (rune >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (rune & 0x3F));
  }
}

} // namespace

std::string unquote(std::string_view text) {
  const auto inner = text.substr(1, text.size() - 2);
  if (text.front() == '`')
    return std::string{inner};
  std::string out;
  out.reserve(inner.size());
  for (std::size_t i = 0; i < inner.size();) {
    if (inner[i] != '\\') {
      out += inner[i++];
      continue;
    }
    const char c = inner[++i];
    const auto number = [&](std::size_t from, std::size_t count, int base) {
      std::uint32_t value = 0;
      std::from_chars(inner.data() + from, inner.data() + from + count, value, base);
      i = from + count;
      return value;
    };
    switch (c) {
    case 'a': out += '\a', ++i; break;
    case 'b': out += '\b', ++i; break;
    case 'f': out += '\f', ++i; break;
    case 'n': out += '\n', ++i; break;
    case 'r': out += '\r', ++i; break;
    case 't': out += '\t', ++i; break;
    case 'v': out += '\v', ++i; break;
    case 'x': out += static_cast<char>(number(i + 1, 2, 16)); break;
    case 'u': append_utf8(out, number(i + 1, 4, 16)); break;
    case 'U': append_utf8(out, number(i + 1, 8, 16)); break;
    default:
      if (c >= '0' && c <= '7')
        out += static_cast<char>(number(i, 3, 8));
      else
        out += c, ++i; // the quote or the backslash itself
    }
  }
  return out;
}

result<double> parse_number(std::string_view token) {
  const auto malformed = [&](std::string_view why) {
    return fail(errc::malformed, fmt::format("strconv.ParseFloat: parsing {}: {}", quote(token), why));
  };
  std::string copy{token};
  for (auto& c : copy)
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  if (copy == "inf")
    return std::numeric_limits<double>::infinity();
  if (copy == "nan")
    return std::numeric_limits<double>::quiet_NaN();
  char* end = nullptr;
  errno = 0;
  const auto integer = std::strtoll(copy.c_str(), &end, 0);
  if (!copy.empty() && end == copy.c_str() + copy.size() && errno == 0)
    return static_cast<double>(integer);
  if (copy.starts_with("0x"))
    return malformed("invalid syntax");
  double value = 0;
  const auto [stop, error] = std::from_chars(copy.data(), copy.data() + copy.size(), value);
  if (stop != copy.data() + copy.size() || copy.empty())
    return malformed("invalid syntax");
  if (error == std::errc::result_out_of_range) { // too large or too small; strtod says which
    value = std::strtod(copy.c_str(), &end);
    if (std::isinf(value))
      return malformed("value out of range");
  }
  return value;
}

std::string number_to_string(double value) {
  if (std::isnan(value))
    return "NaN";
  if (std::isinf(value))
    return value > 0 ? "+Inf" : "-Inf";
  char digits[400];
  const auto magnitude = std::fabs(value);
  const bool exponent = magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e6);
  const auto format = exponent ? std::chars_format::scientific : std::chars_format::fixed;
  const auto end = std::to_chars(digits, digits + sizeof digits, value, format).ptr;
  return {digits, end};
}

bool seconds_to_ms(double seconds, std::int64_t& ms) noexcept {
  constexpr double seconds_max = 9.2e15;
  if (!(std::abs(seconds) <= seconds_max))
    return false;
  ms = static_cast<std::int64_t>(std::round(seconds * 1000));
  return true;
}

result<std::int64_t> parse_duration_ms(std::string_view text) {
  constexpr std::int64_t ms_max =
      std::numeric_limits<std::int64_t>::max() / 1'000'000; // nanoseconds must fit
  if (text.empty())
    return fail(errc::malformed, "empty duration string");
  if (text == "0")
    return std::int64_t{0};
  const auto malformed = [&] {
    return fail(errc::malformed, fmt::format("not a valid duration string: {}", quote(text)));
  };
  std::int64_t total = 0;
  std::size_t unit_from = 0; // units come in falling order, each once
  bool too_large = false;
  for (std::size_t at = 0; at < text.size();) {
    std::int64_t count = 0;
    const auto [stop, error] = std::from_chars(text.data() + at, text.data() + text.size(), count);
    if (error == std::errc::invalid_argument || text[at] == '-')
      return malformed();
    too_large = too_large || error == std::errc::result_out_of_range;
    at = static_cast<std::size_t>(stop - text.data());
    std::size_t letters = 0;
    while (at + letters < text.size() && text[at + letters] >= 'a' && text[at + letters] <= 'z')
      ++letters;
    const auto name = text.substr(at, letters);
    const auto found = std::find_if(time_units.begin() + static_cast<std::ptrdiff_t>(unit_from),
                                    time_units.end(), [&](const time_unit& u) { return u.name == name; });
    if (found == time_units.end())
      return malformed();
    unit_from = static_cast<std::size_t>(found - time_units.begin()) + 1;
    at += letters;
    too_large = too_large || count > (ms_max - total) / found->ms;
    if (!too_large)
      total += count * found->ms;
  }
  if (too_large)
    return fail(errc::malformed, "duration out of range");
  return total;
}

std::string duration_to_string(std::int64_t ms) {
  if (ms == 0)
    return "0s";
  std::string out;
  for (const auto& unit : time_units) {
    if (unit.exact && ms % unit.ms != 0)
      continue;
    if (const auto count = ms / unit.ms; count > 0) {
      out += fmt::format("{}{}", count, unit.name);
      ms -= count * unit.ms;
    }
  }
  return out;
}

} // namespace skerry::promql
