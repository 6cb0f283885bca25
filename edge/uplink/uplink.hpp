#pragma once

// The uplink actor: adapts uplink_core to the spool below it and the encrypted link above it.

#include "actors/actors.hpp"
#include "edge/spool/spool.hpp"
#include "edge/uplink/uplink_core.hpp"
#include "edge/uplink/uplink_link.hpp"

#include <filesystem>
#include <functional>
#include <memory>

namespace prometheus {
class Registry;
}

namespace skerry::edge {

struct uplink_config : uplink_core_config {
  std::shared_ptr<const spool> store;
  transport_factory connect;
  std::filesystem::path usage_file; // empty: nothing is kept over a restart
  clock_source* clock = nullptr;
  random_source* random = nullptr;
  prometheus::Registry* metrics = nullptr;
  std::function<void(const uplink_status&)> publish; // called on each tick; may be empty
  std::size_t message_bytes_max = link::message_bytes_default;
  // A thread of its own: it reads the spool, and collecting must not wait for that. False: one of a pool made for that.
  bool detached = true;
};

[[nodiscard]] uplink_actor spawn_uplink(caf::actor_system& system, uplink_config config);

} // namespace skerry::edge
