#pragma once

// The machine's clock as one simulated site sees it: wall time may be off. Thread-safe.

#include "actors/base/clock.hpp"

#include <atomic>

namespace skerry::sim {

class edge_clock final : public clock_source {
public:
  std::int64_t wall_ns() const noexcept override { return system_clock().wall_ns() + skew_ns(); }
  std::int64_t monotonic_ns() const noexcept override { return system_clock().monotonic_ns(); }

  [[nodiscard]] std::int64_t skew_ns() const noexcept { return skew_ns_.load(std::memory_order_relaxed); }
  void add_skew(std::int64_t ns) noexcept { skew_ns_.fetch_add(ns, std::memory_order_relaxed); }

private:
  std::atomic<std::int64_t> skew_ns_{0};
};

} // namespace skerry::sim
