#pragma once

// Who may touch which records of a spool: what a sender has under way is not dropped, and what is just being dropped is
// not sent. Any thread.

#include "schemas/model/range_set.hpp"

#include <map>
#include <mutex>

namespace skerry::delivery {

class claims {
public:
  // Before sending. False: some of it is being dropped just now; read it again a little later.
  [[nodiscard]] bool claim(const stream_key& key, sequence_range range) {
    const std::lock_guard lock{mutex_};
    if (const auto it = blocked_.find(key); it != blocked_.end() && !it->second.common_with(range).empty())
      return false;
    claimed_[key].add(range);
    return true;
  }
  void release(const stream_key& key, sequence_range range) {
    const std::lock_guard lock{mutex_};
    if (const auto it = claimed_.find(key); it != claimed_.end()) {
      it->second.remove(range);
      if (it->second.empty())
        claimed_.erase(it);
    }
  }
  void release_all() { // the session is over
    const std::lock_guard lock{mutex_};
    claimed_.clear();
  }

  // Before dropping: what of `ranges` is not under way. It is not claimed by anybody until unblock().
  [[nodiscard]] range_set block(const stream_key& key, range_set ranges) {
    const std::lock_guard lock{mutex_};
    if (const auto it = claimed_.find(key); it != claimed_.end())
      ranges.remove(it->second);
    blocked_[key].add(ranges);
    return ranges;
  }
  void unblock_all() {
    const std::lock_guard lock{mutex_};
    blocked_.clear();
  }

private:
  std::mutex mutex_;
  std::map<stream_key, range_set> claimed_;
  std::map<stream_key, range_set> blocked_;
};

} // namespace skerry::delivery
