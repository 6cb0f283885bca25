#pragma once

// The body of an HTTP answer that libcurl receives: decoded, and known to be whole.
//
// libcurl takes a compressed stream that ends early for a whole one, stops at the first gzip member, and decodes
// nothing that was not asked for. So its decoding stays off (set CURLOPT_HTTP_CONTENT_DECODING to 0, ask with
// `accept_gzip`), and a body is decoded here, by what the answer's header says: gzip, x-gzip, deflate (zlib's format),
// identity. Lengths and checksums must be right and the stream at its end; several gzip members are one body;
// whatever else follows the end is refused. What libcurl does report itself are plain bodies below their Content-Length
// and chunked ones without their last chunk.
//
// One object a transfer handle, one answer after another. The thread of the transfer.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

struct z_stream_s;

namespace skerry {

class http_body {
public:
  static constexpr const char* accept_gzip = "Accept-Encoding: gzip"; // the request's header
  static constexpr std::size_t decoder_bytes = 48 << 10; // memory while a compressed body is decoded

  // Gets the body in pieces; false ends the transfer, for a reason that the sink knows.
  using sink = std::function<bool(std::string_view)>;

  http_body();
  ~http_body();
  http_body(const http_body&) = delete;
  http_body& operator=(const http_body&) = delete;

  // Before each answer.
  void begin() noexcept;
  // For the write callback of the libcurl handle `easy`. False: the transfer must end there, see error().
  [[nodiscard]] bool take(void* easy, std::string_view piece, const sink& into);
  // Once libcurl has reported success. False: the body is not whole, see error().
  [[nodiscard]] bool finish(void* easy);

  [[nodiscard]] const std::string& error() const noexcept { return error_; } // for people; empty: none
  [[nodiscard]] bool compressed() const noexcept {
    return coding_ == coding::gzip || coding_ == coding::zlib;
  }
  // Neither length nor chunks said where the body ends: the connection was closed, and whether the sender had more to
  // say can't be known. Of the answer that finish() was called for.
  [[nodiscard]] bool ended_by_close() const noexcept { return ended_by_close_; }

private:
  enum class coding : std::uint8_t { unknown, identity, gzip, zlib };
  struct inflate_end {
    void operator()(z_stream_s* stream) const noexcept;
  };

  bool read_headers(void* easy);
  bool start_inflating();
  bool inflate_piece(std::string_view piece, const sink& into);

  coding coding_ = coding::unknown;
  bool at_end_ = false; // of a compressed stream, or between two members
  bool chunked_ = false;
  bool ended_by_close_ = false;
  std::string error_;
  std::unique_ptr<z_stream_s, inflate_end> stream_;
};

} // namespace skerry
