#pragma once

// What a remote write 1.0 request says: a protobuf message in one snappy block (docs/api.md has the fields that are
// read). The message is read in place: names and values are views into the uncompressed bytes, which live as long as
// the object. Nothing is allocated per label. Plain value; not thread-safe.

#include "schemas/bytes.hpp"
#include "schemas/model/series.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::push {

inline constexpr std::size_t request_bytes_max = 128 << 20; // uncompressed
// What of a request lies beyond is left out, and the rest is taken.
inline constexpr std::size_t request_series_max = 1 << 20;
inline constexpr std::size_t request_samples_max = 4 << 20;
inline constexpr std::size_t request_labels_max = 4 << 20;
inline constexpr std::size_t request_metadata_max = 1 << 16;

struct label_view {
  std::string_view name;
  std::string_view value;

  bool operator==(const label_view&) const = default;
};

struct pushed_sample {
  std::int64_t time_ms = 0;
  double value = 0; // bits as they came
};

struct pushed_metadata {
  std::string_view family;
  metric_type type = metric_type::unknown;
  std::string_view help;
  std::string_view unit;
};

class write_request {
public:
  struct series_part {
    std::uint32_t first_label = 0;
    std::uint32_t label_count = 0;
    std::uint32_t first_sample = 0;
    std::uint32_t sample_count = 0;
    std::uint32_t histograms = 0; // native ones, which are not read
  };

  // What was left out because of the bounds above.
  struct left_out {
    std::uint64_t samples = 0;
    std::string why; // of the first; empty: nothing was
  };

  // Replaces what was decoded before and keeps its memory. malformed: not such a request, or over request_bytes_max.
  [[nodiscard]] result<void> decode(std::string_view body);
  // The message alone, uncompressed; it is copied.
  [[nodiscard]] result<void> decode_message(std::string_view message);

  [[nodiscard]] std::span<const series_part> series() const noexcept { return series_; }
  [[nodiscard]] std::span<label_view> labels_of(const series_part& of) noexcept {
    return std::span{labels_}.subspan(of.first_label, of.label_count);
  }
  [[nodiscard]] std::span<const pushed_sample> samples_of(const series_part& of) const noexcept {
    return std::span{samples_}.subspan(of.first_sample, of.sample_count);
  }
  [[nodiscard]] std::span<const pushed_metadata> metadata() const noexcept { return metadata_; }
  [[nodiscard]] std::uint64_t exemplars() const noexcept { return exemplars_; }
  [[nodiscard]] const left_out& beyond() const noexcept { return beyond_; }
  // Whether it holds more memory than is worth keeping for the next request.
  [[nodiscard]] bool is_large() const noexcept {
    return bytes_.capacity() + samples_.capacity() * sizeof(pushed_sample) > large_bytes;
  }

private:
  static constexpr std::size_t large_bytes = 8 << 20;

  void clear();
  result<void> read_message();
  result<void> read_series(bytes_view message);

  std::vector<char> bytes_;
  std::vector<series_part> series_;
  std::vector<label_view> labels_;
  std::vector<pushed_sample> samples_;
  std::vector<pushed_metadata> metadata_;
  std::uint64_t exemplars_ = 0;
  left_out beyond_;
};

// How many bytes it takes uncompressed, from its first bytes; 0 where it is no snappy block.
[[nodiscard]] std::size_t uncompressed_bytes(std::string_view body) noexcept;

} // namespace skerry::push
