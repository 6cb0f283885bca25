#pragma once

// A gateway's side towards edges further out: adapts delivery::receiver to the link server in front of it and the
// gateway actor behind it, which keeps what arrives in this node's spool.

#include "actors/actors.hpp"
#include "actors/delivery/origin_board.hpp"
#include "actors/delivery/presence.hpp"
#include "edge/spool/spool.hpp"

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace prometheus {
class Registry;
}
namespace skerry::link {
class registry;
}

namespace skerry::edge {

struct downlink_config {
  delivery::receiver_config receiver;
  std::shared_ptr<const spool> store;
  std::shared_ptr<link::registry> registry;
  gateway_actor gateway;
  std::function<void(const link::peer_id& to, link::message message)> send; // any thread, never blocks
  // Called on each tick: sessions, and how every edge with a key here or behind one stands.
  std::function<void(std::vector<delivery::edge_view>, std::vector<delivery::edge_presence>)> publish;
  std::filesystem::path presence_file;            // empty: nothing is kept over a restart
  std::shared_ptr<delivery::origin_board> epochs; // for this node's uplink; may be null
  clock_source* clock = nullptr;
  random_source* random = nullptr;
  prometheus::Registry* metrics = nullptr;
  std::size_t message_bytes_max = link::message_bytes_default;
};

// Detached: it reads the spool, and collecting must not wait for that.
[[nodiscard]] listener_actor spawn_downlink(caf::actor_system& system, downlink_config config);

} // namespace skerry::edge
