#pragma once

// Runs calls that can hang (statfs on a dead mount, a sensor on a stuck bus) on a helper thread and waits for
// them only so long. A helper that hangs is left behind: it ends by itself when its call returns, and another
// takes its place. At most stuck_max are left behind at a time; then every further call is refused until one
// returns.
//
// A runner belongs to one thread. A job must own what it touches, because it may outlive its caller and the
// runner.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <thread>

namespace skerry::edge::host {

inline constexpr std::size_t stuck_threads_max = 8;

class deadline_runner {
public:
  // One call. What `work` throws is swallowed: it should say what went wrong in what it owns.
  struct job {
    std::function<void()> work;
    std::atomic<bool> finished{false};
  };
  enum class outcome {
    done,
    late,    // still running; job->finished tells when it has returned
    refused, // too many are stuck, or no thread can be made
  };

  explicit deadline_runner(std::size_t stuck_max = stuck_threads_max);
  deadline_runner(const deadline_runner&) = delete;
  deadline_runner& operator=(const deadline_runner&) = delete;
  ~deadline_runner(); // waits for an idle helper, never for a stuck one

  [[nodiscard]] outcome run(const std::shared_ptr<job>& what, std::chrono::nanoseconds time_max);
  [[nodiscard]] std::size_t stuck() const noexcept { return stuck_->load(); }

private:
  struct helper;
  static void serve(std::shared_ptr<helper> self);

  std::size_t stuck_max_;
  std::shared_ptr<std::atomic<std::size_t>> stuck_; // shared with those left behind
  std::shared_ptr<helper> helper_;
  std::thread thread_;
};

} // namespace skerry::edge::host
