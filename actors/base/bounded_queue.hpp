#pragma once

// A first-in-first-out queue between threads, bounded by number and, where asked, by bytes. For threads that
// talk to actors: an actor only tries to push, and learns at once that the other side is behind. Any number
// of producers and consumers; every method from any thread.

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>

namespace skerry {

enum class push_result : std::uint8_t { accepted, full, closed };

template <class T>
class bounded_queue {
public:
  static constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

  explicit bounded_queue(std::size_t items_max, std::size_t bytes_max = unlimited)
      : items_max_(items_max), bytes_max_(bytes_max) {}

  // Moves from `item` only where it is accepted. An item larger than `bytes_max` is never accepted.
  [[nodiscard]] push_result try_push(T&& item, std::size_t bytes = 0) {
    {
      const std::lock_guard lock{mutex_};
      if (closed_)
        return push_result::closed;
      if (items_.size() >= items_max_ || bytes > bytes_max_ - bytes_)
        return push_result::full;
      items_.emplace_back(std::move(item), bytes);
      bytes_ += bytes;
    }
    ready_.notify_one();
    return push_result::accepted;
  }

  // Waits; nothing once the queue is closed and empty.
  [[nodiscard]] std::optional<T> pop() {
    std::unique_lock lock{mutex_};
    ready_.wait(lock, [this] { return closed_ || !items_.empty(); });
    return take();
  }
  // Nothing when the time is over, too.
  [[nodiscard]] std::optional<T> pop_for(std::chrono::nanoseconds at_most) {
    std::unique_lock lock{mutex_};
    ready_.wait_for(lock, at_most, [this] { return closed_ || !items_.empty(); });
    return take();
  }
  [[nodiscard]] std::optional<T> try_pop() {
    const std::lock_guard lock{mutex_};
    return take();
  }

  // No more is accepted; what is there can still be popped.
  void close() {
    {
      const std::lock_guard lock{mutex_};
      closed_ = true;
    }
    ready_.notify_all();
  }

  [[nodiscard]] std::size_t size() const {
    const std::lock_guard lock{mutex_};
    return items_.size();
  }
  [[nodiscard]] std::size_t bytes() const {
    const std::lock_guard lock{mutex_};
    return bytes_;
  }
  [[nodiscard]] bool closed() const {
    const std::lock_guard lock{mutex_};
    return closed_;
  }

private:
  std::optional<T> take() { // with the lock held
    if (items_.empty())
      return std::nullopt;
    std::optional<T> out{std::move(items_.front().first)};
    bytes_ -= items_.front().second;
    items_.pop_front();
    return out;
  }

  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::pair<T, std::size_t>> items_;
  const std::size_t items_max_;
  const std::size_t bytes_max_;
  std::size_t bytes_ = 0;
  bool closed_ = false;
};

} // namespace skerry
