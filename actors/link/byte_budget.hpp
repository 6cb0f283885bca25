#pragma once

// Bounds what waits between the thread that receives messages and the actor that works on them: while the budget is
// used up the server reads nothing, and TCP makes the senders wait. Any thread.

#include "schemas/bytes.hpp"

#include <atomic>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

namespace skerry::link {

// What a message takes besides its bytes, as measured: its place in the actor's mailbox, the names of its connection and
// user, and for each part what owns its bytes in ZeroMQ's memory and ours.
inline constexpr std::size_t message_overhead_bytes = 640;
inline constexpr std::size_t part_overhead_bytes = 224;

[[nodiscard]] inline std::size_t memory_of(std::span<const shared_bytes> parts) noexcept {
  auto bytes = message_overhead_bytes + parts.size() * part_overhead_bytes;
  for (const auto& part : parts)
    bytes += part.view.size();
  return bytes;
}

class byte_budget : public std::enable_shared_from_this<byte_budget> {
public:
  explicit byte_budget(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  // Gives its bytes back when it goes.
  class share {
  public:
    share() = default;
    share(std::shared_ptr<byte_budget> of, std::size_t bytes) : of_(std::move(of)), bytes_(bytes) {}
    share(share&& other) noexcept : of_(std::move(other.of_)), bytes_(std::exchange(other.bytes_, 0)) {}
    share& operator=(share&& other) noexcept {
      std::swap(of_, other.of_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~share() {
      if (of_)
        of_->used_.fetch_sub(bytes_, std::memory_order_relaxed);
    }

  private:
    std::shared_ptr<byte_budget> of_;
    std::size_t bytes_ = 0;
  };

  // Always granted: what has been received is not thrown away. So at most one message is beyond the budget.
  [[nodiscard]] share take(std::size_t bytes) {
    used_.fetch_add(bytes, std::memory_order_relaxed);
    return {shared_from_this(), bytes};
  }
  [[nodiscard]] bool full() const noexcept { return used_.load(std::memory_order_relaxed) >= bytes_max_; }

private:
  const std::size_t bytes_max_;
  std::atomic<std::size_t> used_{0};
};

} // namespace skerry::link
