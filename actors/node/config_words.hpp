#pragma once

// How messages about the configuration quote what the user wrote. Internal to this folder.

#include <string>
#include <string_view>

namespace skerry {

inline constexpr std::size_t shown_in_message_max = 48; // characters of a value that a message repeats

// In quotes, cut, and without control characters.
[[nodiscard]] inline std::string shown(std::string_view value) {
  std::string out{value.substr(0, shown_in_message_max)};
  for (auto& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      c = ' ';
  return value.size() > shown_in_message_max ? "'" + out + "…'" : "'" + out + "'";
}

} // namespace skerry
