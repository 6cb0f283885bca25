#pragma once

// What a site may be called. The name becomes a label and part of file names.

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace skerry {

inline constexpr std::size_t site_name_bytes_max = 128;

// Letters, digits, '.', '_' and '-', beginning with a letter or a digit.
[[nodiscard]] inline bool is_site_name(std::string_view text) noexcept {
  const auto letter_or_digit = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !text.empty() && text.size() <= site_name_bytes_max && letter_or_digit(text.front())
         && std::all_of(text.begin(), text.end(),
                        [&](char c) { return letter_or_digit(c) || c == '.' || c == '_' || c == '-'; });
}

} // namespace skerry
