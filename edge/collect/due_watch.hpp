#pragma once

// When something that is collected time and again is due next, for those who ask whether it is behind. By the boot clock. Any thread.

#include <atomic>
#include <cstdint>

namespace skerry::edge {

class due_watch {
public:
  // `late_max_ns`: it is behind when it was due longer ago than this and has not been collected.
  explicit due_watch(std::int64_t late_max_ns) noexcept : late_max_ns_(late_max_ns) {}

  void set_due(std::int64_t due_ns) noexcept { due_ns_.store(due_ns, std::memory_order_relaxed); }
  // How long ago what is behind was due; 0: it is not behind.
  [[nodiscard]] std::int64_t behind_ns(std::int64_t now_ns) const noexcept {
    const auto due_ns = due_ns_.load(std::memory_order_relaxed);
    return due_ns != 0 && now_ns - due_ns > late_max_ns_ ? now_ns - due_ns : 0;
  }

private:
  const std::int64_t late_max_ns_;
  std::atomic<std::int64_t> due_ns_{0}; // 0: never
};

} // namespace skerry::edge
