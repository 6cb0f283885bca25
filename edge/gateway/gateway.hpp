#pragma once

// The gateway actor: numbers what agents collect, commits it to the spool in groups, hands fresh runs to the uplink,
// and keeps what edges further out send. The only writer of the spool.

#include "actors/actors.hpp"
#include "actors/base/clock.hpp"
#include "edge/gateway/gateway_settings.hpp"
#include "edge/gateway/inbox.hpp"
#include "edge/spool/spool.hpp"

#include <functional>
#include <memory>

namespace prometheus {
class Registry;
}

namespace skerry::edge {

struct gateway_config : gateway_settings {
  std::shared_ptr<spool> store; // opened; its writer thread is this actor's from now on
  clock_source* clock = nullptr;
  prometheus::Registry* metrics = nullptr;
  std::shared_ptr<gateway_inbox> inbox;
  std::shared_ptr<delivery::claims> under_way; // shared with the uplink's sender
  std::function<std::uint64_t()> free_disk;    // bytes left on the spool's disk
  std::function<void(const std::string& refusal)>
      publish;          // why the spool takes nothing; empty: it does again
  bool detached = true; // a thread of its own, as it blocks in fsync; false: one of a pool made for that
};

// Sends every committed run to `uplink`.
[[nodiscard]] gateway_actor spawn_gateway(caf::actor_system& system, gateway_config config,
                                          uplink_actor uplink);

} // namespace skerry::edge
