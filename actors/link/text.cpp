#include "actors/link/text.hpp"

#include <array>
#include <cstdint>

namespace skerry::link {

bool is_clean_text(std::string_view text) noexcept {
  // The smallest code point that needs 2, 3 or 4 bytes: a shorter one in a longer form is no UTF-8.
  constexpr std::array<std::uint32_t, 4> smallest{0, 0x80, 0x800, 0x10000};
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<std::uint8_t>(text[i]);
    const std::size_t extra = lead < 0x80             ? 0
                              : (lead & 0xe0) == 0xc0 ? 1
                              : (lead & 0xf0) == 0xe0 ? 2
                              : (lead & 0xf8) == 0xf0 ? 3
                                                      : 4;
    if (extra == 4 || extra >= text.size() - i)
      return false;
    std::uint32_t point = extra == 0 ? lead : lead & (0x3fu >> extra);
    for (std::size_t k = 1; k <= extra; ++k) {
      const auto next = static_cast<std::uint8_t>(text[i + k]);
      if ((next & 0xc0) != 0x80)
        return false;
      point = (point << 6) | (next & 0x3f);
    }
    const bool control = point < 0x20 || (point >= 0x7f && point < 0xa0);
    const bool surrogate = point >= 0xd800 && point < 0xe000;
    if (control || surrogate || point < smallest[extra] || point > 0x10ffff)
      return false;
    i += extra + 1;
  }
  return true;
}

std::string_view clip_text(std::string_view text, std::size_t bytes_max) noexcept {
  if (text.size() <= bytes_max)
    return text;
  while (bytes_max > 0 && (static_cast<std::uint8_t>(text[bytes_max]) & 0xc0) == 0x80)
    --bytes_max;
  return text.substr(0, bytes_max);
}

} // namespace skerry::link
