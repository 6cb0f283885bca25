#pragma once

// A node's clock over simulated time: wall time may be off, run fast or slow, and jump; the monotonic one never goes
// back.

#include "simulator/world/scheduler.hpp"

namespace skerry::sim {

inline constexpr std::int64_t world_begins_ns = 1'700'000'000 * second; // since 1970

class node_clock final : public clock_source {
public:
  explicit node_clock(const scheduler& time) : time_(time) {}

  std::int64_t wall_ns() const noexcept override { return world_begins_ns + monotonic_ns() + wall_offset; }
  std::int64_t monotonic_ns() const noexcept override {
    return base_ + (time_.now() - since_) + (time_.now() - since_) / 1'000'000 * skew_ppm_;
  }
  void set_skew(std::int64_t ppm) noexcept {
    base_ = monotonic_ns();
    since_ = time_.now();
    skew_ppm_ = ppm;
  }

  std::int64_t wall_offset = 0; // jumps

private:
  const scheduler& time_;
  sim_time base_ = second;
  sim_time since_ = 0;
  std::int64_t skew_ppm_ = 0;
};

} // namespace skerry::sim
