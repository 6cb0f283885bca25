#pragma once

// UTF-8 one code point at a time.

#include <array>
#include <cstddef>
#include <string_view>

namespace skerry::promql {

inline constexpr char32_t rune_invalid = 0xFFFFFFFF;

// The code point at `at`, and how many bytes it takes (1 when it is not UTF-8).
inline char32_t decode(std::string_view text, std::size_t at, std::size_t& length) noexcept {
  const auto byte = [&](std::size_t i) {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U;
  };
  const unsigned first = byte(0);
  length = 1;
  if (first < 0x80)
    return first;
  const std::size_t more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
  if (first < 0xC2 || first > 0xF4)
    return rune_invalid;
  char32_t rune = first & (0x3FU >> more);
  for (std::size_t i = 1; i <= more; ++i) {
    if ((byte(i) & 0xC0) != 0x80)
      return rune_invalid;
    rune = rune << 6 | (byte(i) & 0x3F);
  }
  constexpr std::array<char32_t, 4> smallest{0, 0x80, 0x800, 0x10000};
  if (rune < smallest[more] || rune > 0x10FFFF || (rune >= 0xD800 && rune <= 0xDFFF))
    return rune_invalid;
  length = more + 1;
  return rune;
}

} // namespace skerry::promql
