#pragma once

// A rate limit: bytes that may go now, refilled with time. Plain value; not thread-safe.

#include <algorithm>
#include <cstdint>

namespace skerry::delivery {

class token_bucket {
public:
  token_bucket() = default; // no limit
  // Holds at most what comes in `burst_ns`; starts full.
  token_bucket(double bytes_per_second, std::int64_t burst_ns)
      : rate_(bytes_per_second), most_(rate_ * static_cast<double>(burst_ns) / 1e9), left_(most_) {}

  // Whether anything may go. What then goes may be larger than what is left: later ones wait for it.
  [[nodiscard]] bool open(std::int64_t now_ns) noexcept {
    refill(now_ns);
    return rate_ == 0 || left_ > 0;
  }
  void spend(std::uint64_t bytes) noexcept {
    if (rate_ != 0)
      left_ -= static_cast<double>(bytes);
  }

private:
  void refill(std::int64_t now_ns) noexcept {
    if (at_ns_ != 0 && now_ns > at_ns_)
      left_ = std::min(most_, left_ + rate_ * static_cast<double>(now_ns - at_ns_) / 1e9);
    at_ns_ = now_ns;
  }

  double rate_ = 0; // bytes a second; 0: no limit
  double most_ = 0;
  double left_ = 0;
  std::int64_t at_ns_ = 0;
};

} // namespace skerry::delivery
