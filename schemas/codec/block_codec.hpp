#pragma once

// Many frames of one series set as one compressed block: columns (series) over shared rows (times).
//
// Bit-exact for every double and every int64 time, in any order. Each column is constant, or deltas (of
// deltas) of exactly scaled decimals, or XORed bits; zstd goes over the whole. A directory lets a reader
// decode single columns. Every block has magic, version, codec id and checksum: docs/formats.md#block has the
// layout.

#include "schemas/bytes.hpp"

#include <memory>
#include <span>
#include <vector>

namespace skerry {

inline constexpr std::size_t block_rows_max = 4096;
inline constexpr std::size_t block_columns_max = 256;
inline constexpr std::size_t block_header_bytes = 32;
inline constexpr std::uint32_t block_magic = 0x6b426b53; // "SkBk"
inline constexpr std::uint8_t block_version = 1;

// Words of a bitmap over `rows`.
[[nodiscard]] constexpr std::size_t row_words(std::size_t rows) noexcept { return (rows + 63) / 64; }

// What goes into a block. The spans outlive the call.
struct block_view {
  std::span<const std::int64_t> times_ns; // one a row, 1 to block_rows_max
  std::size_t columns = 0;                // 1 to block_columns_max
  std::span<const double> values;         // column after column, each with a value per row
  // Bit r%64 of word r/64 of each column: row r has a value. Empty: all have.
  std::span<const std::uint64_t> present;
};

// Keeps a zstd context and scratch memory: reuse one, on one thread at a time.
class block_encoder {
public:
  block_encoder();
  ~block_encoder();
  block_encoder(const block_encoder&) = delete;
  block_encoder& operator=(const block_encoder&) = delete;

  // Appends one block. Precondition: the bounds above hold.
  void encode(const block_view& from, byte_buffer& out);

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

// Holds one opened block; single-threaded.
class block_decoder {
public:
  block_decoder();
  ~block_decoder();
  block_decoder(const block_decoder&) = delete;
  block_decoder& operator=(const block_decoder&) = delete;

  // Checks, decompresses, reads times and directory; `from` may go afterwards. malformed: not a block;
  // corrupt: the checksum does not match; unsupported_version: newer format or unknown codec.
  [[nodiscard]] result<void> open(bytes_view from);
  [[nodiscard]] std::span<const std::int64_t> times_ns() const noexcept { return times_; }
  [[nodiscard]] std::size_t rows() const noexcept { return times_.size(); }
  [[nodiscard]] std::size_t columns() const noexcept { return ends_.size(); }
  // Decodes one column: values[r] is set where bit r of `present` is. Preconditions: a block is open,
  // column < columns(), the spans hold rows() values and row_words(rows()) words. malformed: damaged bytes.
  [[nodiscard]] result<void> column(std::size_t column, std::span<double> values,
                                    std::span<std::uint64_t> present);

private:
  struct impl;
  std::unique_ptr<impl> impl_;
  std::vector<std::int64_t> times_;
  std::vector<std::uint32_t> ends_; // of each column in the uncompressed bytes
  std::size_t columns_at_ = 0;
};

} // namespace skerry
