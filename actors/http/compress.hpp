#pragma once

// gzip for answers.

#include <string>
#include <string_view>
#include <vector>

namespace skerry::http {

inline constexpr std::size_t compress_bytes_min = 1 << 10; // smaller answers are not worth it

// What an Accept-Encoding header says of gzip.
[[nodiscard]] bool accepts_gzip(std::string_view accept_encoding);
// Replaces `body` and what comes after it with their gzip form, in pieces as well; each piece goes as soon as it is
// compressed. False, and untouched, where a body in one piece would not become shorter, or compressing can't begin.
bool gzip(std::string& body, std::vector<std::string>& more);

} // namespace skerry::http
