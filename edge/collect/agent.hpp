#pragma once

// The agent actor: runs the collectors of one host and scrapes its targets, each when it is due, and says when the host
// is complete up to a time (watermarks).

#include "actors/actors.hpp"
#include "actors/node/clock.hpp"
#include "edge/collect/scrape/fetcher.hpp"
#include "edge/collect/scrape/target_manager.hpp"
#include "edge/collect/source.hpp"
#include "edge/gateway/inbox.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::edge {

// What an agent is to scrape from now on.
struct target_assignment {
  std::vector<managed_target> targets;
  std::shared_ptr<fetcher> pages; // null only where there are no targets
};

// What the fetcher gave for one of an agent's targets.
struct scrape_answer {
  scrape_target_ptr target;
  fetch_response response;
};

// What is collected here instead of being asked from a target: the machine's own collectors, for the one agent that has
// them.
struct local_collection {
  std::function<collection(std::int64_t time_ns, std::int64_t monotonic_ns, std::string_view host)> collect;
  std::chrono::nanoseconds interval = std::chrono::seconds{15};
  std::chrono::nanoseconds offset{0}; // of its times from multiples of the interval; below it
};

struct agent_config {
  std::string host;
  gateway_actor gateway;
  std::shared_ptr<gateway_inbox> inbox;
  clock_source* clock = nullptr;
  std::shared_ptr<local_collection> local; // null: targets only
};

// Scratch memory belongs to the scheduler thread, not to the agent: thousands of agents cost little.
[[nodiscard]] agent_actor spawn_agent(caf::actor_system& system, agent_config config);

} // namespace skerry::edge
