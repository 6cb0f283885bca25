#pragma once

// Collects: the roster with its agents, into the pipeline's inbox.

#include "actors/actor_watch.hpp"
#include "edge/pipeline.hpp"
#include "edge/status.hpp"

#include <memory>

namespace skerry::edge {

class collect_part final : public node_part {
public:
  // Begins at once. `watch` hears when the roster ends by itself.
  collect_part(const collect_settings& config, const edge_identity& identity, const pipeline& records,
               std::shared_ptr<status_board> board, prometheus::Registry& metrics, caf::actor_system& system,
               actor_watch& watch);
  ~collect_part() override; // agents end; what they have collected is in the pipeline's inbox

  void apply(const collect_settings& config); // targets, and what else can change while it runs

private:
  caf::actor_system& system_;
  roster_actor roster_;
};

} // namespace skerry::edge
