#pragma once

// Some consecutive frames of one source in the write-ahead log, decoded and turned into columns, so that a query for
// one series need not decode the values of all of them again. Frames are added as they arrive; once full, columns that
// stand still shrink to one value. Thread-safe.

#include "cloud/store/damage_of.hpp"
#include "cloud/store/log_env.hpp"
#include "cloud/store/place_columns.hpp"

#include <array>
#include <mutex>
#include <span>

namespace skerry::cloud {

inline constexpr std::size_t window_rows = 32;
inline constexpr std::size_t window_columns_max = 4096; // of one source; wider ones are read frame by frame

// Whose frames are read, and where it is noted that one is damaged.
struct frames_of {
  const head_source& source;
  std::uint64_t log_id = 0;
  damage_ledger& damages;
};

// A frame's values by column. Keeps its scratch memory, and that of windows that are made with it; one thread.
class frame_rows {
public:
  // False: the frame is damaged, which is noted. Others than damage are failures.
  [[nodiscard]] result<bool> read(log_reader& log, const frame_ref& at, const frames_of& whose);
  [[nodiscard]] const frame& content() const noexcept { return frame_; }

private:
  friend class log_window;
  value_decoder decoder_;
  frame frame_;
  std::vector<double> rows_;
  std::vector<double> columns_;
};

class log_window {
public:
  explicit log_window(const head_source& source);

  // Takes in those of `frames`, the window's, that are new to it. Whether there were any.
  [[nodiscard]] result<bool> extend(std::span<const frame_ref> frames, log_reader& log, frame_rows& scratch,
                                    const frames_of& whose);
  // So many frames were read from the log instead of from here.
  void note_read_without(std::size_t frames);
  // Whether to take frames in for who wants `wanted` of them: that costs somewhat more than to read them, and pays once it
  // would have so many, counting as its own those that were read since it was extended, these included.
  [[nodiscard]] bool worth_extending(std::size_t frames, std::size_t wanted) const;

  [[nodiscard]] bool has(std::size_t frames) const; // so many are taken in

  struct part {
    std::size_t column = 0;
    std::size_t frames = 0; // the first so many
    std::int64_t from_ns = 0;
    std::int64_t to_ns = 0;
  };
  // Appends the samples of this part, in order of arrival. How many.
  std::size_t read(const part& what, series_column& to) const;
  // Of them the newest: of one time several may have come.
  std::size_t read_newest(const part& what, series_column& to) const;
  [[nodiscard]] std::size_t memory_bytes() const;

private:
  static constexpr std::uint32_t constant_bit = std::uint32_t{1} << 31;
  static_assert(window_rows <= 32 && window_columns_max * window_rows < constant_bit);

  struct column_values {
    std::uint32_t present;
    const double* first;
    std::size_t step;
    [[nodiscard]] bool in(const part& what, std::size_t row, std::int64_t time_ns) const noexcept {
      return (present >> row & 1) != 0 && time_ns >= what.from_ns && time_ns <= what.to_ns;
    }
    [[nodiscard]] double at(std::size_t row) const noexcept { return first[row * step]; }
  };
  [[nodiscard]] column_values values_of(std::size_t column) const noexcept { // the lock is held
    const auto at = packed() ? offsets_[column] : static_cast<std::uint32_t>(column);
    return {present_[column], values_.data() + (at & ~constant_bit),
            !packed()                  ? present_.size()
            : (at & constant_bit) != 0 ? 0u
                                       : 1u};
  }

  void add(const frame& from);
  void pack(frame_rows& scratch);
  [[nodiscard]] bool packed() const noexcept { return !offsets_.empty(); }

  mutable std::mutex mutex_;        // guards what follows
  std::size_t read_without_ = 0;    // frames, since it was extended
  std::vector<std::size_t> widths_; // of each section
  std::size_t rows_ = 0;            // frames taken; damaged ones have no values
  bool ascending_ = true;           // their times
  std::array<std::int64_t, window_rows> times_ns_{};
  std::vector<std::uint32_t> present_; // bit r: row r has a value
  std::vector<double> values_;         // row by row; packed: of each column from its offset on
  std::vector<std::uint32_t> offsets_; // empty: not packed
};

} // namespace skerry::cloud
