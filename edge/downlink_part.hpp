#pragma once

// Receives from edges further out: a registry of its own, the downlink actor over the pipeline, and the listener. Only a
// gateway has it.

#include "actors/actor_watch.hpp"
#include "actors/link/listener.hpp"
#include "actors/link/registry.hpp"
#include "edge/pipeline.hpp"
#include "edge/status.hpp"

#include <memory>

namespace skerry::edge {

class downlink_part final : public node_part {
public:
  // Listens when it returns. `watch` hears when the downlink ends by itself. As link::listener::start.
  [[nodiscard]] static result<std::unique_ptr<downlink_part>>
  open(const edge_config& config, const edge_identity& identity, const link::curve_keypair& keys,
       const pipeline& records, std::shared_ptr<status_board> board, random_source& random,
       prometheus::Registry& metrics, caf::actor_system& system, actor_watch& watch);
  ~downlink_part() override; // tells every edge

  [[nodiscard]] const std::shared_ptr<link::registry>& registry() const noexcept { return registry_; }
  [[nodiscard]] const listener_actor& actor() const noexcept { return downlink_; }
  [[nodiscard]] std::string address() const { return listener_.address(); } // as bound

private:
  explicit downlink_part(caf::actor_system& system) : system_(system) {}

  caf::actor_system& system_;
  std::shared_ptr<link::registry> registry_;
  link::listener listener_; // the downlink sends through it to its end
  listener_actor downlink_;
};

} // namespace skerry::edge
