#pragma once

// Decoded series sets, bounded by bytes, least used out first. Thread-safe.

#include "cloud/store/log_index.hpp"
#include "schemas/model/set_memory.hpp"

#include <list>
#include <mutex>

namespace skerry::cloud {

class set_cache {
public:
  explicit set_cache(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  [[nodiscard]] series_set_ptr find(const set_key& key) {
    const std::lock_guard lock{mutex_};
    const auto it = index_.find(key);
    if (it == index_.end())
      return nullptr;
    order_.splice(order_.begin(), order_, it->second);
    return it->second->set;
  }

  void put(const set_key& key, series_set_ptr set) {
    const std::lock_guard lock{mutex_};
    if (index_.contains(key))
      return;
    const auto bytes = memory_bytes(*set);
    order_.push_front({key, std::move(set), bytes});
    index_.emplace(key, order_.begin());
    bytes_ += bytes;
    while (bytes_ > bytes_max_ && !order_.empty()) {
      bytes_ -= order_.back().bytes;
      index_.erase(order_.back().key);
      order_.pop_back();
    }
  }

private:
  struct item {
    set_key key;
    series_set_ptr set;
    std::size_t bytes;
  };

  const std::size_t bytes_max_;
  std::mutex mutex_;
  std::list<item> order_;
  std::unordered_map<set_key, std::list<item>::iterator, set_key_hash> index_;
  std::size_t bytes_ = 0;
};

} // namespace skerry::cloud
