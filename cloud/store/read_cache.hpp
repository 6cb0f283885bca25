#pragma once

// What queries unpacked lately: heads and column groups of blocks, windows of the write-ahead log, series sets, where
// sources have their blocks.
// Bounded by bytes; what was not used since it was last looked at goes first (CLOCK: a use only marks an entry, where
// keeping the order of uses would touch its neighbours' memory, too). Whoever uses something holds it by pointer, so it
// may go at any time.
// Nothing that is kept here ever becomes wrong: keys name immutable bytes, or (windows) something that only grows.
// Thread-safe.

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace prometheus {
class Counter;
class Gauge;
} // namespace prometheus

namespace skerry::cloud {

enum class cached_kind : std::uint8_t { block_head, block_group, log_window, series_set, partition_source };

struct cache_key {
  cached_kind kind = cached_kind::block_head;
  std::uint64_t owner = 0; // next_cache_owner() of an environment; 0 where the rest says it all
  std::array<std::uint64_t, 2> place{};
  std::uint32_t part = 0;
  bool operator==(const cache_key&) const = default;
};

// Never given twice in a process: an environment that is opened again is another owner.
[[nodiscard]] std::uint64_t next_cache_owner() noexcept;

struct read_cache_metrics {
  prometheus::Gauge& bytes;
  prometheus::Counter& hits;
  prometheus::Counter& misses;
};

class read_cache {
public:
  read_cache(std::size_t bytes_max, const read_cache_metrics& metrics) noexcept
      : bytes_max_(bytes_max), metrics_(metrics) {}
  ~read_cache();

  // Null when it is not here. T is what was put under this kind.
  template <class T>
  [[nodiscard]] std::shared_ptr<T> find(const cache_key& key) {
    return std::static_pointer_cast<T>(std::const_pointer_cast<void>(find_any(key)));
  }
  // Keeps it, or notes that it has grown or shrunk. The first of two under one key stays.
  void put(const cache_key& key, std::shared_ptr<const void> what, std::size_t bytes);
  [[nodiscard]] std::size_t bytes_max() const noexcept { return bytes_max_; }

private:
  struct key_hash {
    std::size_t operator()(const cache_key& k) const noexcept;
  };
  struct entry {
    cache_key key;
    std::shared_ptr<const void> what;
    std::size_t bytes;
    bool used; // since it was put or passed over
  };
  [[nodiscard]] std::shared_ptr<const void> find_any(const cache_key& key);

  const std::size_t bytes_max_;
  read_cache_metrics metrics_;
  std::mutex mutex_;
  std::list<entry> order_; // the last is the next to go, or to be passed over
  std::unordered_map<cache_key, std::list<entry>::iterator, key_hash> index_;
  std::size_t bytes_ = 0;
};

} // namespace skerry::cloud
