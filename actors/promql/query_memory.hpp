#pragma once

// What one query holds in memory, in bytes: its tree, what it reads, columns, labels, tables, and its result. Against
// a bound of its own and against one that all queries of a node share. Made with the query, before it is parsed; gives
// everything back at its end. Any thread, several at once: shards are read side by side.
//
// A few bytes of each query are not counted against the shared bound (they are bounded by how many queries may wait and
// run), so that a small query is answered while large ones hold all there is.

#include "schemas/memory_budget.hpp"
#include "schemas/model/series.hpp"

#include <mutex>
#include <string>

namespace skerry::promql {

class query_memory {
public:
  static constexpr std::uint64_t waiting_free_bytes = 64 << 10; // not counted against the shared bound
  static constexpr std::uint64_t running_free_bytes = 4 << 20;  // the same, once it runs
  static constexpr std::uint64_t grant_bytes = 1 << 20;         // taken from the shared bound at once

  // `all` is what queries share; null: nothing bounds them together.
  query_memory(std::shared_ptr<memory_budget> all, std::uint64_t bytes_max)
      : granted_(std::move(all)), bytes_max_(bytes_max) {}
  query_memory(const query_memory&) = delete;
  query_memory& operator=(const query_memory&) = delete;

  // It leaves the queue.
  void started() noexcept { allowed_.fetch_add(running_free_bytes - waiting_free_bytes); }

  // False: it does not fit, and refusal() says why.
  [[nodiscard]] bool take(std::uint64_t bytes) noexcept;
  void give(std::uint64_t bytes) noexcept { held_.fetch_sub(bytes, std::memory_order_relaxed); }
  // exhausted: beyond the query's own bound; unavailable: beyond what all queries may hold.
  [[nodiscard]] error refusal() const;

  [[nodiscard]] std::uint64_t held() const noexcept { return held_.load(std::memory_order_relaxed); }

private:
  std::mutex mutex_; // guards granted_
  memory_share granted_;
  const std::uint64_t bytes_max_;
  std::atomic<std::uint64_t> held_{0};
  std::atomic<std::uint64_t> allowed_{waiting_free_bytes}; // what may be held without asking
  std::atomic<bool> shared_full_{false};
};

// Some bytes of a query for as long as a block runs. A query without a bound (null) holds what it wants.
class memory_hold {
public:
  explicit memory_hold(query_memory* of) noexcept : of_(of) {}
  ~memory_hold() { clear(); }
  memory_hold(memory_hold&& other) noexcept : of_(other.of_), bytes_(std::exchange(other.bytes_, 0)) {}
  memory_hold& operator=(memory_hold&& other) noexcept {
    if (this != &other) {
      clear();
      of_ = other.of_;
      bytes_ = std::exchange(other.bytes_, 0);
    }
    return *this;
  }

  [[nodiscard]] result<void> add(std::uint64_t bytes) {
    if (of_ == nullptr)
      return ok();
    if (!of_->take(bytes))
      return of_->refusal();
    bytes_ += bytes;
    return ok();
  }
  void clear() noexcept {
    if (of_ != nullptr && bytes_ != 0)
      of_->give(std::exchange(bytes_, 0));
  }

private:
  query_memory* of_;
  std::uint64_t bytes_ = 0;
};

inline constexpr std::uint64_t allocation_bytes = 16;  // what an allocation costs beside its content
inline constexpr std::uint64_t table_entry_bytes = 64; // of a hash table or a tree, beside key and value

// What a text takes beside its own object.
[[nodiscard]] inline std::uint64_t memory_of(const std::string& text) noexcept {
  constexpr std::size_t within_object = 15;
  return text.size() <= within_object ? 0 : text.size() + allocation_bytes;
}
// What a label set takes beside its own object.
[[nodiscard]] inline std::uint64_t memory_of(const labels& all) noexcept {
  std::uint64_t bytes = allocation_bytes;
  for (const auto& one : all)
    bytes += sizeof one + memory_of(one.name) + memory_of(one.value);
  return bytes;
}

} // namespace skerry::promql
