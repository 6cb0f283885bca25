#pragma once

// A bound on bytes in memory that several holders share: all running queries, all answers being written, all bodies
// being read. Any thread.

#include <atomic>
#include <cstdint>
#include <malloc.h>
#include <memory>
#include <utility>

namespace skerry {

class memory_budget {
public:
  explicit memory_budget(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}
  memory_budget(const memory_budget&) = delete;
  memory_budget& operator=(const memory_budget&) = delete;

  // All of it or, where it does not fit, nothing.
  [[nodiscard]] bool take(std::uint64_t bytes) noexcept {
    auto now = taken_.load(std::memory_order_relaxed);
    do {
      if (bytes > bytes_max_ || now > bytes_max_ - bytes) {
        refused_.fetch_add(1, std::memory_order_relaxed);
        return false;
      }
    } while (!taken_.compare_exchange_weak(now, now + bytes, std::memory_order_relaxed));
    return true;
  }
  // After they were freed. Now and then has the allocator hand what is free back to the system: what many holders leave
  // between what others hold would add up.
  void give(std::uint64_t bytes) noexcept {
    taken_.fetch_sub(bytes, std::memory_order_relaxed);
    if (given_.fetch_add(bytes, std::memory_order_relaxed) + bytes < trim_after_bytes)
      return;
    given_.store(0, std::memory_order_relaxed);
    ::malloc_trim(0);
  }

  // How often something did not fit since the last call: for who counts that.
  [[nodiscard]] std::uint64_t refusals() noexcept { return refused_.exchange(0, std::memory_order_relaxed); }

  [[nodiscard]] std::uint64_t taken() const noexcept { return taken_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t bytes_max() const noexcept { return bytes_max_; }

private:
  static constexpr std::uint64_t trim_after_bytes = 64 << 20; // takes some milliseconds

  const std::uint64_t bytes_max_;
  std::atomic<std::uint64_t> taken_{0};
  std::atomic<std::uint64_t> given_{0}; // since the last time
  std::atomic<std::uint64_t> refused_{0};
};

// What one holder has of a budget; goes back with it. One thread at a time.
class memory_share {
public:
  memory_share() = default;
  // Of no budget: everything fits.
  explicit memory_share(std::shared_ptr<memory_budget> of) noexcept : of_(std::move(of)) {}
  ~memory_share() { clear(); }
  memory_share(memory_share&& other) noexcept
      : of_(std::move(other.of_)), bytes_(std::exchange(other.bytes_, 0)) {}
  memory_share& operator=(memory_share&& other) noexcept {
    if (this != &other) {
      clear();
      of_ = std::move(other.of_);
      bytes_ = std::exchange(other.bytes_, 0);
    }
    return *this;
  }

  // False: it does not fit, and nothing changed.
  [[nodiscard]] bool grow(std::uint64_t bytes) noexcept {
    if (of_ && !of_->take(bytes))
      return false;
    bytes_ += bytes;
    return true;
  }
  void shrink_to(std::uint64_t bytes) noexcept {
    if (bytes >= bytes_)
      return;
    if (of_)
      of_->give(bytes_ - bytes);
    bytes_ = bytes;
  }
  void clear() noexcept { shrink_to(0); }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }

private:
  std::shared_ptr<memory_budget> of_;
  std::uint64_t bytes_ = 0;
};

} // namespace skerry
