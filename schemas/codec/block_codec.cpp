// The layout of a block: docs/formats.md#block.
//
// Header (32 bytes), then one zstd frame over: time unit u8, first time, deltas of deltas of the times
// (signed varints); the byte length of each column (varints); the columns. A column: control u8 (kind, bits
// below); where bit_partial is set a bitmap of its rows; then by kind
//   constant: exponent u8, mantissa (signed varint), or with bit_raw the value's 8 bytes
//   delta, delta2: exponent u8, with bit_scaled the divisor (varint), with bit_exceptions their count, then
//   of each
//     the distance from the one before (varints) and 8 raw bytes; then mantissas / divisor as signed varints
//     of differences
//   xored: each value's bits XOR those of the one before, one byte plane after the other

#include "schemas/codec/block_codec.hpp"

#include "schemas/codec/value_codec.hpp"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cassert>
#include <cmath>
#include <numeric>
#include <xxhash.h>
#include <zstd.h>

namespace skerry {

namespace {

constexpr std::uint8_t codec_columns_zstd = 1;
constexpr int zstd_level = 5;

enum class column_kind : std::uint8_t { empty = 0, constant = 1, delta = 2, delta2 = 3, xored = 4 };
constexpr std::uint8_t kind_mask = 0x07;
constexpr std::uint8_t bit_partial = 0x08;
constexpr std::uint8_t bit_exceptions = 0x10;
constexpr std::uint8_t bit_scaled = 0x20;
constexpr std::uint8_t bit_raw = 0x40;
constexpr std::uint8_t bits_known = 0x7f;

struct raw_block {
  std::uint32_t magic = block_magic;
  std::uint8_t version = block_version;
  std::uint8_t codec = codec_columns_zstd;
  std::uint16_t columns = 0;
  std::uint64_t checksum = 0; // of everything else: the eight bytes before are the seed
  std::uint32_t rows = 0;
  std::uint32_t plain_bytes = 0;
  std::uint32_t bytes = 0; // header and zstd frame
  std::uint32_t reserved = 0;
};
static_assert(sizeof(raw_block) == block_header_bytes);

constexpr std::int64_t unit_ns[] = {1, 1'000, 1'000'000, 1'000'000'000};
constexpr std::array<std::int64_t, 16> ten_to = [] {
  std::array<std::int64_t, 16> all{};
  std::int64_t power = 1;
  for (auto& each : all) {
    each = power;
    power *= 10;
  }
  return all;
}();
constexpr std::int64_t mantissa_max = std::int64_t{1} << 53;
constexpr std::size_t column_bytes_max = 1 + block_rows_max / 8 + 32 + block_rows_max * 20;

std::uint64_t block_checksum(const std::byte* at, std::size_t bytes) noexcept {
  std::uint64_t seed;
  std::memcpy(&seed, at, sizeof seed);
  return XXH3_64bits_withSeed(at + 16, bytes - 16, seed);
}

// Differences of times wrap around, so that every int64 goes.
std::int64_t minus(std::int64_t a, std::int64_t b) noexcept {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}
std::int64_t plus(std::int64_t a, std::int64_t b) noexcept {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

// The scaling of a neighbour usually fits: tried inline, without the library call that rounding costs
// otherwise.
bool scaled_like(double v, int exponent, std::int64_t& mantissa) noexcept {
  constexpr double rounder = 6755399441055744.0; // 1.5 × 2^52: adding it rounds to an integer
  const auto power = static_cast<double>(ten_to[static_cast<std::size_t>(exponent)]);
  const double scaled = v * power;
  if (!(std::fabs(scaled) < 2251799813685248.0)) // 2^51
    return false;
  const double rounded = (scaled + rounder) - rounder;
  if (rounded / power != v || (rounded == 0 && std::signbit(v)))
    return false;
  mantissa = static_cast<std::int64_t>(rounded);
  return true;
}

unsigned varint_bytes(std::int64_t v) noexcept {
  return (static_cast<unsigned>(std::bit_width(zigzag(v) | 1)) + 6) / 7;
}

std::byte* put_varint(std::byte* at, std::uint64_t value) noexcept {
  while (value >= 0x80) {
    *at++ = static_cast<std::byte>(value | 0x80);
    value >>= 7;
  }
  *at++ = static_cast<std::byte>(value);
  return at;
}

} // namespace

struct block_encoder::impl {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  byte_buffer plain;
  byte_buffer body;
  std::vector<double> dense;
  std::vector<std::int64_t> mantissas;
  std::vector<std::uint8_t> exponents;
  std::vector<std::uint32_t> exceptions;
  ~impl() { ZSTD_freeCCtx(context); }

