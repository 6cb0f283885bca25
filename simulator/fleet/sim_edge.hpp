#pragma once

// One edge of a fleet: agents over the pipeline of an edge node (spool, gateway, uplink, encrypted link), so that
// hundreds fit into a process. Threads, the client loop and the metrics are shared; the data directory is that of a
// real node. Owned and called by the fleet's thread.

#include "actors/link/token.hpp"
#include "actors/node/data_directory.hpp"
#include "edge/identity.hpp"
#include "edge/pipeline.hpp"
#include "simulator/fleet/counting_spool.hpp"
#include "simulator/fleet/edge_clock.hpp"
#include "simulator/fleet/link_switch.hpp"
#include "simulator/fleet/model_source.hpp"

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace skerry::sim {

// What all edges of a fleet share.
struct edge_surroundings {
  caf::actor_system* actors = nullptr;
  std::shared_ptr<link::client_loop> loop;
  prometheus::Registry* metrics = nullptr;
  fleet_latencies* latencies = nullptr;
  std::shared_ptr<const value_model> model;
  std::chrono::nanoseconds interval = std::chrono::seconds{10};
  std::uint64_t spool_bytes_max = 64 << 20;
  std::chrono::milliseconds reconnect_max{30'000};
};

class sim_edge {
public:
  sim_edge(const edge_surroundings& shared, std::filesystem::path data);
  ~sim_edge();
  sim_edge(const sim_edge&) = delete;
  sim_edge& operator=(const sim_edge&) = delete;

  // not_found: it has not joined yet.
  [[nodiscard]] result<void> load();
  // As `skerry-edge join` does. Any thread, one at a time.
  [[nodiscard]] result<void> join(const link::join_token& token, std::chrono::milliseconds timeout);
  // Opens the spool; any thread, one at a time. The link is cut until restore().
  [[nodiscard]] result<void> open();
  [[nodiscard]] result<void> start(); // gateway and uplink

  // Agents collect at multiples of the interval plus `offset`.
  void add_agent(const std::string& host, std::uint64_t host_number, std::uint64_t site_number,
                 std::chrono::nanoseconds offset);
  void remove_agent(const std::string& host); // as a machine that is taken away
  void stop_agents();
  void stop(); // everything else; then the actor system waits for it

  [[nodiscard]] const std::string& site() const noexcept { return identity_.site; }
  [[nodiscard]] link_switch& link() noexcept { return switch_; }
  [[nodiscard]] edge_clock& clock() noexcept { return clock_; }
  [[nodiscard]] const edge_tally& tally() const noexcept { return tally_; }
  [[nodiscard]] std::size_t agent_count() const noexcept { return agents_.size(); }
  [[nodiscard]] std::optional<std::string> some_agent(std::uint64_t choice) const;

private:
  [[nodiscard]] edge::edge_config settings() const;
  [[nodiscard]] edge::pipeline_surroundings surroundings();

  const edge_surroundings& shared_;
  std::filesystem::path data_;
  edge_clock clock_;
  edge_tally tally_;
  link_switch switch_;
  std::optional<data_directory> directory_;
  edge::edge_identity identity_;
  link::curve_keypair keys_;
  actor_watch watch_;
  std::unique_ptr<edge::pipeline> pipeline_;
  std::map<std::string, agent_actor> agents_;
};

} // namespace skerry::sim
