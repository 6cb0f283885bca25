#pragma once

// Keys and checked values of a partition's databases.

#include "cloud/store/partition.hpp"

#include <bit>
#include <xxhash.h>

namespace skerry::cloud {

inline constexpr std::string_view extent_database = "extent";

// Small keys, built in place; numbers big-endian, signed ones biased, so that bytes sort as values do.
class key_builder {
public:
  key_builder& number(std::uint32_t v) { return raw(__builtin_bswap32(v)); }
  key_builder& number(std::uint64_t v) { return raw(__builtin_bswap64(v)); }
  key_builder& time(std::int64_t v) {
    return number(static_cast<std::uint64_t>(v) ^ (std::uint64_t{1} << 63));
  }
  key_builder& bytes(bytes_view v) {
    std::memcpy(at_ + size_, v.data(), v.size());
    size_ += v.size();
    return *this;
  }
  [[nodiscard]] bytes_view view() const noexcept { return {at_, size_}; }

private:
  template <class T>
  key_builder& raw(T v) {
    std::memcpy(at_ + size_, &v, sizeof v);
    size_ += sizeof v;
    return *this;
  }
  std::byte at_[64];
  std::size_t size_ = 0;
};

[[nodiscard]] inline std::uint32_t key_u32(bytes_view key, std::size_t at) noexcept {
  std::uint32_t v;
  std::memcpy(&v, key.data() + at, sizeof v);
  return __builtin_bswap32(v);
}
[[nodiscard]] inline std::uint64_t key_u64(bytes_view key, std::size_t at) noexcept {
  std::uint64_t v;
  std::memcpy(&v, key.data() + at, sizeof v);
  return __builtin_bswap64(v);
}
[[nodiscard]] inline std::int64_t key_time(bytes_view key, std::size_t at) noexcept {
  return static_cast<std::int64_t>(key_u64(key, at) ^ (std::uint64_t{1} << 63));
}

inline constexpr std::size_t value_checksum_bytes = 8;
[[nodiscard]] inline std::uint64_t value_checksum(bytes_view key, bytes_view value) noexcept {
  return XXH3_64bits_withSeed(value.data(), value.size(), XXH3_64bits(key.data(), key.size()));
}
// A stored value: checksum, content. Nothing where it does not match.
[[nodiscard]] inline std::optional<bytes_view> checked_value(bytes_view key, bytes_view stored) noexcept {
  if (stored.size() < value_checksum_bytes)
    return std::nullopt;
  std::uint64_t checksum;
  std::memcpy(&checksum, stored.data(), sizeof checksum);
  const auto value = stored.subspan(value_checksum_bytes);
  return checksum == value_checksum(key, value) ? std::optional{value} : std::nullopt;
}

// The key of a label pair. Long strings are cut and named by a hash; then the value carries them in full.
struct posting_key {
  std::string key;
  bool exact = true;
};
[[nodiscard]] posting_key make_posting_key(std::string_view name, std::string_view value);
// What all pairs of this name start with.
[[nodiscard]] std::string posting_prefix(std::string_view name);

// A posting's content: u8 exact; where it is not, name and value as texts; the bitmap in roaring's portable
// form.
struct posting_content {
  bool exact = true;
  std::string_view name;
  std::string_view value;
  bytes_view bitmap;
};
[[nodiscard]] result<posting_content> read_posting(bytes_view content);
[[nodiscard]] result<Roaring> read_bitmap(bytes_view bytes);

inline constexpr std::string_view meta_format = "format";
inline constexpr std::string_view meta_samples = "samples";
inline constexpr std::string_view meta_newest = "newest"; // i64, ns; older partitions lack it
inline constexpr std::string_view meta_log = "log"; // these two: before the id of a log, 8 bytes as in memory
inline constexpr std::string_view meta_begun = "part"; // older partitions lack it
[[nodiscard]] inline std::string meta_key(std::string_view prefix, std::uint64_t log_id) {
  return std::string{prefix} + std::string{as_text(std::as_bytes(std::span{&log_id, 1}))};
}
[[nodiscard]] key_builder source_lookup_key(const partition_source& s, std::uint64_t probe);

} // namespace skerry::cloud