  void encode_times(std::span<const std::int64_t> times);
  void encode_column(std::span<const double> values, std::span<const std::uint64_t> present);
  bool encode_decimals(std::uint8_t flags);
  void encode_xored(std::uint8_t flags);
  void start_column(column_kind kind, std::uint8_t flags) {
    byte_writer{body}.fixed(static_cast<std::uint8_t>(static_cast<std::uint8_t>(kind) | flags));
    if ((flags & bit_partial) != 0)
      body.insert(body.end(), bitmap.begin(), bitmap.end());
  }
  bytes_view bitmap; // of the column at hand
};

block_encoder::block_encoder() : impl_(std::make_unique<impl>()) {}
block_encoder::~block_encoder() = default;

void block_encoder::impl::encode_times(std::span<const std::int64_t> times) {
  std::uint8_t unit = 3;
  for (const auto t : times)
    while (t % unit_ns[unit] != 0)
      --unit;
  byte_writer w{plain};
  w.fixed(unit);
  std::int64_t before = 0;
  std::int64_t step = 0;
  for (const auto t : times) {
    const auto scaled = t / unit_ns[unit];
    const auto delta = minus(scaled, before);
    w.signed_varint(minus(delta, step));
    before = scaled;
    step = delta;
  }
}

bool block_encoder::impl::encode_decimals(std::uint8_t flags) {
  const auto n = dense.size();
  mantissas.resize(n);
  exponents.resize(n);
  exceptions.clear();
  const auto exceptions_max = n / 8 + 1;
  int hint = 0;
  int exponent = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double v = dense[i];
    if (i > 0 && std::bit_cast<std::uint64_t>(v) == std::bit_cast<std::uint64_t>(dense[i - 1])) {
      mantissas[i] = mantissas[i - 1];
      exponents[i] = exponents[i - 1];
      if (!exceptions.empty() && exceptions.back() == i - 1)
        exceptions.push_back(static_cast<std::uint32_t>(i));
    } else if (hint > 0 && scaled_like(v, hint, mantissas[i])) {
      exponents[i] = static_cast<std::uint8_t>(hint);
    } else if (decimal d; to_decimal(v, hint, d)) {
      mantissas[i] = d.mantissa;
      exponents[i] = static_cast<std::uint8_t>(d.exponent);
      hint = std::max(hint, d.exponent);
    } else { // stands for the value before it, and is patched
      exceptions.push_back(static_cast<std::uint32_t>(i));
      mantissas[i] = i > 0 ? mantissas[i - 1] : 0;
      exponents[i] = i > 0 ? exponents[i - 1] : 0;
    }
    if (exceptions.size() > exceptions_max)
      return false;
    exponent = std::max<int>(exponent, exponents[i]);
  }
  for (std::size_t i = 0; i < n; ++i) {
    if (exponents[i] == exponent)
      continue;
    if (__builtin_mul_overflow(mantissas[i], ten_to[static_cast<std::size_t>(exponent - exponents[i])],
                               &mantissas[i])
        || mantissas[i] <= -mantissa_max || mantissas[i] >= mantissa_max)
      return false;
  }
  // All mantissas lie within ±2^53, so that differences of differences fit.
  std::uint64_t divisor = 0;
  std::size_t cost1 = 0;
  std::size_t cost2 = 0;
  std::int64_t before = 0;
  std::int64_t step = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const auto m = mantissas[i];
    const auto delta = m - before;
    if (divisor != 1 && delta != 0)
      divisor = std::gcd(divisor, static_cast<std::uint64_t>(delta < 0 ? -delta : delta));
    cost1 += varint_bytes(delta);
    cost2 += varint_bytes(delta - step);
    before = m;
    step = delta;
  }
  const auto kind = cost2 < cost1 ? column_kind::delta2 : column_kind::delta;
  if (divisor > 1)
    flags |= bit_scaled;
  if (!exceptions.empty())
    flags |= bit_exceptions;
  start_column(kind, flags);
  byte_writer w{body};
  w.fixed(static_cast<std::uint8_t>(exponent));
  if (divisor > 1)
    w.varint(divisor);
  if (!exceptions.empty()) {
    w.varint(exceptions.size());
    std::uint32_t last = 0;
    for (const auto i : exceptions) {
      w.varint(i - last);
      w.fixed(dense[i]);
      last = i;
    }
  }
  const auto at = body.size();
  body.resize(at + n * 10);
  auto* out = body.data() + at;
  before = 0;
  step = 0;
  const auto by = static_cast<std::int64_t>(std::max<std::uint64_t>(divisor, 1));
  for (std::size_t i = 0; i < n; ++i) {
    const auto m = by == 1 ? mantissas[i] : mantissas[i] / by;
    const auto delta = m - before;
    out = put_varint(out, zigzag(kind == column_kind::delta2 ? delta - step : delta));
    before = m;
    step = delta;
  }
  body.resize(static_cast<std::size_t>(out - body.data()));
  return true;
}

