#pragma once

// Tells who follows it how each site stands, as an answer that lasts: all of them first, then what changes, about a second
// after it did. Any thread may call.
//
// It keeps what it told last while somebody follows, and nothing else. A client that comes back with the id of the newest
// message, while others followed, has missed nothing and is told nothing anew; any other gets all of them again.

#include "actors/http/server.hpp"
#include "cloud/api/context.hpp"

#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace skerry::cloud {

class site_feed {
public:
  // `node` outlives it. `started_ns` tells ids of this process from those of others.
  site_feed(node_operations& node, std::int64_t started_ns) : node_(node), started_ns_(started_ns) {}

  void follow(http::stream_ptr to, std::string_view last_event_id);
  void on_tick(); // about once a second: looks what has changed

private:
  using key = std::pair<std::string, edge_id>; // site and edge
  [[nodiscard]] std::string id() const;        // the lock is held, here and below
  [[nodiscard]] std::map<key, std::string> look();
  void tell(std::string_view event, const std::string& data);

  node_operations& node_;
  const std::int64_t started_ns_;
  std::mutex mutex_; // guards what follows
  std::vector<http::stream_ptr> followers_;
  std::map<key, std::string> told_; // JSON of each
  std::uint64_t messages_ = 0;
};

} // namespace skerry::cloud
