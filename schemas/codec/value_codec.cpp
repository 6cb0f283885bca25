#include "schemas/codec/value_codec.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstdlib>
#include <zstd.h>

namespace skerry {

namespace {

// Encoded values, codec 1: id u8, then what follows as it is. Codec 2: id u8, its length as a varint, then a
// zstd frame of it without the magic number. What follows:
//
//   controls   one byte a value: scale in the high five bits, mantissa bytes n in the low three
//   mantissas  one after the other: n bytes, little-endian, unsigned, below 2^53
//
//   scale 0 to 12    mantissa / 10^scale
//   scale 13, 14, 15 mantissa × 1e-3, 1e-6, 1e-9: what is left of a decimal after a multiplication in
//   floating point,
//                    as exporters of milliseconds, microseconds and nanoseconds write it
//   scale 16, 17     mantissa × 512, × 4096: sectors and pages
//   scale 18 to 30   -mantissa / 10^(scale - 18)
//   scale 31         n is 0, and eight bytes follow: the double itself
//
// Zero is the control byte 0. Lengths stand apart from mantissas because they repeat and mantissas do not; a
// prefix of lengths lets the decoder check all bounds first and then run without branches.
constexpr std::uint8_t codec_plain = 1;
constexpr std::uint8_t codec_zstd = 2;
constexpr int values_zstd_level = 1;
constexpr std::size_t zstd_magic_bytes = 4;
constexpr std::array<std::byte, zstd_magic_bytes> zstd_magic{std::byte{0x28}, std::byte{0xb5},
                                                             std::byte{0x2f}, std::byte{0xfd}};

constexpr int decimals_max = 12;
constexpr std::uint8_t scale_noise = 13;
constexpr std::uint8_t scale_sectors = 16;
constexpr std::uint8_t scale_pages = 17;
constexpr std::uint8_t scale_negative = 18;
constexpr std::uint8_t control_raw = 31 << 3;

constexpr std::array<double, 16> pow10{1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                       1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
constexpr std::array<double, 3> noise_factor{1e-3, 1e-6, 1e-9};
constexpr std::array<double, 3> noise_inverse{1e3, 1e6, 1e9};
constexpr double values_mantissa_max = 9007199254740992.0; // 2^53

// value = mantissa × factor / divisor; one of the two is always 1 or -1, so only the other one rounds.
struct scale_table {
  std::array<double, 32> factor{};
  std::array<double, 32> divisor{};
  std::array<std::uint8_t, 256> bytes{}; // of a control's mantissa; 0xff where no such control exists
};
constexpr scale_table make_scales() {
  scale_table t;
  t.factor.fill(1);
  t.divisor.fill(1);
  for (std::size_t e = 0; e <= decimals_max; ++e) {
    t.divisor[e] = pow10[e];
    t.divisor[scale_negative + e] = pow10[e];
    t.factor[scale_negative + e] = -1;
  }
  for (std::size_t i = 0; i < 3; ++i)
    t.factor[scale_noise + i] = noise_factor[i];
  t.factor[scale_sectors] = 512;
  t.factor[scale_pages] = 4096;
  for (std::size_t c = 0; c < 256; ++c)
    t.bytes[c] = static_cast<std::uint8_t>(c < control_raw ? c & 7 : c == control_raw ? 8 : 0xff);
  return t;
}
constexpr scale_table scales = make_scales();

// Half away from zero. What rounds wrongly close to 2^53 fails the check that follows every use.
std::int64_t round_to_int(double v) noexcept { return static_cast<std::int64_t>(v + (v < 0 ? -0.5 : 0.5)); }

bool try_exponent(double v, int e, decimal& out) noexcept {
  const double power = pow10[static_cast<std::size_t>(e)];
  const double scaled = v * power;
  if (!(std::fabs(scaled) < values_mantissa_max))
    return false;
  const auto mantissa = round_to_int(scaled);
  if (static_cast<double>(mantissa) / power != v)
    return false;
  out = {mantissa, e};
  return true;
}

struct scaled_value {
  std::uint64_t mantissa = 0;
  std::uint8_t scale = 0;
};

// Precondition: |v| < 2^53, not a whole number. `hint` is the last exponent that fitted.
bool find_scale(double v, int& hint, scaled_value& out) noexcept {
  decimal d;
  if (to_decimal(v, hint, d) && d.exponent <= decimals_max + 2) {
    while (d.mantissa % 10 == 0) { // the hint had more digits than it takes
      d.mantissa /= 10;
      --d.exponent;
    }
    if (d.exponent <= decimals_max) {
      hint = d.exponent;
      out.mantissa = static_cast<std::uint64_t>(std::abs(d.mantissa));
      out.scale = static_cast<std::uint8_t>(d.exponent + (d.mantissa < 0 ? scale_negative : 0));
      return true;
    }
  }
  return false;
}

bool find_noise(double v, scaled_value& out) noexcept {
  if (v < 0)
    return false;
  for (std::size_t i = 0; i < noise_factor.size(); ++i) {
    const double scaled = v * noise_inverse[i];
    if (!(scaled < values_mantissa_max))
      return false;
    const auto mantissa = round_to_int(scaled);
    if (static_cast<double>(mantissa) * noise_factor[i] == v) {
      out.mantissa = static_cast<std::uint64_t>(mantissa);
      out.scale = static_cast<std::uint8_t>(scale_noise + i);
      return true;
    }
  }
  return false;
}

} // namespace

bool to_decimal(double v, int hint, decimal& out) noexcept {
  if (!(std::fabs(v) < values_mantissa_max) || (v == 0 && std::signbit(v)))
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

struct value_encoder::impl {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  byte_buffer plain;
  byte_buffer packed;

  impl() {
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, values_zstd_level);
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  }
  ~impl() { ZSTD_freeCCtx(context); }
  impl(const impl&) = delete;
  impl& operator=(const impl&) = delete;
};

value_encoder::value_encoder() : impl_(std::make_unique<impl>()) {}
value_encoder::~value_encoder() = default;

void value_encoder::encode(std::span<const double> values, byte_buffer& out) {
  assert(values.size() <= frame_values_max);
  auto& plain = impl_->plain;
  if (plain.size() < values.size() * 9)
    plain.resize(values.size() * 9);
  auto* control = plain.data();
  auto* to = plain.data() + values.size();
  int hint = 0;
  for (const double v : values) {
    scaled_value s;
    if (!(std::fabs(v) < values_mantissa_max) || (v == 0 && std::signbit(v))) {
      s.scale = 31;
    } else if (const auto whole = static_cast<std::int64_t>(v); static_cast<double>(whole) == v) {
      s.mantissa = static_cast<std::uint64_t>(std::abs(whole));
      s.scale = whole < 0 ? scale_negative : 0;
      if (whole > 0 && s.mantissa % 512 == 0) {
        const bool pages = s.mantissa % 4096 == 0;
        s.mantissa >>= pages ? 12 : 9;
        s.scale = pages ? scale_pages : scale_sectors;
      }
    } else if (!find_scale(v, hint, s) && !find_noise(v, s)) {
      s.scale = 31;
    }
    if (s.scale == 31) {
      *control++ = std::byte{control_raw};
      std::memcpy(to, &v, sizeof v);
      to += sizeof v;
      continue;
    }
    const auto n = (static_cast<unsigned>(std::bit_width(s.mantissa)) + 7) / 8;
    *control++ = static_cast<std::byte>(s.scale << 3 | n);
    std::memcpy(to, &s.mantissa, sizeof s.mantissa); // at most 8 bytes a value: never past the end
    to += n;
  }
  const auto plain_bytes = static_cast<std::size_t>(to - plain.data());

  auto& packed = impl_->packed;
  const auto bound = ZSTD_compressBound(plain_bytes);
  if (packed.size() < bound)
    packed.resize(bound);
  const auto n = ZSTD_compress2(impl_->context, packed.data(), packed.size(), plain.data(), plain_bytes);
  byte_writer w{out};
  if (ZSTD_isError(n) || n - zstd_magic_bytes >= plain_bytes) {
    w.fixed(codec_plain);
    w.bytes(bytes_view{plain}.first(plain_bytes));
    return;
  }
  w.fixed(codec_zstd);
  w.varint(plain_bytes);
  w.bytes(bytes_view{packed}.subspan(zstd_magic_bytes, n - zstd_magic_bytes));
}

namespace {

// A context takes 96 KiB, and there may be a decoder for each of a thousand shards.
struct decoder_scratch {
  ZSTD_DCtx* context = nullptr; // made when first needed
  byte_buffer plain;
  byte_buffer packed;