void block_encoder::impl::encode_xored(std::uint8_t flags) {
  start_column(column_kind::xored, flags);
  const auto n = dense.size();
  const auto at = body.size();
  body.resize(at + n * 8);
  auto* out = body.data() + at;
  std::uint64_t before = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const auto bits = std::bit_cast<std::uint64_t>(dense[i]);
    const auto x = bits ^ before;
    before = bits;
    for (std::size_t plane = 0; plane < 8; ++plane)
      out[plane * n + i] = static_cast<std::byte>(x >> (plane * 8));
  }
}

void block_encoder::impl::encode_column(std::span<const double> values,
                                        std::span<const std::uint64_t> present) {
  std::uint8_t flags = 0;
  dense.clear();
  std::size_t count = values.size();
  if (!present.empty()) {
    count = 0;
    for (const auto word : present)
      count += static_cast<std::size_t>(std::popcount(word));
  }
  if (count == values.size()) {
    dense.assign(values.begin(), values.end());
  } else {
    for (std::size_t r = 0; r < values.size(); ++r)
      if ((present[r / 64] >> (r % 64) & 1) != 0)
        dense.push_back(values[r]);
    if (dense.empty()) {
      start_column(column_kind::empty, 0);
      return;
    }
    flags |= bit_partial;
    bitmap = std::as_bytes(present).first((values.size() + 7) / 8);
  }
  const auto bits = std::bit_cast<std::uint64_t>(dense[0]);
  bool constant = true;
  for (const auto v : dense)
    constant = constant && std::bit_cast<std::uint64_t>(v) == bits;
  if (constant) {
    decimal d;
    const bool scaled = to_decimal(dense[0], 0, d);
    start_column(column_kind::constant, flags | (scaled ? 0 : bit_raw));
    byte_writer w{body};
    if (scaled) {
      w.fixed(static_cast<std::uint8_t>(d.exponent));
      w.signed_varint(d.mantissa);
    } else {
      w.fixed(dense[0]);
    }
    return;
  }
  if (!encode_decimals(flags))
    encode_xored(flags);
}

void block_encoder::encode(const block_view& from, byte_buffer& out) {
  const auto rows = from.times_ns.size();
  assert(rows > 0 && rows <= block_rows_max);
  assert(from.columns > 0 && from.columns <= block_columns_max && from.values.size() == from.columns * rows);
  assert(from.present.empty() || from.present.size() == from.columns * row_words(rows));
  auto& plain = impl_->plain;
  auto& body = impl_->body;
  plain.clear();
  body.clear();
  impl_->encode_times(from.times_ns);
  byte_writer w{plain};
  for (std::size_t c = 0; c < from.columns; ++c) {
    const auto at = body.size();
    impl_->encode_column(from.values.subspan(c * rows, rows),
                         from.present.empty() ? from.present
                                              : from.present.subspan(c * row_words(rows), row_words(rows)));
    w.varint(body.size() - at);
  }
  w.bytes(body);

  const auto at = out.size();
  out.resize(at + block_header_bytes + ZSTD_compressBound(plain.size()));
  const auto n =
      ZSTD_compressCCtx(impl_->context, out.data() + at + block_header_bytes,
                        out.size() - at - block_header_bytes, plain.data(), plain.size(), zstd_level);
  assert(!ZSTD_isError(n)); // the bound was reserved
  out.resize(at + block_header_bytes + n);
  raw_block raw;
  raw.columns = static_cast<std::uint16_t>(from.columns);
  raw.rows = static_cast<std::uint32_t>(rows);
  raw.plain_bytes = static_cast<std::uint32_t>(plain.size());
  raw.bytes = static_cast<std::uint32_t>(block_header_bytes + n);
  std::memcpy(out.data() + at, &raw, sizeof raw);
  raw.checksum = block_checksum(out.data() + at, raw.bytes);
  std::memcpy(out.data() + at, &raw, sizeof raw);
}

