#pragma once

// The stages of a fleet's run, in the order of its methods. Private to this folder; one thread.

#include "actors/base/clock.hpp"
#include "actors/node/metrics.hpp"
#include "simulator/fleet/fleet.hpp"
#include "simulator/fleet/sim_edge.hpp"

#include <memory>
#include <optional>
#include <random>
#include <vector>

namespace skerry::sim {

class running_fleet {
public:
  running_fleet(const fleet_options& options, const fleet_hooks& hooks);
  ~running_fleet();

  result<void> prepare(); // descriptors, joining, opening
  [[nodiscard]] result<void> connect();
  void run();
  void drain();
  fleet_report finish();

private:
  struct outage { // whose edges are on their way back
    std::size_t fault = 0;
    std::vector<std::size_t> edges;
    std::int64_t cut_ns = 0;
    std::int64_t returned_ns = 0; // 0: not yet, for the last time
  };

  result<void> raise_descriptor_limit() const;
  result<void> join_all();
  result<void> for_all(fleet_progress::stage stage, const std::vector<std::size_t>& edges,
                       const std::function<result<void>(std::size_t)>& each);
  void start_agents(double share);
  void add_host(std::size_t edge);
  void replace_host();
  void apply(const fault_event& event);
  void finish_outages(bool at_end);
  [[nodiscard]] std::vector<std::size_t> edges_of(const fleet_fault& fault) const;
  [[nodiscard]] edge_moments moments_of(std::size_t edge) const;
  [[nodiscard]] std::vector<edge_moments> moments_of(const std::vector<std::size_t>& edges) const;
  bool pause(fleet_progress::stage stage, std::size_t done); // true: asked to stop
  [[nodiscard]] double elapsed_s() const;                    // of the stage
  void begin_stage();
  [[nodiscard]] sample_totals totals() const;
  struct traffic {
    std::uint64_t connections = 0, sessions = 0, tcp_sent = 0, tcp_received = 0, ip_sent = 0, ip_received = 0;
  };
  [[nodiscard]] traffic traffic_now() const;

  const fleet_options& options_;
  const fleet_hooks& hooks_;
  struct actor_settings;
  std::unique_ptr<actor_settings> settings_;
  node_metrics metrics_;
  fleet_latencies latencies_;
  edge_surroundings shared_;
  std::vector<std::unique_ptr<sim_edge>> edges_;
  std::vector<std::uint64_t> site_numbers_; // of each edge
  std::unique_ptr<caf::actor_system> actors_;
  std::mt19937_64 random_;
  std::uint64_t hosts_made_ = 0;
  std::size_t started_ = 0; // agents, replacements apart
  std::size_t agents_ = 0;  // that run
  std::vector<fault_event> events_;
  std::size_t next_event_ = 0;
  std::vector<outage> outages_;
  std::vector<std::size_t> skewed_;
  std::int64_t stage_began_ns_ = 0;
  std::int64_t load_began_ns_ = 0;
  process_usage usage_at_load_;
  traffic traffic_at_load_;
  bool stop_asked_ = false;
  fleet_report report_;
};

} // namespace skerry::sim
