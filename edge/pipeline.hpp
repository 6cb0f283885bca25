#pragma once

// What carries records to the node upstream: the spool, the gateway that alone writes it, the uplink that delivers it, and
// what these share. Opened, started and stopped as one, by a node and by each edge of a simulated fleet alike.
//
// One thread at a time calls its methods. Whoever puts records into the inbox or sends jobs to the gateway stops before.

#include "actors/actor_watch.hpp"
#include "actors/delivery/claims.hpp"
#include "actors/delivery/origin_board.hpp"
#include "actors/node/part.hpp"
#include "edge/config.hpp"
#include "edge/gateway/inbox.hpp"
#include "edge/identity.hpp"
#include "edge/uplink/uplink.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace skerry::edge {

// Who works with a pipeline. Each outlives it.
struct pipeline_surroundings {
  clock_source& clock;
  random_source& random;
  prometheus::Registry& metrics;
  transport_factory connect;
  std::string software; // as it calls itself upstream
  // This program, to examine damaged segments in a process of its own; empty: in this one.
  std::vector<std::string> examine_command;
  std::function<void(const uplink_status&)> publish; // may be empty, as the next
  std::function<void(const std::string& refusal)> publish_refusal;
  // True: uplink and gateway have a thread each, as both wait for the disk. False: they share the system's, made for that.
  bool detached = true;
};

class pipeline final : public node_part {
public:
  // Opens the spool below `config.data`. As spool::open.
  [[nodiscard]] static result<std::unique_ptr<pipeline>>
  open(const edge_config& config, const edge_identity& identity, pipeline_surroundings around);
  ~pipeline() override; // stops, and waits until both actors have ended

  // Puts another spool before the one that was opened. Before start().
  void wrap(const std::function<std::shared_ptr<spool>(std::shared_ptr<spool>)>& with) {
    store_ = with(store_);
  }
  // Starts the uplink, then the gateway. Both `system` and `watch` outlive this.
  [[nodiscard]] result<void> start(caf::actor_system& system, actor_watch& watch);
  // Tells the uplink to say goodbye and the gateway to commit what has gathered; does not wait.
  void stop();

  [[nodiscard]] const std::shared_ptr<spool>& store() const noexcept { return store_; }
  // What edges further out said, for the uplink.
  [[nodiscard]] const std::shared_ptr<delivery::origin_board>& origins() const noexcept { return origins_; }
  // After start():
  [[nodiscard]] const std::shared_ptr<gateway_inbox>& inbox() const noexcept { return inbox_; }
  [[nodiscard]] const gateway_actor& gateway() const noexcept { return gateway_; }
  [[nodiscard]] const uplink_actor& uplink() const noexcept { return uplink_; }

private:
  pipeline(const edge_config& config, const edge_identity& identity, pipeline_surroundings around);

  const edge_config config_;
  const edge_identity identity_;
  const pipeline_surroundings around_;
  std::shared_ptr<spool> store_;
  std::shared_ptr<delivery::claims> claims_ = std::make_shared<delivery::claims>();
  std::shared_ptr<delivery::origin_board> origins_ = std::make_shared<delivery::origin_board>();
  std::shared_ptr<gateway_inbox> inbox_;
  caf::actor_system* system_ = nullptr;
  uplink_actor uplink_;
  gateway_actor gateway_;
};

} // namespace skerry::edge