struct block_decoder::impl {
  ZSTD_DCtx* context = ZSTD_createDCtx();
  byte_buffer plain;
  std::vector<double> dense;
  ~impl() { ZSTD_freeDCtx(context); }
};

block_decoder::block_decoder() : impl_(std::make_unique<impl>()) {}
block_decoder::~block_decoder() = default;

namespace {

auto damaged_block() { return fail(errc::malformed, "a block does not decode"); }

} // namespace

result<void> block_decoder::open(bytes_view from) {
  times_.clear();
  ends_.clear();
  raw_block raw;
  if (from.size() < block_header_bytes)
    return fail(errc::malformed, "a block is cut off in its header");
  std::memcpy(&raw, from.data(), sizeof raw);
  if (raw.magic != block_magic)
    return fail(errc::malformed, "no block starts here: the magic number does not match");
  if (raw.version > block_version || raw.codec != codec_columns_zstd)
    return fail(
        errc::unsupported_version,
        fmt::format("block format {} with codec {} is unknown to this build", raw.version, raw.codec));
  if (raw.bytes < block_header_bytes || raw.bytes > from.size())
    return fail(errc::malformed,
                fmt::format("a block of {} bytes does not fit into {}", raw.bytes, from.size()));
  if (raw.checksum != block_checksum(from.data(), raw.bytes))
    return fail(errc::corrupt, "the checksum of a block does not match");
  if (raw.rows == 0 || raw.rows > block_rows_max || raw.columns == 0 || raw.columns > block_columns_max
      || raw.plain_bytes > 1 + raw.rows * 10 + raw.columns * (5 + column_bytes_max))
    return damaged_block();
  // Memory only for what the compressed frame itself announces.
  const auto packed = from.first(raw.bytes).subspan(block_header_bytes);
  if (ZSTD_getFrameContentSize(packed.data(), packed.size()) != raw.plain_bytes)
    return damaged_block();
  auto& plain = impl_->plain;
  plain.resize(raw.plain_bytes);
  const auto n =
      ZSTD_decompressDCtx(impl_->context, plain.data(), plain.size(), packed.data(), packed.size());
  if (ZSTD_isError(n) || n != raw.plain_bytes)
    return damaged_block();

  byte_reader r{plain};
  const auto unit = r.fixed<std::uint8_t>();
  if (r.failed() || unit >= std::size(unit_ns))
    return damaged_block();
  times_.resize(raw.rows);
  std::int64_t before = 0;
  std::int64_t step = 0;
  bool bad = false;
  for (auto& t : times_) {
    step = plus(step, r.signed_varint());
    before = plus(before, step);
    bad = __builtin_mul_overflow(before, unit_ns[unit], &t) || bad;
  }
  ends_.resize(raw.columns);
  std::uint64_t end = 0;
  for (auto& each : ends_) {
    const auto bytes = r.varint();
    bad = bad || bytes > column_bytes_max;
    end += bad ? 0 : bytes;
    each = static_cast<std::uint32_t>(end);
  }
  if (r.failed() || bad || r.remaining() != end) {
    times_.clear();
    ends_.clear();
    return damaged_block();
  }
  columns_at_ = r.position();
  return ok();
}

