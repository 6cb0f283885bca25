#include "schemas/model/frame.hpp"

#include "schemas/model/seen_clock.hpp"

#include <fmt/format.h>

#include <bit>
#include <cassert>

namespace skerry {

namespace {

constexpr std::uint8_t frame_version = 1;

// A frame's times are in the coarsest unit that holds them exactly: scrapes are in milliseconds.
constexpr std::int64_t frame_unit_ns[] = {1, 1'000, 1'000'000, 1'000'000'000};

std::uint8_t unit_of(std::int64_t time_ns) noexcept {
  std::uint8_t unit = 3;
  while (time_ns % frame_unit_ns[unit] != 0)
    --unit;
  return unit;
}

result<std::size_t> decode_head(byte_reader& r, frame& to) {
  const auto damaged = [] { return fail(errc::malformed, "a frame does not decode"); };
  if (const auto version = r.fixed<std::uint8_t>(); !r.failed() && version != frame_version)
    return fail(errc::unsupported_version, fmt::format("frame format {} is unknown", version));
  const auto unit = r.fixed<std::uint8_t>();
  if (r.failed() || unit >= std::size(frame_unit_ns))
    return damaged();
  if (__builtin_mul_overflow(r.signed_varint(), frame_unit_ns[unit], &to.time_ns))
    return damaged();
  to.monotonic_ns = r.signed_varint();
  const auto section_count = r.varint();
  if (r.failed() || section_count > frame_sets_max)
    return damaged();
  to.sections.resize(section_count);
  std::size_t values = 0;
  for (auto& section : to.sections) {
    const auto hash = r.bytes(16);
    const auto count = r.varint();
    const auto partial = r.fixed<std::uint8_t>();
    if (r.failed() || count == 0 || count > set_series_max || partial > 1)
      return damaged();
    std::memcpy(section.set.bytes.data(), hash.data(), hash.size());
    section.series_count = static_cast<std::uint16_t>(count);
    section.present.clear();
    if (partial != 0) {
      const auto bits = r.bytes((count + 7) / 8);
      if (r.failed())
        return damaged();
      section.present.resize((count + 63) / 64);
      std::memcpy(section.present.data(), bits.data(), bits.size());
      if (count % 64 != 0 && (section.present.back() >> (count % 64)) != 0)
        return damaged();
    }
    values += section.value_count();
  }
  return values;
}

} // namespace

std::size_t frame_section::value_count() const noexcept {
  if (present.empty())
    return series_count;
  std::size_t n = 0;
  for (const auto word : present)
    n += static_cast<std::size_t>(std::popcount(word));
  return n;
}

std::optional<std::size_t> frame_section::value_index(std::size_t series) const noexcept {
  if (series >= series_count)
    return std::nullopt;
  if (present.empty())
    return series;
  const auto bit = std::uint64_t{1} << (series % 64);
  if ((present[series / 64] & bit) == 0)
    return std::nullopt;
  auto index = static_cast<std::size_t>(std::popcount(present[series / 64] & (bit - 1)));
  for (std::size_t w = 0; w < series / 64; ++w)
    index += static_cast<std::size_t>(std::popcount(present[w]));
  return index;
}

void encode_frame(const frame& from, value_encoder& encoder, byte_buffer& out) {
  byte_writer w{out};
  const auto unit = unit_of(from.time_ns);
  w.fixed(frame_version);
  w.fixed(unit);
  w.signed_varint(from.time_ns / frame_unit_ns[unit]);
  w.signed_varint(from.monotonic_ns);
  w.varint(from.sections.size());
  for (const auto& section : from.sections) {
    w.bytes(std::as_bytes(std::span{section.set.bytes}));
    w.varint(section.series_count);
    w.fixed(static_cast<std::uint8_t>(section.present.empty() ? 0 : 1));
    if (!section.present.empty())
      w.bytes(std::as_bytes(std::span{section.present}).first((section.series_count + 7u) / 8));
  }
  encoder.encode(from.values, out);
}

result<void> decode_frame_sections(bytes_view from, frame& to) {
  byte_reader r{from};
  BOOST_OUTCOME_TRY(decode_head(r, to));
  to.values.clear();
  return ok();
}

result<void> decode_frame(bytes_view from, value_decoder& decoder, frame& to) {
  byte_reader r{from};
  BOOST_OUTCOME_TRY(values, decode_head(r, to));
  to.values.resize(values);
  return decoder.decode(r.rest(), to.values);
}

bool has_node_time(record_kind kind, bytes_view payload) noexcept {
  if (!policy_of(kind).samples)
    return true;
  byte_reader r{payload};
  const auto version = r.fixed<std::uint8_t>();
  static_cast<void>(r.fixed<std::uint8_t>()); // unit
  static_cast<void>(r.signed_varint());       // time
  const auto monotonic_ns = r.signed_varint();
  return !r.failed() && version == frame_version && monotonic_ns != 0;
}

} // namespace skerry
