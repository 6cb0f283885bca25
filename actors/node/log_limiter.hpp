#pragma once

// At most so many lines a minute about something that may happen all the time. Counters tell how often it did. One thread.

#include <chrono>

namespace skerry {

class log_limiter {
public:
  explicit log_limiter(int per_minute) : per_minute_(per_minute) {}

  [[nodiscard]] bool
  allow(std::chrono::steady_clock::time_point now = std::chrono::steady_clock::now()) noexcept {
    if (!begun_ || now - window_ >= std::chrono::minutes{1}) {
      begun_ = true;
      window_ = now;
      left_ = per_minute_;
    }
    return left_ > 0 && left_-- > 0;
  }

private:
  int per_minute_;
  int left_ = 0;
  bool begun_ = false;
  std::chrono::steady_clock::time_point window_{};
};

} // namespace skerry