result<void> block_decoder::column(std::size_t column, std::span<double> values,
                                   std::span<std::uint64_t> present) {
  const auto rows = times_.size();
  assert(column < ends_.size() && values.size() == rows && present.size() == row_words(rows));
  const std::size_t begin = column == 0 ? 0 : ends_[column - 1];
  byte_reader r{bytes_view{impl_->plain}.subspan(columns_at_ + begin, ends_[column] - begin)};
  const auto control = r.fixed<std::uint8_t>();
  const auto kind = static_cast<column_kind>(control & kind_mask);
  if (r.failed() || kind > column_kind::xored || (control & ~bits_known) != 0)
    return damaged_block();
  std::fill(present.begin(), present.end(), 0);
  if (kind == column_kind::empty)
    return r.remaining() == 0 ? result<void>{ok()} : damaged_block();

  const bool partial = (control & bit_partial) != 0;
  std::size_t n = rows;
  if (partial) {
    const auto bits = r.bytes((rows + 7) / 8);
    if (r.failed())
      return damaged_block();
    std::memcpy(present.data(), bits.data(), bits.size());
    if (rows % 64 != 0 && (present.back() >> (rows % 64)) != 0)
      return damaged_block();
    n = 0;
    for (const auto word : present)
      n += static_cast<std::size_t>(std::popcount(word));
  } else {
    std::fill(present.begin(), present.end(), ~std::uint64_t{0});
    if (rows % 64 != 0)
      present.back() = (std::uint64_t{1} << (rows % 64)) - 1;
  }
  if (partial)
    impl_->dense.resize(n);
  const auto out = partial ? std::span{impl_->dense} : values;

  const auto read_exponent = [&] {
    const auto e = r.fixed<std::uint8_t>();
    return e < ten_to.size() ? static_cast<std::size_t>(e) : ten_to.size();
  };
  if (kind == column_kind::constant) {
    double v = 0;
    if ((control & bit_raw) != 0) {
      v = r.fixed<double>();
    } else {
      const auto e = read_exponent();
      const auto m = r.signed_varint();
      if (e == ten_to.size())
        return damaged_block();
      v = from_decimal({m, static_cast<int>(e)});
    }
    std::fill(out.begin(), out.end(), v);
  } else if (kind == column_kind::xored) {
    const auto planes = r.bytes(n * 8);
    if (r.failed())
      return damaged_block();
    std::uint64_t before = 0;
    for (std::size_t i = 0; i < n; ++i) {
      std::uint64_t x = 0;
      for (std::size_t plane = 0; plane < 8; ++plane)
        x |= static_cast<std::uint64_t>(planes[plane * n + i]) << (plane * 8);
      before ^= x;
      out[i] = std::bit_cast<double>(before);
    }
  } else {
    const auto exponent = read_exponent();
    const auto divisor = (control & bit_scaled) != 0 ? r.varint() : 1;
    if (r.failed() || exponent == ten_to.size() || divisor == 0 || divisor > 2 * mantissa_max)
      return damaged_block();
    byte_reader exceptions{{}};
    std::uint64_t exception_count = 0;
    if ((control & bit_exceptions) != 0) {
      exception_count = r.varint();
      if (exception_count > n)
        return damaged_block();
      exceptions = r;
      for (std::uint64_t i = 0; i < exception_count; ++i) {
        (void)r.varint();
        (void)r.fixed<double>();
      }
    }
    const auto power = static_cast<double>(ten_to[exponent]);
    std::uint64_t m = 0; // unsigned: damaged bytes may overflow
    std::uint64_t step = 0;
    for (auto& v : out) {
      const auto d = static_cast<std::uint64_t>(r.signed_varint());
      step = kind == column_kind::delta2 ? step + d : d;
      m += step;
      const auto whole = static_cast<double>(static_cast<std::int64_t>(m * divisor));
      v = exponent == 0 ? whole : whole / power;
    }
    std::uint64_t at = 0;
    for (std::uint64_t i = 0; i < exception_count; ++i) {
      const auto distance = exceptions.varint();
      const auto v = exceptions.fixed<double>();
      if (exceptions.failed() || distance > n || (at += distance) >= n)
        return damaged_block();
      out[at] = v;
    }
  }
  if (r.failed() || r.remaining() != 0)
    return damaged_block();
  if (partial) {
    std::size_t next = 0;
    for (std::size_t r2 = 0; r2 < rows; ++r2)
      if ((present[r2 / 64] >> (r2 % 64) & 1) != 0)
        values[r2] = out[next++];
  }
  return ok();
}

} // namespace skerry
