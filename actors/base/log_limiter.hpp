#pragma once

// At most so many lines a minute (or another while) about something that may happen all the time. Counters tell how often it
// did. One thread.

#include <chrono>

namespace skerry {

class log_limiter {
public:
  explicit log_limiter(int lines, std::chrono::steady_clock::duration in = std::chrono::minutes{1})
      : lines_(lines), in_(in) {}

  [[nodiscard]] bool
  allow(std::chrono::steady_clock::time_point now = std::chrono::steady_clock::now()) noexcept {
    if (!begun_ || now - window_ >= in_) {
      begun_ = true;
      window_ = now;
      left_ = lines_;
    }
    return left_ > 0 && left_-- > 0;
  }

private:
  int lines_;
  std::chrono::steady_clock::duration in_;
  int left_ = 0;
  bool begun_ = false;
  std::chrono::steady_clock::time_point window_{};
};

} // namespace skerry
