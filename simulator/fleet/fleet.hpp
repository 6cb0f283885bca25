#pragma once

// A fleet of simulated sites against a real cloud: joins, opens, connects and loads them, lets the schedule's faults
// happen, drains, and reports. One thread runs it; the edges' actors have a pool of their own.

#include "simulator/fleet/fault_schedule.hpp"
#include "simulator/fleet/report.hpp"
#include "simulator/fleet/value_model.hpp"

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace skerry::sim {

inline constexpr std::size_t fleet_edges_max = 10'000;
inline constexpr std::size_t fleet_agents_max = 1'000'000;
inline constexpr std::size_t fleet_series_max = 100'000; // of one agent

struct fleet_options {
  std::size_t agents = 100;
  std::size_t edges = 0; // 0: as many as there are tokens and edges that joined before
  std::size_t series = 100;
  std::size_t regions = 1;
  std::chrono::nanoseconds interval = std::chrono::seconds{10};
  std::uint64_t seed = 1;
  value_mix mix;
  bool spread_hosts = false; // every host has its own phase; else all of an edge collect together
  double churn_per_hour = 0; // hosts replaced
  std::vector<fleet_fault> faults;
  std::vector<std::string> tokens;      // as text
  std::filesystem::path data;           // a folder an edge below; made where it is missing
  std::chrono::nanoseconds duration{0}; // 0: until asked to stop
  std::chrono::nanoseconds drain = std::chrono::seconds{30};
  std::uint64_t spool_bytes_max = 64 << 20; // of each edge
  std::chrono::milliseconds reconnect_max{30'000};
  std::size_t threads = 4;

  // invalid_argument: out of bounds, a fault names a site or region that cannot be.
  [[nodiscard]] result<void> validate() const;
};

struct fleet_progress {
  enum class stage : std::uint8_t {
    joining,
    opening,
    connecting,
    running,
    draining,
    stopping
  } now = stage::joining;
  double elapsed_s = 0; // of the stage
  std::size_t done = 0; // edges, of this stage
  std::size_t edges = 0;
  std::size_t live = 0;
  std::size_t agents = 0;
  sample_totals samples;
  std::string faults; // that are under way
};

struct fleet_hooks {
  std::function<void(const fleet_progress&)> progress; // a few times a second
  // Waits for at most so long; true: stop, as soon as what was collected has drained. Asked again while that lasts,
  // and then true means at once.
  std::function<bool(std::chrono::milliseconds)> wait;
};

// exhausted: descriptors; not_found, unavailable, forbidden and so on: an edge cannot join or be opened.
[[nodiscard]] result<fleet_report> run_fleet(const fleet_options& options, const fleet_hooks& hooks);

} // namespace skerry::sim
