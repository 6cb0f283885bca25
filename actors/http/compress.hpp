#pragma once

// gzip for answers.

#include <string>
#include <string_view>

namespace skerry::http {

inline constexpr std::size_t compress_bytes_min = 1 << 10; // smaller answers are not worth it

// What an Accept-Encoding header says of gzip.
[[nodiscard]] bool accepts_gzip(std::string_view accept_encoding);
// Replaces `body` with its gzip form; false, and untouched, where that fails or is no shorter.
bool gzip(std::string& body);

} // namespace skerry::http
