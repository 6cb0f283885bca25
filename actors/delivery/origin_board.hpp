#pragma once

// What edges further out last said of their epochs, and how they stand with this node, for this node's own uplink: a
// gateway's downlink puts it here, its sender passes it on, so that the receiver above knows how far an older epoch reaches,
// and whether an edge is there at all. Any thread.

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

  // Replaces what was there, where more than the time of hearing is new.
  void put(link::origin_link now) {
    const std::lock_guard lock{mutex_};
    auto& entry = links_[now.edge];
    if (entry.version == 0 || entry.link.now != now.now || entry.link.since_ns != now.since_ns
        || entry.link.cause != now.cause)
      entry.version = ++links_version_;
    entry.link = std::move(now);
  }
  // At most so many of those that changed after `version`, which is updated; the oldest changes first.
  [[nodiscard]] std::vector<link::origin_link> links_since(std::uint64_t& version,
                                                           std::size_t count_max) const {
    const std::lock_guard lock{mutex_};
    if (version == links_version_)
      return {};
    std::map<std::uint64_t, const link::origin_link*> changed;
    for (const auto& [edge, entry] : links_)
      if (entry.version > version)
        changed.emplace(entry.version, &entry.link);
    std::vector<link::origin_link> out;
    for (const auto& [number, link] : changed) {
      if (out.size() == count_max)
        break;
      version = number;
      out.push_back(*link);
    }
    return out;
  }

private:
  struct link_entry {
    link::origin_link link;
    std::uint64_t version = 0;
  };
  struct entry {
    link::origin_state state;
    std::uint64_t version = 0;
  };
  mutable std::mutex mutex_;
  std::map<edge_id, entry> entries_; // of edges with a key of this gateway: bounded by its registry
  std::uint64_t version_ = 0;
  std::map<edge_id, link_entry> links_; // of them, and of those behind them
  std::uint64_t links_version_ = 0;
};

} // namespace skerry::delivery
