#pragma once

// A recorded sequence of scrapes, replayed as many targets that differ the way hosts differ.
//
// Fair to every compressor that is measured with it: a target has its own node and device names, its own
// place in the recording, and its own values: counters are scaled by factors of the target's own and go on
// without resets when the recording starts over; gauges are scaled and get noise of the size that they move
// by. A value keeps the decimals, the granule (pages, sectors) and the float noise of the original, and
// stands still where the original did.
//
// Everything follows from (recording, seed, target, step): what was served can be computed again at any time.
// `recording` is immutable; a `replay_target` belongs to one thread.

#include "schemas/error.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::bench {

// The series that carries the step, so that what is stored can be matched with what was served.
inline constexpr std::string_view step_series = "replay_step";

enum class replay_kind : std::uint8_t {
  literal, // as recorded, for every target: 0, 1, NaN, small constants
  counter,
  gauge,
  clock, // a wall clock: goes on, is never scaled
};

struct recorded_series {
  std::string text; // as in the exposition format, labels included
  replay_kind kind = replay_kind::literal;
  std::uint64_t family_hash = 0; // series of one family share factors: histogram buckets stay in order
  int decimals = 0;
  bool float_noise = false;        // recorded with digits beyond `decimals`, as products with 0.001 have
  std::int64_t granule = 1;        // in units of 10^-decimals
  std::int64_t noise = 0;          // in granules
  std::int64_t per_loop = 0;       // counters and clocks: what one pass adds, in granules
  std::vector<std::int64_t> units; // by step, in granules; counters: without resets
  std::vector<std::uint32_t> changed_at; // by step: steps since the value last changed
  std::string literal;
};

class recording {
public:
  // Reads scrapes in order of the file names given. Series that are not in all of them are left out.
  [[nodiscard]] static result<recording> load(std::span<const std::string> files);

  [[nodiscard]] const std::vector<recorded_series>& series() const noexcept { return series_; }
  [[nodiscard]] std::size_t steps() const noexcept { return steps_; }
  [[nodiscard]] std::size_t series_left_out() const noexcept { return left_out_; }
  // The comment lines before series i, and after the last.
  [[nodiscard]] const std::vector<std::string>& comments() const noexcept { return comments_; }
  [[nodiscard]] const std::string& node_name() const noexcept { return node_name_; }

private:
  std::vector<recorded_series> series_;
  std::vector<std::string> comments_;
  std::string node_name_;
  std::size_t steps_ = 0;
  std::size_t left_out_ = 0;
};

class replay_target {
public:
  replay_target(std::shared_ptr<const recording> from, std::uint64_t seed, std::uint32_t target);

  // The body of a scrape at `step` (0, 1, …), in Prometheus' text format. Cheapest in ascending order.
  void render(std::uint64_t step, std::string& body);
  // The value of series `index` (of recording::series()) as text.
  [[nodiscard]] std::string_view value(std::size_t index, std::uint64_t step);
  [[nodiscard]] std::string series_text(std::size_t index) const; // with this target's labels
  [[nodiscard]] std::size_t series_count() const noexcept;        // with step_series

private:
  struct slot {
    std::int64_t units = INT64_MIN;
    std::uint8_t size = 0;
    char text[31] = {};
  };

  void refresh(std::size_t index, std::uint64_t step);
  [[nodiscard]] std::string own_labels(std::string_view text) const;

  std::shared_ptr<const recording> from_;
  std::uint64_t seed_;
  std::uint32_t target_;
  std::uint64_t phase_ = 0;
  std::string skeleton_;               // everything but the values
  std::vector<std::uint32_t> cuts_;    // where in it value i goes
  std::vector<std::uint32_t> factors_; // 16.16 fixed point
  std::vector<slot> slots_;
};

// As Go prints a float64 with 'g' and the shortest precision, which is what exporters write.
std::size_t format_go(double v, char* to) noexcept; // at most 31 bytes

} // namespace skerry::bench
