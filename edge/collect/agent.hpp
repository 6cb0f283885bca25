#pragma once

// The agent actor: runs the collectors of one host and has its targets scraped, each when it is due, and says when the
// host is complete up to a time (watermarks), and what was due and did not happen.
//
// What a turn of it costs does not grow with the targets that are not due: a host may have all of a node's.

#include "actors/actors.hpp"
#include "actors/base/clock.hpp"
#include "edge/collect/due_watch.hpp"
#include "edge/collect/page_reader.hpp"
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

namespace prometheus {
class Counter;
}

namespace skerry::edge {

// What an agent is to scrape from now on.
struct target_assignment {
  std::vector<managed_target> targets;
  std::shared_ptr<fetcher> pages; // null only where there are no targets
  page_reader_actor reader;       // the same
};

// What is collected here instead of being asked from a target: the machine's own collectors, for the one agent that has
// them.
struct local_collection {
  std::function<collection(std::int64_t time_ns, std::int64_t monotonic_ns, std::string_view host)> collect;
  std::chrono::nanoseconds interval = std::chrono::seconds{15};
  std::chrono::nanoseconds offset{0}; // of its times from multiples of the interval; below it
  std::shared_ptr<due_watch> watch;   // is told when it is due; may be null
};

struct agent_config {
  std::string host;
  gateway_actor gateway;
  std::shared_ptr<gateway_inbox> inbox;
  clock_source* clock = nullptr;
  std::shared_ptr<local_collection> local; // null: targets only
  prometheus::Counter* missed = nullptr;   // counts what was due and did not happen; may be null
};

// Scratch memory belongs to the scheduler thread, not to the agent: thousands of agents cost little.
[[nodiscard]] agent_actor spawn_agent(caf::actor_system& system, agent_config config);

} // namespace skerry::edge
