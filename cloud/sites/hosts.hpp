#pragma once

// The hosts actor: the one writer of the table of hosts. It takes what shards have stored and what ingest says of streams,
// keeps what is known over a restart, and forgets hosts that are silent for the retention.
//
// Its mailbox is bounded by credit: a part is answered when the actor has taken what was told of it, and ingest tells no
// more of streams while its last list waits (committed_effects.hpp, ingest_core.hpp).

#include "actors/actors.hpp"
#include "actors/base/clock.hpp"
#include "cloud/sites/host_table.hpp"
#include "cloud/store/state.hpp"

#include <functional>
#include <memory>

namespace skerry::cloud {

struct hosts_config {
  std::shared_ptr<host_table> table;
  std::shared_ptr<host_admission> places; // of the same hosts
  std::shared_ptr<state_store> store;
  std::function<std::int64_t()> kept_from_ns; // what is older is past retention
  clock_source* clock = nullptr;
  std::function<state_update()> also; // is kept with what has changed
};
[[nodiscard]] hosts_actor spawn_hosts(caf::actor_system& system, hosts_config config);

} // namespace skerry::cloud
