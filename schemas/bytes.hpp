#pragma once

// Views of bytes, shared buffers, and the little-endian readers and writers that all binary formats use.

#include "schemas/error.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace skerry {

static_assert(std::endian::native == std::endian::little, "formats are little-endian and read in place");

using bytes_view = std::span<const std::byte>;
using byte_buffer = std::vector<std::byte>;

// Immutable bytes together with whatever keeps them alive. Copying shares; any thread may read.
struct shared_bytes {
  std::shared_ptr<const void> owner;
  bytes_view view;

  [[nodiscard]] static shared_bytes take(byte_buffer buffer) {
    auto owner = std::make_shared<const byte_buffer>(std::move(buffer));
    bytes_view view{*owner};
    return {std::move(owner), view};
  }
  [[nodiscard]] static shared_bytes copy(bytes_view from) { return take({from.begin(), from.end()}); }
  // The part [offset, offset + count), sharing the owner. Precondition: within the view.
  [[nodiscard]] shared_bytes slice(std::size_t offset, std::size_t count) const {
    return {owner, view.subspan(offset, count)};
  }
};

[[nodiscard]] inline bytes_view as_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
[[nodiscard]] inline std::string_view as_text(bytes_view bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

[[nodiscard]] inline std::uint64_t zigzag(std::int64_t v) noexcept {
  return (static_cast<std::uint64_t>(v) << 1) ^ static_cast<std::uint64_t>(v >> 63);
}
[[nodiscard]] inline std::int64_t unzigzag(std::uint64_t v) noexcept {
  return static_cast<std::int64_t>(v >> 1) ^ -static_cast<std::int64_t>(v & 1);
}

// Appends to a buffer that the caller owns. LEB128 varints, everything else little-endian.
class byte_writer {
public:
  explicit byte_writer(byte_buffer& out) noexcept : out_(out) {}

  template <class T>
  void fixed(T value) {
    static_assert(std::is_trivially_copyable_v<T>);
    const auto at = out_.size();
    out_.resize(at + sizeof(T));
    std::memcpy(out_.data() + at, &value, sizeof(T));
  }
  void varint(std::uint64_t value) {
    while (value >= 0x80) {
      out_.push_back(static_cast<std::byte>(value | 0x80));
      value >>= 7;
    }
    out_.push_back(static_cast<std::byte>(value));
  }
  void signed_varint(std::int64_t value) { varint(zigzag(value)); }
  void bytes(bytes_view value) { out_.insert(out_.end(), value.begin(), value.end()); }
  // Length as a varint, then the bytes.
  void text(std::string_view value) {
    varint(value.size());
    bytes(as_bytes(value));
  }

private:
  byte_buffer& out_;
};

// Reads from a view that outlives it. After the first read past the end, or a varint of over 64 bits, `failed()`
// is true for good and every read returns zero or empty: check once at the end, and before using a count.
class byte_reader {
public:
  explicit byte_reader(bytes_view in) noexcept : in_(in) {}

  template <class T>
  [[nodiscard]] T fixed() noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    if (const auto from = bytes(sizeof(T)); !from.empty())
      std::memcpy(&value, from.data(), sizeof(T));
    return value;
  }
  [[nodiscard]] std::uint64_t varint() noexcept {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !failed_; shift += 7) {
      if (at_ == in_.size())
        break;
      const auto byte = static_cast<std::uint8_t>(in_[at_++]);
      if (shift == 63 && byte > 1)
        break;
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0)
        return value;
    }
    failed_ = true;
    return 0;
  }
  [[nodiscard]] std::int64_t signed_varint() noexcept { return unzigzag(varint()); }
  [[nodiscard]] bytes_view bytes(std::uint64_t count) noexcept {
    if (failed_ || count > in_.size() - at_) {
      failed_ = true;
      return {};
    }
    const auto view = in_.subspan(at_, count);
    at_ += count;
    return view;
  }
  [[nodiscard]] std::string_view text() noexcept { return as_text(bytes(varint())); }
  [[nodiscard]] bytes_view rest() noexcept { return bytes(remaining()); }
  [[nodiscard]] std::size_t remaining() const noexcept { return failed_ ? 0 : in_.size() - at_; }
  [[nodiscard]] std::size_t position() const noexcept { return at_; }
  [[nodiscard]] bool failed() const noexcept { return failed_; }

private:
  bytes_view in_;
  std::size_t at_ = 0;
  bool failed_ = false;
};

} // namespace skerry
