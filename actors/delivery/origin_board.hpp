#pragma once

// What edges further out last said of their epochs, for this node's own uplink: a gateway's downlink puts it here, its
// sender passes it on, so that the receiver above knows how far an older epoch reaches. Any thread.

#include "actors/link/messages.hpp"

#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

namespace skerry::delivery {

class origin_board {
public:
  void put(link::origin_state state) {
    const std::lock_guard lock{mutex_};
    auto& entry = entries_[state.edge];
    entry.version = ++version_;
    entry.state = std::move(state);
  }
  // Those that changed after `version`, which is updated.
  [[nodiscard]] std::vector<link::origin_state> changed_since(std::uint64_t& version) const {
    const std::lock_guard lock{mutex_};
    std::vector<link::origin_state> out;
    if (version != version_)
      for (const auto& [edge, entry] : entries_)
        if (entry.version > version)
          out.push_back(entry.state);
    version = version_;
    return out;
  }

private:
  struct entry {
    link::origin_state state;
    std::uint64_t version = 0;
  };
  mutable std::mutex mutex_;
  std::map<edge_id, entry> entries_; // of edges with a key of this gateway: bounded by its registry
  std::uint64_t version_ = 0;
};

} // namespace skerry::delivery
