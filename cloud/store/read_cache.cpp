#include "cloud/store/read_cache.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>

#include <atomic>
#include <utility>

namespace skerry::cloud {

namespace {

constexpr std::size_t entry_overhead_bytes = 160; // list node, table node, control block

} // namespace

std::uint64_t next_cache_owner() noexcept {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

read_cache::~read_cache() { metrics_.bytes.Set(0); }

std::size_t read_cache::key_hash::operator()(const cache_key& k) const noexcept {
  constexpr std::uint64_t odd = 0x9e3779b97f4a7c15;
  auto h = (k.owner << 8 | static_cast<std::uint64_t>(k.kind)) * odd;
  for (const auto p : {k.place[0], k.place[1], std::uint64_t{k.part}})
    h = (h ^ (h >> 29) ^ p) * odd;
  return h ^ (h >> 32);
}

std::shared_ptr<const void> read_cache::find_any(const cache_key& key) {
  if (bytes_max_ == 0)
    return nullptr;
  {
    const std::lock_guard lock{mutex_};
    if (const auto it = index_.find(key); it != index_.end()) {
      it->second->used = true;
      metrics_.hits.Increment();
      return it->second->what;
    }
  }
  metrics_.misses.Increment();
  return nullptr;
}

void read_cache::put(const cache_key& key, std::shared_ptr<const void> what, std::size_t bytes) {
  bytes += entry_overhead_bytes;
  if (bytes > bytes_max_)
    return;
  std::list<entry> gone; // freed without the lock
  const std::lock_guard lock{mutex_};
  const auto known = index_.find(key);
  const bool is_new = known == index_.end();
  bytes_ += bytes;
  if (!is_new)
    bytes_ -= std::exchange(known->second->bytes, bytes);
  while (bytes_ > bytes_max_) { // a new one is not yet among those that may go
    if (order_.back().used) {
      order_.back().used = false;
      order_.splice(order_.begin(), order_, std::prev(order_.end()));
      continue;
    }
    bytes_ -= order_.back().bytes;
    index_.erase(order_.back().key);
    gone.splice(gone.begin(), order_, std::prev(order_.end()));
  }
  if (is_new) {
    order_.push_front({key, std::move(what), bytes, false});
    index_.emplace(key, order_.begin());
  }
  metrics_.bytes.Set(static_cast<double>(bytes_));
}

} // namespace skerry::cloud
