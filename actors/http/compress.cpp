#include "actors/http/compress.hpp"

#include "actors/http/guard.hpp"

#include <limits>
#include <zlib.h>

namespace skerry::http {

namespace {

constexpr int level = 3;             // JSON of metrics shrinks about as well as with 6, at half the time
constexpr int window_bits = 15 + 16; // 16: a gzip header instead of zlib's
constexpr int memory_level = 8;

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos)
    return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

} // namespace

bool accepts_gzip(std::string_view header) {
  while (!header.empty()) {
    const auto comma = header.find(',');
    const auto item = header.substr(0, comma);
    header.remove_prefix(comma == std::string_view::npos ? header.size() : comma + 1);
    const auto semicolon = item.find(';');
    if (lower(trimmed(item.substr(0, semicolon))) != "gzip")
      continue;
    if (semicolon == std::string_view::npos)
      return true;
    const auto quality = lower(trimmed(item.substr(semicolon + 1)));
    return !quality.starts_with("q=0") || quality.find_first_of("123456789") != std::string::npos;
  }
  return false;
}

bool gzip(std::string& body) {
  if (body.size() > std::numeric_limits<uInt>::max())
    return false;
  z_stream stream{};
  if (deflateInit2(&stream, level, Z_DEFLATED, window_bits, memory_level, Z_DEFAULT_STRATEGY) != Z_OK)
    return false;
  std::string out;
  out.resize(body.size()); // what does not fit is not shorter
  stream.next_in = reinterpret_cast<Bytef*>(body.data());
  stream.avail_in = static_cast<uInt>(body.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const auto done = deflate(&stream, Z_FINISH) == Z_STREAM_END;
  const auto size = stream.total_out;
  deflateEnd(&stream);
  if (!done)
    return false;
  out.resize(size);
  out.shrink_to_fit();
  body = std::move(out);
  return true;
}

} // namespace skerry::http
