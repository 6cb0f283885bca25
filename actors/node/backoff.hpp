#pragma once

// Exponential back-off with full jitter: retries of many nodes spread out instead of arriving together.

#include "actors/node/clock.hpp"

#include <algorithm>
#include <chrono>

namespace skerry {

class backoff {
public:
  backoff(std::chrono::nanoseconds min, std::chrono::nanoseconds max) noexcept
    : min_(std::max(min, std::chrono::nanoseconds{1})), max_(std::max(max, min_)), ceiling_(min_) {}

  // A delay in [min, ceiling]; the ceiling doubles with each call, up to max.
  [[nodiscard]] std::chrono::nanoseconds next(random_source& random) noexcept {
    const auto span = static_cast<std::uint64_t>((ceiling_ - min_).count()) + 1;
    const auto delay = min_ + std::chrono::nanoseconds{static_cast<std::int64_t>(random.next() % span)};
    ceiling_ = ceiling_ > max_ / 2 ? max_ : ceiling_ * 2;
    return delay;
  }
  void reset() noexcept { ceiling_ = min_; }

private:
  std::chrono::nanoseconds min_;
  std::chrono::nanoseconds max_;
  std::chrono::nanoseconds ceiling_;
};

} // namespace skerry
