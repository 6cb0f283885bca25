#include "actors/http/compress.hpp"

#include "actors/http/guard.hpp"

#include <limits>
#include <zlib.h>

namespace skerry::http {

namespace {

constexpr int level = 3;             // JSON of metrics shrinks about as well as with 6, at half the time
constexpr int window_bits = 15 + 16; // 16: a gzip header instead of zlib's
constexpr int memory_level = 8;
constexpr std::size_t piece_bytes = 256 << 10;

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

bool gzip(std::string& body, std::vector<std::string>& more) {
  if (body.size() > std::numeric_limits<uInt>::max())
    return false;
  z_stream stream{};
  if (deflateInit2(&stream, level, Z_DEFLATED, window_bits, memory_level, Z_DEFAULT_STRATEGY) != Z_OK)
    return false;
  std::vector<std::string> out;
  bool fits = true;
  const auto compress = [&](const std::string& piece, int flush) {
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
    stream.avail_in = static_cast<uInt>(piece.size());
    while (fits) {
      if (stream.avail_out == 0) {
        // In one piece: what does not fit is not shorter.
        fits = out.empty() || !more.empty();
        if (!fits)
          return;
        out.emplace_back(more.empty() ? body.size() : piece_bytes, '\0');
        stream.next_out = reinterpret_cast<Bytef*>(out.back().data());
        stream.avail_out = static_cast<uInt>(out.back().size());
      }
      const auto code = deflate(&stream, flush);
      if (code == Z_STREAM_END || (flush == Z_NO_FLUSH && stream.avail_in == 0))
        return;
    }
  };
  compress(body, more.empty() ? Z_FINISH : Z_NO_FLUSH);
  for (std::size_t i = 0; i < more.size(); ++i) {
    if (i == 0)
      body = std::string{};
    compress(more[i], i + 1 == more.size() ? Z_FINISH : Z_NO_FLUSH);
    more[i] = std::string{};
  }
  const auto unused = stream.avail_out;
  deflateEnd(&stream);
  if (!fits)
    return false;
  out.back().resize(out.back().size() - unused);
  out.back().shrink_to_fit();
  body = std::move(out.front());
  out.erase(out.begin());
  more = std::move(out);
  return true;
}

} // namespace skerry::http
