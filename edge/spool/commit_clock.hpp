#pragma once

// Keeps the clock_stamp of the newest commits in a small file beside STATE, which is written at each opening and where the
// wall clock was set. So a node that was restarted while its clock was wrong does not say that it was off for as long as
// the clock was wrong by. The writer's thread.

#include "edge/spool/clock_stamp.hpp"

#include <filesystem>
#include <optional>

namespace skerry::edge {

class commit_clock {
public:
  commit_clock(std::filesystem::path file, clock_source& clock, boot_name boot)
      : file_(std::move(file)), clock_(clock), boot_(boot) {}

  // First: when the newest of `commits` was, by the wall clock as it is set now. Where the file is missing or damaged, the
  // newest stamp.
  [[nodiscard]] std::int64_t load(std::span<const std::int64_t> commits);
  // Before each commit, and once before that. Where the file cannot be written that is logged once, and tried with the
  // next.
  void note();
  void committed() noexcept { last_ns_ = clock_.monotonic_ns(); }

private:
  const std::filesystem::path file_;
  clock_source& clock_;
  const boot_name boot_;
  std::int64_t last_ns_ = 0; // the newest commit, by the boot clock
  std::optional<clock_stamp> written_;
  bool told_ = false;
};

} // namespace skerry::edge
