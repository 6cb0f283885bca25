// Durations, sizes and the nearest word: what configuration is written in.

#include "actors/node/config.hpp"
#include "actors/node/config_words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

namespace skerry {

namespace {

struct duration_unit {
  std::string_view name;
  std::int64_t ns;
  bool only_exact; // written only where nothing smaller remains, as Prometheus does
};

constexpr std::int64_t second_ns = 1'000'000'000;
constexpr std::array<duration_unit, 7> duration_units{{
    {"y", 365 * 86'400 * second_ns, true},
    {"w", 7 * 86'400 * second_ns, true},
    {"d", 86'400 * second_ns, false},
    {"h", 3'600 * second_ns, false},
    {"m", 60 * second_ns, false},
    {"s", second_ns, false},
    {"ms", 1'000'000, false},
}};

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

} // namespace

result<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  if (text == "0")
    return std::chrono::nanoseconds{0};
  const auto bad = [text] {
    return fail(errc::malformed,
                fmt::format("not a duration: {}; write 15s, 1h30m, 500ms (units y w d h m s ms, in "
                            "this order)",
                            shown(text)));
  };
  if (text.empty())
    return bad();
  std::int64_t total = 0;
  std::size_t next_unit = 0; // units come in falling order, each at most once
  for (auto rest = text; !rest.empty();) {
    std::int64_t count = 0;
    const auto [end, code] = std::from_chars(rest.data(), rest.data() + rest.size(), count);
    if (!is_digit(rest.front()) || code == std::errc::invalid_argument)
      return bad();
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    const auto letters = std::find_if(rest.begin(), rest.end(), is_digit) - rest.begin();
    const auto name = rest.substr(0, static_cast<std::size_t>(letters));
    rest.remove_prefix(name.size());
    while (next_unit < duration_units.size() && duration_units[next_unit].name != name)
      ++next_unit;
    if (next_unit == duration_units.size())
      return bad();
    std::int64_t part = 0;
    if (code != std::errc{} || __builtin_mul_overflow(count, duration_units[next_unit].ns, &part)
        || __builtin_add_overflow(total, part, &total))
      return fail(errc::malformed, fmt::format("duration out of range: {}", shown(text)));
    ++next_unit;
  }
  return std::chrono::nanoseconds{total};
}

std::string format_duration(std::chrono::nanoseconds value) {
  auto rest = static_cast<std::uint64_t>(value.count());
  std::string out;
  if (value.count() == 0)
    return "0s";
  if (value.count() < 0) {
    out = "-";
    rest = 0 - rest;
  }
  const auto put = [&](std::uint64_t unit, std::string_view name, bool only_exact) {
    if (rest < unit || (only_exact && rest % unit != 0))
      return;
    out += fmt::format("{}{}", rest / unit, name);
    rest %= unit;
  };
  for (const auto& unit : duration_units)
    put(static_cast<std::uint64_t>(unit.ns), unit.name, unit.only_exact);
  put(1'000, "us", false);
  put(1, "ns", false);
  return out;
}

result<std::uint64_t> parse_bytes(std::string_view text) {
  static constexpr std::string_view prefixes = "KMGTPE";
  const auto bad = [text] {
    return fail(errc::malformed,
                fmt::format("not a size: {}; write 512MiB, 10GB or plain bytes (units are powers of 1024)",
                            shown(text)));
  };
  const auto number = text.substr(0, text.find_first_not_of("0123456789."));
  auto unit = text.substr(number.size());
  if (unit.size() > 1 && unit.front() == ' ')
    unit.remove_prefix(1);
  unsigned shift = 0;
  if (!unit.empty() && unit != "B") {
    const auto at = prefixes.find(unit.front() == 'k' ? 'K' : unit.front());
    const auto tail = unit.substr(1);
    if (at == std::string_view::npos || (tail != "" && tail != "B" && tail != "iB" && tail != "i"))
      return bad();
    shift = 10 * static_cast<unsigned>(at + 1);
  }
  std::uint64_t whole = 0;
  const auto dot = number.find('.');
  const auto digits = number.substr(0, dot);
  if (const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), whole);
      digits.empty() || end != digits.data() + digits.size() || code == std::errc::invalid_argument)
    return bad();
  else if (code != std::errc{} || whole > (std::numeric_limits<std::uint64_t>::max() >> shift))
    return fail(errc::malformed, fmt::format("size out of range: {}", shown(text)));
  whole <<= shift;
  if (dot == std::string_view::npos)
    return whole;
  const auto fraction_digits = number.substr(dot + 1);
  double fraction = 0;
  double scale = 0.1;
  for (const auto c : fraction_digits) {
    if (!is_digit(c))
      return bad();
    fraction += (c - '0') * scale;
    scale /= 10;
  }
  if (fraction_digits.empty() || shift == 0)
    return bad(); // there are no halves of bytes
  return whole + static_cast<std::uint64_t>(std::llround(std::ldexp(fraction, static_cast<int>(shift))));
}

std::string format_bytes(std::uint64_t bytes) {
  static constexpr std::array<std::string_view, 7> units{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024)
    return fmt::format("{} B", bytes);
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1023.95 && unit + 1 < units.size()) { // what would round to 1024.0 takes the next unit
    value /= 1024;
    ++unit;
  }
  auto text = fmt::format("{:.1f}", value);
  if (text.ends_with(".0"))
    text.resize(text.size() - 2);
  return fmt::format("{} {}", text, units[unit]);
}

// Edit distance with transposition (optimal string alignment) on three rows.
std::string_view nearest(std::string_view word, const std::vector<std::string>& candidates) {
  constexpr std::size_t length_max = 64;
  if (word.empty() || word.size() > length_max)
    return {};
  std::string_view best;
  auto best_distance = std::max<std::size_t>(1, std::min<std::size_t>(3, word.size() / 3)) + 1;
  for (const std::string_view candidate : candidates) {
    if (candidate.size() > length_max)
      continue;
    std::array<std::array<std::size_t, length_max + 1>, 3> rows{};
    for (std::size_t j = 0; j <= candidate.size(); ++j)
      rows[0][j] = j;
    for (std::size_t i = 1; i <= word.size(); ++i) {
      auto& row = rows[i % 3];
      const auto& above = rows[(i + 2) % 3];
      const auto& above2 = rows[(i + 1) % 3];
      row[0] = i;
      for (std::size_t j = 1; j <= candidate.size(); ++j) {
        row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (word[i - 1] != candidate[j - 1])});
        if (i > 1 && j > 1 && word[i - 1] == candidate[j - 2] && word[i - 2] == candidate[j - 1])
          row[j] = std::min(row[j], above2[j - 2] + 1);
      }
    }
    if (const auto distance = rows[word.size() % 3][candidate.size()]; distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

} // namespace skerry
