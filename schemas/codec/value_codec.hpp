#pragma once

// The values of one frame as bytes: exactly scaled decimals where a double is one, its bits where not, then
// zstd. Bit-exact for every double: NaN payloads, infinities, -0. docs/formats.md has the layout and the
// codec ids.

#include "schemas/bytes.hpp"

#include <memory>
#include <span>

namespace skerry {

inline constexpr std::size_t frame_values_max = 1 << 20;

// Keeps a zstd context and scratch memory: reuse one, on one thread at a time.
class value_encoder {
public:
  value_encoder();
  ~value_encoder();
  value_encoder(const value_encoder&) = delete;
  value_encoder& operator=(const value_encoder&) = delete;

  // Appends codec id, lengths and data. Precondition: at most frame_values_max values.
  void encode(std::span<const double> values, byte_buffer& out);

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

// All of a thread share its zstd context and scratch memory: one costs nothing.
class value_decoder {
public:
  // Decodes exactly values.size() values and reads `from` to its end. malformed: any other count, damaged
  // bytes. unsupported_version: an unknown codec id.
  [[nodiscard]] result<void> decode(bytes_view from, std::span<double> values) const;
};

// v == mantissa × 10^-exponent, exactly: dividing the two gives v's bits again.
struct decimal {
  std::int64_t mantissa = 0; // magnitude below 2^53
  int exponent = 0;          // 0 to 15
};
// False where `v` is no such decimal (NaN, infinities, -0, too many digits). `hint` is tried first: pass the
// exponent of a neighbour.
[[nodiscard]] bool to_decimal(double v, int hint, decimal& out) noexcept;
[[nodiscard]] double from_decimal(decimal d) noexcept;

} // namespace skerry
