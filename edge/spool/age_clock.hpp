#pragma once

// The time by which the spool judges what is too old, kept over restarts in a small file beside STATE: an expiry_clock, so
// that a clock that stands ahead, at a start too, deletes nothing before it has said so for a while of running. A file
// that is missing or damaged is begun anew from the newest commit. The writer's thread, but for ahead().

#include "actors/base/clock.hpp"
#include "actors/base/expiry_clock.hpp"

#include <prometheus/gauge.h>

#include <atomic>
#include <filesystem>
#include <optional>

namespace skerry::edge {

class age_clock {
public:
  // `matters`: something is deleted by age, so that a jump is worth a line in the log.
  age_clock(std::filesystem::path file, std::chrono::nanoseconds jump_wait, bool matters, clock_source& clock,
            prometheus::Gauge& waits)
      : file_(std::move(file)), jump_wait_(jump_wait), matters_(matters), clock_(clock), waits_(waits) {}

  // First. `last_commit_ns`: by the wall clock of then; 0: the spool is new.
  void load(std::int64_t last_commit_ns);
  // Ask at least once in half an hour. Where the file cannot be written, that is logged and tried again.
  [[nodiscard]] std::int64_t now_ns();
  void save();
  // By how much the wall clock is ahead of what is believed; any thread.
  [[nodiscard]] std::chrono::nanoseconds ahead() const noexcept {
    return std::chrono::nanoseconds{ahead_ns_};
  }

private:
  const std::filesystem::path file_;
  const std::chrono::nanoseconds jump_wait_;
  const bool matters_;
  clock_source& clock_;
  prometheus::Gauge& waits_;
  std::optional<expiry_clock> time_;
  std::optional<std::int64_t> saved_ns_; // by the boot clock; empty: what is on disk is older
  std::atomic<std::int64_t> ahead_ns_ = 0;
};

} // namespace skerry::edge