  decoder_scratch() = default;
  ~decoder_scratch() { ZSTD_freeDCtx(context); }
  decoder_scratch(const decoder_scratch&) = delete;
  decoder_scratch& operator=(const decoder_scratch&) = delete;
};
thread_local decoder_scratch scratch;

} // namespace

result<void> value_decoder::decode(bytes_view from, std::span<double> values) const {
  const auto damaged = [] { return fail(errc::malformed, "the values of a frame do not decode"); };
  byte_reader head{from};
  const auto codec = head.fixed<std::uint8_t>();
  if (head.failed())
    return damaged();
  if (codec != codec_plain && codec != codec_zstd)
    return fail(errc::unsupported_version, fmt::format("value codec {} is unknown", codec));
  const auto plain_bytes = codec == codec_plain ? head.remaining() : head.varint();
  if (head.failed() || plain_bytes < values.size() || plain_bytes > values.size() * 9)
    return damaged();
  // Mantissas are read eight bytes at a time, the last ones past their end.
  auto& [context, plain, packed] = scratch;
  if (plain.size() < plain_bytes + 8)
    plain.resize(plain_bytes + 8);
  const auto rest = head.rest();
  if (codec == codec_plain) {
    std::copy(rest.begin(), rest.end(), plain.begin());
  } else {
    if (packed.size() < zstd_magic_bytes + rest.size())
      packed.resize(zstd_magic_bytes + rest.size());
    std::copy(rest.begin(), rest.end(), std::copy(zstd_magic.begin(), zstd_magic.end(), packed.begin()));
    if (context == nullptr)
      context = ZSTD_createDCtx();
    const auto n = ZSTD_decompressDCtx(context, plain.data(), plain_bytes, packed.data(),
                                       zstd_magic_bytes + rest.size());
    if (ZSTD_isError(n) || n != plain_bytes)
      return damaged();
  }

  std::size_t mantissa_bytes = 0;
  bool known = true;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto n = scales.bytes[static_cast<std::uint8_t>(plain[i])];
    known &= n != 0xff;
    mantissa_bytes += n;
  }
  if (!known || values.size() + mantissa_bytes != plain_bytes)
    return damaged();
  const auto* at = plain.data() + values.size();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto control = static_cast<std::uint8_t>(plain[i]);
    std::uint64_t mantissa;
    std::memcpy(&mantissa, at, sizeof mantissa);
    if (control == control_raw) {
      values[i] = std::bit_cast<double>(mantissa);
      at += 8;
      continue;
    }
    const unsigned n = control & 7;
    mantissa &= (std::uint64_t{1} << (8 * n)) - 1;
    at += n;
    const auto scale = control >> 3;
    values[i] = static_cast<double>(static_cast<std::int64_t>(mantissa)) * scales.factor[scale]
                / scales.divisor[scale];
  }
  return ok();
}

} // namespace skerry
