#pragma once

// Exponential back-off with jitter: after n failures in a row, a random time between half of and the whole of
// min(first * 2^n, longest). The jitter keeps a fleet that lost its cloud from coming back in step.
// Single-threaded.

#include "actors/base/clock.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace skerry {

class backoff {
public:
  // Preconditions: 0 < first <= longest.
  backoff(std::chrono::nanoseconds first, std::chrono::nanoseconds longest, random_source& random)
      : first_(first), longest_(longest), step_(first), random_(random) {}

  // How long to wait after one more failure.
  [[nodiscard]] std::chrono::nanoseconds next() {
    const auto whole = step_;
    step_ = step_ > longest_ / 2 ? longest_ : step_ * 2;
    ++failures_;
    const auto half = whole.count() / 2;
    const auto spread = static_cast<std::uint64_t>(whole.count() - half) + 1;
    return std::chrono::nanoseconds{half + static_cast<std::int64_t>(random_.next() % spread)};
  }
  void reset() noexcept { // it worked
    step_ = first_;
    failures_ = 0;
  }
  [[nodiscard]] std::uint64_t failures() const noexcept { return failures_; }

private:
  std::chrono::nanoseconds first_;
  std::chrono::nanoseconds longest_;
  std::chrono::nanoseconds step_;
  std::uint64_t failures_ = 0;
  random_source& random_;
};

} // namespace skerry
