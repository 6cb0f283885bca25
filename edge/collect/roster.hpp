#pragma once

// The roster actor: which targets there are (scrape_configs, target files), and which agent, one a host, has them.

#include "actors/actors.hpp"
#include "edge/collect/agent.hpp"

#include <functional>
#include <memory>
#include <vector>

namespace skerry::edge {

struct roster_config {
  gateway_actor gateway;
  std::shared_ptr<gateway_inbox> inbox;
  clock_source* clock = nullptr;
  prometheus::Registry* metrics = nullptr;
  std::function<void(std::vector<scrape_target_ptr>)>
      publish; // the targets, whenever their list changes; may be empty
  std::function<void(std::shared_ptr<const due_watch>)>
      publish_host;       // when the machine's own values are due; may be empty
  std::uint64_t seed = 0; // spreads due times; the same on every start, different between edges
};

// Collects nothing before it has been given its settings.
[[nodiscard]] roster_actor spawn_roster(caf::actor_system& system, roster_config config);

} // namespace skerry::edge
