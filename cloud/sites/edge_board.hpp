#pragma once

// What ingest sees of edges: their sessions, and how each stands that was ever heard of.

#include "actors/delivery/presence.hpp"

#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace skerry::cloud {

// Ingest writes it once a second; any thread may read it.
class edge_board {
public:
  using presences = std::map<edge_id, delivery::edge_presence>;

  void publish(std::vector<delivery::edge_view> edges, presences how = {}) {
    const std::lock_guard lock{mutex_};
    edges_ = std::move(edges);
    presences_ = std::make_shared<const presences>(std::move(how));
  }
  // How every edge stands that was ever heard of, also through a gateway.
  [[nodiscard]] std::shared_ptr<const presences> how() const {
    const std::lock_guard lock{mutex_};
    return presences_;
  }
  [[nodiscard]] std::vector<delivery::edge_view> edges() const {
    const std::lock_guard lock{mutex_};
    return edges_;
  }

private:
  mutable std::mutex mutex_;
  std::vector<delivery::edge_view> edges_;
  std::shared_ptr<const presences> presences_ = std::make_shared<const presences>();
};

} // namespace skerry::cloud
