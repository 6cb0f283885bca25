#pragma once

// Text from a peer ends in logs, labels and JSON: it is taken only as UTF-8 without control characters.

#include <cstddef>
#include <string_view>

namespace skerry::link {

[[nodiscard]] bool is_clean_text(std::string_view text) noexcept;

// The longest prefix of at most `bytes_max` bytes that does not cut a character.
[[nodiscard]] std::string_view clip_text(std::string_view text, std::size_t bytes_max) noexcept;

} // namespace skerry::link
