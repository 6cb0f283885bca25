#pragma once

// The shard actor: owns a set of hosts. It adapts shard_core to messages.

#include "actors/actors.hpp"
#include "cloud/ingest/shard_core.hpp"

namespace skerry::cloud {

[[nodiscard]] shard_actor spawn_shard(caf::actor_system& system, shard_config config);

} // namespace skerry::cloud
