#pragma once

// What a fleet's run showed: plain values, a table for people, JSON for programs. docs/simulator.md explains each line.

#include "simulator/fleet/edge_tally.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace skerry::sim {

// How edges came back after their links were there again.
struct recovery {
  std::string what; // "start", or the fault
  std::size_t edges = 0;
  std::size_t back = 0; // of them, current again; fewer than `edges`: the run, or another fault, came before
  double outage_s = 0;  // how long the links were cut (of flapping: until the last time)
  double connected_s = 0; // from the links' return to the last handshake
  double live_s = 0;      // to the last Welcome
  double current_s = 0;   // until everyone's newest samples of its Welcome were acknowledged
  double connections_per_s = 0;
  std::uint64_t connections_per_s_peak = 0; // in one second
  double welcome_to_current_p50_s = 0;
  double welcome_to_current_max_s = 0;
};

struct edge_moments { // monotonic; 0: not yet
  std::int64_t connected_ns = 0;
  std::int64_t welcome_ns = 0;
  std::int64_t current_ns = 0;
};
// Of edges whose links were there again at `returned_ns`; what happened before that does not count.
[[nodiscard]] recovery summarize(std::string what, double outage_s, std::int64_t returned_ns,
                                 const std::vector<edge_moments>& edges);

struct latency_summary {
  std::uint64_t samples = 0;
  std::int64_t p50_ms = 0, p90_ms = 0, p99_ms = 0, max_ms = 0;
};
[[nodiscard]] latency_summary summarize(const latency_histogram& from);

struct fleet_report {
  std::string version;
  std::uint64_t seed = 0;
  std::size_t edges = 0, sites = 0, regions = 0, agents = 0, series = 0;
  double interval_s = 0;
  double duration_s = 0; // from the first agent's start to the end of the drain
  bool interrupted = false;

  sample_totals samples;
  std::uint64_t refused = 0; // never numbered: the spool took nothing for too long
  std::uint64_t hosts_replaced = 0;
  latency_summary live, all;

  std::uint64_t connections = 0, sessions = 0, reconnects = 0;
  std::vector<recovery> recoveries; // the start first

  // Since the agents started.
  std::uint64_t tcp_sent = 0, tcp_received = 0, ip_sent = 0, ip_received = 0;
  double cpu_s = 0;
  double rss_bytes = 0, rss_anonymous_bytes = 0; // at the end of the load
  double open_fds = 0;
  // Anonymous memory: what it grew by, divided; 0: not measured.
  double edge_bytes = 0;  // spool, gateway and uplink, without a link
  double link_bytes = 0;  // a connected, encrypted link with its session
  double agent_bytes = 0; // after three intervals

  [[nodiscard]] std::uint64_t sent() const noexcept { return samples.committed + refused; }
  // Everything that was collected is acknowledged.
  [[nodiscard]] bool all_acked() const noexcept { return refused == 0 && samples.acked == samples.committed; }
};

[[nodiscard]] std::string to_table(const fleet_report& from);
[[nodiscard]] std::string to_json(const fleet_report& from); // one document; docs/simulator.md lists its keys

} // namespace skerry::sim
