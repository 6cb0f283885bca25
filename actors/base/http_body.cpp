#include "actors/base/http_body.hpp"

#include <curl/curl.h>
#include <fmt/format.h>

#include <array>
#include <limits>
#include <zlib.h>

namespace skerry {

namespace {

constexpr std::size_t piece_bytes = 64 << 10; // of what is decoded at a time
constexpr std::size_t coding_shown_max = 64;  // bytes of a peer's header in a message
constexpr int zlib_window_bits = 15;
constexpr int gzip_window_bits = 15 + 16; // 16: gzip's frame instead of zlib's

std::string lower(std::string_view text) {
  std::string out{text};
  for (auto& c : out)
    if (c >= 'A' && c <= 'Z')
      c = static_cast<char>(c - 'A' + 'a');
  return out;
}

// What a header lists, in lower case and without `identity`; "gzip, br" for gzip and br.
std::string listed(CURL* easy, const char* name) {
  std::string out;
  curl_header* header = nullptr;
  for (std::size_t i = 0; curl_easy_header(easy, name, i, CURLH_HEADER, -1, &header) == CURLHE_OK; ++i) {
    std::string_view rest{header->value};
    while (!rest.empty()) {
      auto one = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(rest.size(), one.size() + 1));
      constexpr std::string_view blanks = " \t\r\n"; // libcurl leaves line ends to an empty header
      const auto first = one.find_first_not_of(blanks);
      if (first == one.npos)
        continue;
      one = one.substr(first, one.find_last_not_of(blanks) - first + 1);
      const auto item = lower(one);
      if (item == "identity")
        continue;
      out += (out.empty() ? "" : ", ") + item;
    }
  }
  return out;
}

std::string shown(std::string_view text) {
  std::string out{text.substr(0, coding_shown_max)};
  for (auto& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e)
      c = '?';
  return out;
}

} // namespace

void http_body::inflate_end::operator()(z_stream_s* stream) const noexcept {
  inflateEnd(stream);
  delete stream;
}

http_body::http_body() = default;
http_body::~http_body() = default;

void http_body::begin() noexcept {
  coding_ = coding::unknown;
  at_end_ = false;
  chunked_ = false;
  ended_by_close_ = false;
  error_.clear();
  stream_.reset();
}

bool http_body::read_headers(void* easy) {
  const auto transfer = listed(easy, "Transfer-Encoding");
  if (!transfer.empty() && transfer != "chunked") {
    error_ = fmt::format("the answer's Transfer-Encoding '{}' is not understood; it may be chunked",
                         shown(transfer));
    return false;
  }
  chunked_ = !transfer.empty();
  const auto content = listed(easy, "Content-Encoding");
  if (content.empty()) {
    coding_ = coding::identity;
    return true;
  }
  if (content != "gzip" && content != "x-gzip" && content != "deflate") {
    error_ = fmt::format(
        "the answer's Content-Encoding '{}' is not understood; it may be gzip, deflate or identity",
        shown(content));
    return false;
  }
  coding_ = content == "deflate" ? coding::zlib : coding::gzip;
  return start_inflating();
}

bool http_body::start_inflating() {
  auto made = std::make_unique<z_stream_s>();
  if (inflateInit2(made.get(), coding_ == coding::gzip ? gzip_window_bits : zlib_window_bits) != Z_OK) {
    error_ = "there is no memory to decode the answer";
    return false;
  }
  stream_.reset(made.release());
  return true;
}

bool http_body::take(void* easy, std::string_view piece, const sink& into) {
  if (!error_.empty() || (coding_ == coding::unknown && !read_headers(easy)))
    return false;
  return coding_ == coding::identity ? into(piece) : inflate_piece(piece, into);
}

bool http_body::inflate_piece(std::string_view piece, const sink& into) {
  thread_local std::array<char, piece_bytes> decoded;
  auto& z = *stream_;
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
  z.avail_in = static_cast<uInt>(piece.size()); // libcurl's pieces are below 1 MiB
  z.avail_out = 0;
  while (z.avail_in != 0 || (z.avail_out == 0 && !at_end_)) {
    if (at_end_) {
      if (coding_ != coding::gzip) {
        error_ = "bytes follow the end of the answer's compressed data";
        return false;
      }
      inflateReset(&z);
      at_end_ = false;
    }
    z.next_out = reinterpret_cast<Bytef*>(decoded.data());
    z.avail_out = static_cast<uInt>(decoded.size());
    const auto code = inflate(&z, Z_NO_FLUSH);
    const auto size = decoded.size() - z.avail_out;
    if (size != 0 && !into({decoded.data(), size}))
      return false;
    if (code == Z_STREAM_END) {
      at_end_ = true;
    } else if (code == Z_BUF_ERROR) {
      break; // nothing more can be decoded of what is here
    } else if (code != Z_OK) {
      error_ = fmt::format("the answer's compressed data is damaged: {}", z.msg != nullptr ? z.msg
                                                                          : code == Z_NEED_DICT
                                                                              ? "it wants a dictionary"
                                                                              : "no memory");
      return false;
    }
  }
  return true;
}

bool http_body::finish(void* easy) {
  if (!error_.empty() || (coding_ == coding::unknown && !read_headers(easy)))
    return false;
  curl_off_t length = -1;
  curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  ended_by_close_ = !chunked_ && length < 0;
  if (!compressed() || at_end_)
    return true;
  error_ = "the answer is incomplete: its compressed data ends before its end";
  return false;
}

} // namespace skerry
