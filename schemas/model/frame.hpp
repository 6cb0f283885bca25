#pragma once

// A frame: the values of one source (a scraped target, a host's collectors) at one time. It names the series sets
// that its values belong to and carries no labels itself.

#include "schemas/codec/value_codec.hpp"
#include "schemas/model/series.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace skerry {

inline constexpr std::size_t frame_sets_max = 4096;      // × 256 series: over a million samples a frame
inline constexpr std::size_t frame_bytes_max = 16 << 20; // encoded

// Which of a set's series have a value in this frame, in the set's order.
struct frame_section {
  set_hash set;
  std::uint16_t series_count = 0;     // of the set, 1 to 256
  std::vector<std::uint64_t> present; // bit i of word i/64: series i has a value; empty: all have
  [[nodiscard]] std::size_t value_count() const noexcept;
  // Where the value of this series stands among those of the section; none: it has no value.
  [[nodiscard]] std::optional<std::size_t> value_index(std::size_t series) const noexcept;
};

struct frame {
  std::int64_t time_ns = 0;      // wall clock, since 1970
  std::int64_t monotonic_ns = 0; // CLOCK_BOOTTIME at the same moment; 0 where the time is the target's own
  std::vector<frame_section> sections;
  std::vector<double> values; // of all sections, one after the other; bits are kept exactly
};

// Appends the encoded frame to `out`. Precondition: the sections' value counts add up to values.size().
void encode_frame(const frame& from, value_encoder& encoder, byte_buffer& out);
// Decodes what a peer or a disk gave, into `to` (whose memory is reused). malformed: anything out of bounds.
[[nodiscard]] result<void> decode_frame(bytes_view from, value_decoder& decoder, frame& to);
// Reads only times and sections, not the values: cheap.
[[nodiscard]] result<void> decode_frame_sections(bytes_view from, frame& to);

// Prometheus' marker for "this series has ended": a NaN with this payload, distinct from every other NaN.
inline constexpr std::uint64_t stale_bits = 0x7ff0000000000002;
[[nodiscard]] inline double stale_marker() noexcept { return std::bit_cast<double>(stale_bits); }
[[nodiscard]] inline bool is_stale(double v) noexcept {
  return std::bit_cast<std::uint64_t>(v) == stale_bits;
}

} // namespace skerry
