#pragma once

// What an edge tells of itself over HTTP: /api/v1/status, its scrape targets, health, and, where it is a gateway, invites and edges.

#include "actors/http/server.hpp"
#include "edge/collect/scrape/target_manager.hpp"
#include "edge/downlink/downlink.hpp"
#include "edge/identity.hpp"
#include "edge/spool/spool.hpp"
#include "edge/uplink/uplink.hpp"

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace skerry::edge {

// Written by actors, read by HTTP handlers; any thread.
class status_board {
public:
  void publish(const uplink_status& now) {
    const std::lock_guard lock{mutex_};
    uplink_ = now;
  }
  void publish(std::vector<delivery::edge_view> edges, std::vector<delivery::edge_presence> how) {
    const std::lock_guard lock{mutex_};
    edges_ = std::move(edges);
    how_ = std::move(how);
  }
  // How every edge with a key here, or behind one that has, stands; also those without a session.
  [[nodiscard]] std::vector<delivery::edge_presence> how() const {
    const std::lock_guard lock{mutex_};
    return how_;
  }
  void publish(std::vector<scrape_target_ptr> targets) {
    const std::lock_guard lock{mutex_};
    targets_ = std::move(targets);
  }
  void publish(std::shared_ptr<const due_watch> host) {
    const std::lock_guard lock{mutex_};
    host_ = std::move(host);
  }
  // Of what should have been collected more than an interval ago and was not: the longest, in words. Empty: nothing. `now_ns`: of the boot clock.
  [[nodiscard]] std::string behind(std::int64_t now_ns) const;
  void publish_refusal(const std::string& why) {
    const std::lock_guard lock{mutex_};
    refusal_ = why;
  }
  // Why the spool takes nothing; empty: it does.
  [[nodiscard]] std::string refusal() const {
    const std::lock_guard lock{mutex_};
    return refusal_;
  }
  [[nodiscard]] std::vector<scrape_target_ptr> targets() const {
    const std::lock_guard lock{mutex_};
    return targets_;
  }
  [[nodiscard]] uplink_status uplink() const {
    const std::lock_guard lock{mutex_};
    return uplink_;
  }
  [[nodiscard]] std::vector<delivery::edge_view> edges() const {
    const std::lock_guard lock{mutex_};
    return edges_;
  }

private:
  mutable std::mutex mutex_;
  uplink_status uplink_;
  std::vector<delivery::edge_view> edges_;
  std::vector<delivery::edge_presence> how_;
  std::vector<scrape_target_ptr> targets_;
  std::shared_ptr<const due_watch> host_; // the machine's own values; null: not collected
  std::string refusal_;
};

struct status_context {
  edge_identity identity;
  std::shared_ptr<const spool> store;
  std::shared_ptr<status_board> board;
  std::function<result<std::string>()> reload;
  std::function<void(bool paused)> pause_backlog;
  // Of a gateway; null where it is none.
  std::shared_ptr<link::registry> registry;
  link::curve_key server_key;
  std::string advertise; // "tcp://host:port"
  std::function<void(edge_id)> on_revoked;
};

[[nodiscard]] std::vector<http::route> make_status_routes(status_context context);

} // namespace skerry::edge
