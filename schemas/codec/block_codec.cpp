// The layout of a block: docs/formats.md#block.
//
// Header (32 bytes), the index as one zstd frame, then the groups, each one zstd frame over its columns. The index:
// time unit u8, first time, deltas of deltas of the times (signed varints); the byte length of each column (varints);
// the number of groups, and of each its columns and bytes (varints) and its checksum (u32). Codec 1, which is only
// read, has one zstd frame over times, lengths and all columns. A column: control u8 (kind, bits below); where
// bit_partial is set a bitmap of its rows; then by kind
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
#include <optional>
#include <xxhash.h>
#include <zstd.h>

namespace skerry {

namespace {

constexpr std::uint8_t codec_columns_zstd = 1;
constexpr std::uint8_t codec_groups_zstd = 2;
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
  std::uint8_t codec = codec_groups_zstd;
  std::uint16_t columns = 0;
  std::uint64_t checksum = 0; // of the rest of header and index: the eight bytes before are the seed
  std::uint32_t rows = 0;
  std::uint32_t plain_bytes = 0; // of the index
  std::uint32_t bytes = 0;       // of everything
  std::uint32_t head_bytes = 0;  // header and index; 0 with codec 1, whose checksum is of everything
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

std::uint32_t group_checksum(std::uint64_t seed, std::size_t group, bytes_view packed) noexcept {
  return static_cast<std::uint32_t>(XXH3_64bits_withSeed(packed.data(), packed.size(), seed + group));
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
  byte_buffer packed;
  std::vector<double> dense;
  std::vector<std::int64_t> mantissas;
  std::vector<std::uint8_t> exponents;
  std::vector<std::uint32_t> exceptions;
  ~impl() { ZSTD_freeCCtx(context); }

  void encode_times(std::span<const std::int64_t> times);
  void encode_column(std::span<const double> values, std::span<const std::uint64_t> present);
  bool encode_decimals(std::uint8_t flags);
  void pack(bytes_view from, byte_buffer& out);
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

void block_encoder::impl::pack(bytes_view from, byte_buffer& out) {
  const auto at = out.size();
  out.resize(at + ZSTD_compressBound(from.size()));
  const auto n =
      ZSTD_compressCCtx(context, out.data() + at, out.size() - at, from.data(), from.size(), zstd_level);
  assert(!ZSTD_isError(n)); // the bound was reserved
  out.resize(at + n);
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
  struct cut {
    std::size_t columns = 0;
    std::size_t end = 0;
  };
  std::vector<cut> cuts;
  for (std::size_t c = 0; c < from.columns; ++c) {
    const auto at = body.size();
    impl_->encode_column(from.values.subspan(c * rows, rows),
                         from.present.empty() ? from.present
                                              : from.present.subspan(c * row_words(rows), row_words(rows)));
    w.varint(body.size() - at);
    if (cuts.empty() || at - (cuts.size() < 2 ? 0 : cuts[cuts.size() - 2].end) >= block_group_bytes)
      cuts.emplace_back();
    ++cuts.back().columns;
    cuts.back().end = body.size();
  }
  raw_block raw;
  raw.columns = static_cast<std::uint16_t>(from.columns);
  raw.rows = static_cast<std::uint32_t>(rows);
  std::uint64_t seed;
  std::memcpy(&seed, &raw, sizeof seed);
  auto& packed = impl_->packed;
  packed.clear();
  w.varint(cuts.size());
  std::size_t begin = 0;
  for (std::size_t g = 0; g < cuts.size(); ++g) {
    const auto at = packed.size();
    impl_->pack(bytes_view{body}.subspan(begin, cuts[g].end - begin), packed);
    begin = cuts[g].end;
    w.varint(cuts[g].columns);
    w.varint(packed.size() - at);
    w.fixed(group_checksum(seed, g, bytes_view{packed}.subspan(at)));
  }
  const auto at = out.size();
  out.resize(at + block_header_bytes);
  impl_->pack(plain, out);
  raw.plain_bytes = static_cast<std::uint32_t>(plain.size());
  raw.head_bytes = static_cast<std::uint32_t>(out.size() - at);
  raw.bytes = static_cast<std::uint32_t>(raw.head_bytes + packed.size());
  std::memcpy(out.data() + at, &raw, sizeof raw);
  raw.checksum = block_checksum(out.data() + at, raw.head_bytes);
  std::memcpy(out.data() + at, &raw, sizeof raw);
  out.insert(out.end(), packed.begin(), packed.end());
}

struct block_decoder::impl {
  ZSTD_DCtx* context = nullptr; // made when first needed: it is large
  byte_buffer plain;
  std::vector<double> dense;
  ~impl() { ZSTD_freeDCtx(context); }

  // Memory only for what the compressed frame itself announces.
  bool unpack(bytes_view packed, std::size_t plain_bytes, byte_buffer& to) {
    if (ZSTD_getFrameContentSize(packed.data(), packed.size()) != plain_bytes)
      return false;
    to.resize(plain_bytes);
    if (context == nullptr)
      context = ZSTD_createDCtx();
    const auto n = ZSTD_decompressDCtx(context, to.data(), to.size(), packed.data(), packed.size());
    return !ZSTD_isError(n) && n == plain_bytes;
  }
};

block_decoder::block_decoder() : impl_(std::make_unique<impl>()) {}
block_decoder::~block_decoder() = default;

std::size_t block_index::group_of(std::size_t column) const noexcept {
  std::size_t g = 0;
  while (column >= groups[g].column_end)
    ++g;
  return g;
}

std::size_t block_index::memory_bytes() const noexcept {
  return sizeof *this + times_ns.capacity() * sizeof times_ns[0] + lengths.capacity() * sizeof lengths[0]
         + groups.capacity() * sizeof groups[0];
}

namespace {

auto damaged_block() { return fail(errc::malformed, "a block does not decode"); }

bool read_times(byte_reader& r, std::size_t rows, std::vector<std::int64_t>& to) {
  const auto unit = r.fixed<std::uint8_t>();
  if (r.failed() || unit >= std::size(unit_ns))
    return false;
  to.resize(rows);
  std::int64_t before = 0;
  std::int64_t step = 0;
  bool bad = false;
  for (auto& t : to) {
    step = plus(step, r.signed_varint());
    before = plus(before, step);
    bad = __builtin_mul_overflow(before, unit_ns[unit], &t) || bad;
  }
  return !bad && !r.failed();
}

// Returns their sum, or nothing.
std::optional<std::uint64_t> read_lengths(byte_reader& r, std::size_t columns,
                                          std::vector<std::uint32_t>& to) {
  to.resize(columns);
  std::uint64_t sum = 0;
  for (auto& each : to) {
    const auto bytes = r.varint();
    if (bytes > column_bytes_max)
      return std::nullopt;
    each = static_cast<std::uint32_t>(bytes);
    sum += bytes;
  }
  return r.failed() ? std::nullopt : std::optional{sum};
}

// Numbers from signed varints of their differences: the loop that a query spends most of its reading in, hence not
// inlined, for the registers' sake. `all`: there must be no more than these.
template <bool Twice>
[[gnu::noinline]] bool read_deltas(byte_reader& r, std::uint64_t scale, std::span<double> out, bool all) {
  const auto bytes = r.rest();
  const auto* at = bytes.data();
  const auto* const end = at + bytes.size();
  std::uint64_t m = 0; // unsigned: damaged bytes may overflow
  std::uint64_t step = 0;
  for (auto& v : out) {
    if (at == end)
      return false;
    auto raw = static_cast<std::uint64_t>(*at++);
    if (raw >= 0x80) {
      raw &= 0x7f;
      unsigned shift = 7;
      for (;; shift += 7) {
        if (at == end || shift > 63)
          return false;
        const auto byte = static_cast<std::uint64_t>(*at++);
        if (shift == 63 && byte > 1)
          return false;
        raw |= (byte & 0x7f) << shift;
        if (byte < 0x80)
          break;
      }
    }
    const auto d = static_cast<std::uint64_t>(unzigzag(raw));
    step = Twice ? step + d : d;
    m += step;
    v = static_cast<double>(static_cast<std::int64_t>(m * scale));
  }
  return at == end || !all;
}

} // namespace

result<void> block_decoder::read_index(bytes_view block, block_index& to) {
  to.times_ns.clear();
  to.lengths.clear();
  to.groups.clear();
  raw_block raw;
  if (block.size() < block_header_bytes)
    return fail(errc::malformed, "a block is cut off in its header");
  std::memcpy(&raw, block.data(), sizeof raw);
  if (raw.magic != block_magic)
    return fail(errc::malformed, "no block starts here: the magic number does not match");
  if (raw.version > block_version || (raw.codec != codec_columns_zstd && raw.codec != codec_groups_zstd))
    return fail(
        errc::unsupported_version,
        fmt::format("block format {} with codec {} is unknown to this build", raw.version, raw.codec));
  const bool one_frame = raw.codec == codec_columns_zstd;
  const auto head = one_frame ? raw.bytes : raw.head_bytes;
  if (head < block_header_bytes || raw.bytes < head || raw.bytes > block.size())
    return fail(errc::malformed,
                fmt::format("a block of {} bytes does not fit into {}", raw.bytes, block.size()));
  if (raw.checksum != block_checksum(block.data(), head))
    return fail(errc::corrupt, "the checksum of a block does not match");
  const std::size_t index_max = 1 + raw.rows * 10 + raw.columns * (5 + 14) + 5;
  if (raw.rows == 0 || raw.rows > block_rows_max || raw.columns == 0 || raw.columns > block_columns_max
      || raw.plain_bytes > index_max + (one_frame ? raw.columns * column_bytes_max : 0))
    return damaged_block();
  auto& plain = impl_->plain;
  if (!impl_->unpack(block.first(head).subspan(block_header_bytes), raw.plain_bytes, plain))
    return damaged_block();
  const auto damaged = [&] {
    to = {};
    return damaged_block();
  };
  byte_reader r{plain};
  if (!read_times(r, raw.rows, to.times_ns))
    return damaged();
  const auto sum = read_lengths(r, raw.columns, to.lengths);
  if (!sum)
    return damaged();
  std::memcpy(&to.seed, block.data(), sizeof to.seed);
  if (one_frame) { // the index lies before the columns in the one group, whose checksum was just looked at
    if (r.remaining() != *sum)
      return damaged();
    to.groups.push_back({raw.columns, block_header_bytes,
                         raw.bytes - static_cast<std::uint32_t>(block_header_bytes), 0,
                         static_cast<std::uint32_t>(r.position())});
    const auto packed = block.subspan(to.groups[0].at, to.groups[0].bytes);
    to.groups[0].checksum = group_checksum(to.seed, 0, packed);
    return ok();
  }
  const auto count = r.varint();
  if (r.failed() || count == 0 || count > raw.columns)
    return damaged();
  std::uint64_t columns = 0;
  std::uint64_t at = head;
  for (std::uint64_t g = 0; g < count; ++g) {
    const auto wide = r.varint();
    const auto bytes = r.varint();
    const auto checksum = r.fixed<std::uint32_t>();
    if (r.failed() || wide == 0 || wide > raw.columns - columns || bytes > raw.bytes - at)
      return damaged();
    columns += wide;
    to.groups.push_back({static_cast<std::uint32_t>(columns), static_cast<std::uint32_t>(at),
                         static_cast<std::uint32_t>(bytes), checksum, 0});
    at += bytes;
  }
  if (columns != raw.columns || at != raw.bytes || r.remaining() != 0)
    return damaged();
  return ok();
}

result<void> block_decoder::read_group(bytes_view block, const block_index& index, std::size_t group,
                                       byte_buffer& to) {
  assert(group < index.groups.size());
  const auto& g = index.groups[group];
  if (g.at > block.size() || g.bytes > block.size() - g.at)
    return damaged_block();
  const auto packed = block.subspan(g.at, g.bytes);
  if (group_checksum(index.seed, group, packed) != g.checksum)
    return fail(errc::corrupt, "the checksum of a block's columns does not match");
  std::size_t plain_bytes = g.skip;
  for (auto c = group == 0 ? 0 : index.groups[group - 1].column_end; c < g.column_end; ++c)
    plain_bytes += index.lengths[c];
  return impl_->unpack(packed, plain_bytes, to) ? result<void>{ok()} : damaged_block();
}

result<void> block_decoder::open(bytes_view block) {
  block_ = block;
  group_number_ = block_columns_max;
  return read_index(block, index_);
}

result<void> block_decoder::column(std::size_t column, std::span<double> values,
                                   std::span<std::uint64_t> present) {
  const auto group = index_.group_of(column);
  if (group != group_number_) {
    group_number_ = block_columns_max;
    BOOST_OUTCOME_TRYV(read_group(block_, index_, group, group_));
    group_number_ = group;
  }
  return read_column(index_, column, group_, values, present, {});
}

result<void> block_decoder::read_column(const block_index& index, std::size_t column, bytes_view group,
                                        std::span<double> values, std::span<std::uint64_t> present,
                                        row_range wanted) {
  const auto rows = index.rows();
  assert(column < index.columns() && values.size() == rows && present.size() == row_words(rows));
  const auto number = index.group_of(column);
  std::size_t begin = index.groups[number].skip;
  for (auto c = number == 0 ? 0 : index.groups[number - 1].column_end; c < column; ++c)
    begin += index.lengths[c];
  if (begin > group.size() || index.lengths[column] > group.size() - begin)
    return damaged_block();
  byte_reader r{group.subspan(begin, index.lengths[column])};
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
    // Deltas add up from the first row on; divisions, the dearest part, are for those that are wanted.
    const auto end = partial ? n : std::min(wanted.end, n);
    const auto read = out.first(end);
    if (!(kind == column_kind::delta2 ? read_deltas<true>(r, divisor, read, end == n)
                                      : read_deltas<false>(r, divisor, read, end == n)))
      return damaged_block();
    if (exponent != 0)
      for (auto& v : read.subspan(partial ? 0 : std::min(wanted.begin, end)))
        v /= power;
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
