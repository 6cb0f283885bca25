#include "schemas/codec/value_codec.hpp"

#include <fmt/format.h>

#include <array>
#include <cassert>
#include <cmath>

#include <zstd.h>

namespace skerry {

namespace {

constexpr std::uint8_t codec_decimal_zstd = 1;
constexpr std::uint8_t class_raw = 15; // in a control nibble: the value's 8 bytes follow as they are
constexpr int zstd_level = 1;

constexpr std::array<double, 16> pow10{1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                       1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
constexpr double mantissa_max = 9007199254740992.0; // 2^53

bool try_exponent(double v, int e, decimal& out) noexcept {
  const double scaled = std::nearbyint(v * pow10[static_cast<std::size_t>(e)]);
  if (!(std::fabs(scaled) < mantissa_max) || scaled / pow10[static_cast<std::size_t>(e)] != v)
    return false;
  out.mantissa = static_cast<std::int64_t>(scaled);
  out.exponent = e;
  return true;
}

} // namespace

bool to_decimal(double v, int hint, decimal& out) noexcept {
  if (!(std::fabs(v) < mantissa_max) || (v == 0 && std::signbit(v)))
    return false;
  if (static_cast<double>(static_cast<std::int64_t>(v)) == v) {
    out = {static_cast<std::int64_t>(v), 0};
    return true;
  }
  if (hint > 0 && hint < 15 && try_exponent(v, hint, out))
    return true;
  for (int e = 1; e < 15; ++e)
    if (try_exponent(v, e, out))
      return true;
  return false;
}

double from_decimal(decimal d) noexcept {
  return static_cast<double>(d.mantissa) / pow10[static_cast<std::size_t>(d.exponent)];
}

// Layout: codec id u8, bytes before compression varint, zstd frame of: control nibbles (one a value, low nibble
// first: 0 to 14 the exponent, 15 raw bits), then mantissas as zigzag varints or raw bits, in order.
struct value_encoder::impl {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  byte_buffer plain;
  ~impl() { ZSTD_freeCCtx(context); }
};

value_encoder::value_encoder() : impl_(std::make_unique<impl>()) {}
value_encoder::~value_encoder() = default;

void value_encoder::encode(std::span<const double> values, byte_buffer& out) {
  assert(values.size() <= frame_values_max);
  auto& plain = impl_->plain;
  plain.clear();
  const auto control_bytes = (values.size() + 1) / 2;
  plain.resize(control_bytes);
  byte_writer w{plain};
  int hint = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    decimal d;
    std::uint8_t nibble = class_raw;
    if (to_decimal(values[i], hint, d)) {
      nibble = static_cast<std::uint8_t>(d.exponent);
      if (d.exponent != 0)
        hint = d.exponent;
      w.signed_varint(d.mantissa);
    } else {
      w.fixed(values[i]);
    }
    plain[i / 2] |= static_cast<std::byte>(i % 2 == 0 ? nibble : nibble << 4);
  }
  byte_writer head{out};
  head.fixed(codec_decimal_zstd);
  head.varint(plain.size());
  const auto at = out.size();
  out.resize(at + ZSTD_compressBound(plain.size()));
  const auto n = ZSTD_compressCCtx(impl_->context, out.data() + at, out.size() - at, plain.data(), plain.size(),
                                   zstd_level);
  assert(!ZSTD_isError(n)); // the bound was reserved
  out.resize(at + n);
}

struct value_decoder::impl {
  ZSTD_DCtx* context = ZSTD_createDCtx();
  byte_buffer plain;
  ~impl() { ZSTD_freeDCtx(context); }
};

value_decoder::value_decoder() : impl_(std::make_unique<impl>()) {}
value_decoder::~value_decoder() = default;

result<void> value_decoder::decode(bytes_view from, std::span<double> values) {
  const auto damaged = [] { return fail(errc::malformed, "the values of a frame do not decode"); };
  byte_reader head{from};
  if (const auto codec = head.fixed<std::uint8_t>(); !head.failed() && codec != codec_decimal_zstd)
    return fail(errc::unsupported_version, fmt::format("value codec {} is unknown", codec));
  const auto plain_bytes = head.varint();
  const auto control_bytes = (values.size() + 1) / 2;
  if (head.failed() || plain_bytes < control_bytes + values.size()
      || plain_bytes > control_bytes + values.size() * 10)
    return damaged();
  auto& plain = impl_->plain;
  plain.resize(plain_bytes);
  const auto packed = head.rest();
  const auto n = ZSTD_decompressDCtx(impl_->context, plain.data(), plain.size(), packed.data(), packed.size());
  if (ZSTD_isError(n) || n != plain_bytes)
    return damaged();
  byte_reader r{bytes_view{plain}.subspan(control_bytes)};
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto control = static_cast<std::uint8_t>(plain[i / 2]);
    const std::uint8_t nibble = i % 2 == 0 ? control & 0x0f : control >> 4;
    values[i] = nibble == class_raw ? r.fixed<double>() : from_decimal({r.signed_varint(), nibble});
  }
  if (r.failed() || r.remaining() != 0)
    return damaged();
  return ok();
}

} // namespace skerry
