#pragma once

// Many frames of one series set as one compressed block: columns (series) over shared rows (times).
//
// Bit-exact for every double and every int64 time, in any order. Each column is constant, or deltas (of
// deltas) of exactly scaled decimals, or XORed bits. Columns go into groups of about block_group_bytes; zstd goes
// over each group, so that a reader who wants a few series unpacks little. A block has magic, version, codec id and
// checksums of its index and of every group: docs/formats.md#block has the layout.

#include "schemas/bytes.hpp"

#include <memory>
#include <span>
#include <vector>

namespace skerry {

inline constexpr std::size_t block_rows_max = 4096;
inline constexpr std::size_t block_columns_max = 256;
inline constexpr std::size_t block_header_bytes = 32;
inline constexpr std::size_t block_group_bytes = 16 << 10; // a group is closed beyond
inline constexpr std::uint32_t block_magic = 0x6b426b53;   // "SkBk"
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

// What stands at the head of a block: its rows and where its columns lie. May be kept and shared.
struct block_index {
  struct group {
    std::uint32_t column_end = 0; // the first column behind it
    std::uint32_t at = 0;         // in the block
    std::uint32_t bytes = 0;
    std::uint32_t checksum = 0;
    std::uint32_t skip = 0; // bytes before its first column, unpacked
  };
  std::vector<std::int64_t> times_ns;
  std::vector<std::uint32_t> lengths; // of each column
  std::vector<group> groups;
  std::uint64_t seed = 0; // of the groups' checksums

  [[nodiscard]] std::size_t rows() const noexcept { return times_ns.size(); }
  [[nodiscard]] std::size_t columns() const noexcept { return lengths.size(); }
  [[nodiscard]] std::size_t group_of(std::size_t column) const noexcept;
  [[nodiscard]] std::size_t memory_bytes() const noexcept;
};

// Keeps a zstd context and scratch memory: reuse one, on one thread at a time. Failures: malformed (no block,
// damaged bytes), corrupt (a checksum does not match), unsupported_version (newer format, unknown codec).
class block_decoder {
public:
  block_decoder();
  ~block_decoder();
  block_decoder(const block_decoder&) = delete;
  block_decoder& operator=(const block_decoder&) = delete;

  // Checks and reads the head of a block.
  [[nodiscard]] result<void> read_index(bytes_view block, block_index& to);
  // Checks and unpacks one group of the same block.
  [[nodiscard]] result<void> read_group(bytes_view block, const block_index& index, std::size_t group,
                                        byte_buffer& to);
  // Decodes one column of a group that was unpacked: values[r] is set where bit r of `present` is. The spans hold
  // rows() values and row_words(rows()) words. Values of rows outside of `wanted` need not be right: less is decoded.
  struct row_range {
    std::size_t begin = 0;
    std::size_t end = SIZE_MAX;
  };
  [[nodiscard]] result<void> read_column(const block_index& index, std::size_t column, bytes_view group,
                                         std::span<double> values, std::span<std::uint64_t> present,
                                         row_range wanted);

  // The same for one block at a time, which outlives what is read from it.
  [[nodiscard]] result<void> open(bytes_view block);
  [[nodiscard]] std::span<const std::int64_t> times_ns() const noexcept { return index_.times_ns; }
  [[nodiscard]] std::size_t rows() const noexcept { return index_.rows(); }
  [[nodiscard]] std::size_t columns() const noexcept { return index_.columns(); }
  // Precondition: a block is open, column < columns().
  [[nodiscard]] result<void> column(std::size_t column, std::span<double> values,
                                    std::span<std::uint64_t> present);

private:
  struct impl;
  std::unique_ptr<impl> impl_;
  block_index index_;
  bytes_view block_;
  byte_buffer group_;
  std::size_t group_number_ = 0; // of group_; beyond the last: none
};

} // namespace skerry
