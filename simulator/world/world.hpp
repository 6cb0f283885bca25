#pragma once

// One world: at least three edges, a gateway before the cloud, ten simulated minutes, a schedule of faults; then
// everything heals, drains, and is checked. The same seed and options give the same run, event by event.

#include "simulator/world/cloud_node.hpp"
#include "simulator/world/faults.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace skerry::sim {

struct world_options {
  std::uint64_t seed = 1;
  std::size_t faults = 5;
  std::optional<std::vector<std::size_t>> only; // of the schedule; nullopt: all
  bool limits = true;                           // false: no spool is too small
  sim_time length = 10 * minute;
  planted_fault planted = planted_fault::none;
  bool trace = false;
};

// How often each bound of a receiver was met, at the gateway and at the cloud.
using bound_coverage = std::array<std::array<std::uint64_t, 2>, receiver_bounds>;
// How many records each limit took, at edges and at the gateway.
using limit_coverage = std::array<std::array<std::uint64_t, 2>, limit_acts>;

// How often each uplink did what, at edges and at the gateway.
using uplink_coverage = std::array<std::array<std::uint64_t, 2>, uplink_acts>;

// What runs see of clocks that are wrong when their node starts for the first time.
enum class clock_sight : std::uint8_t {
  cloud_behind,
  cloud_ahead,
  edge_behind,
  edge_ahead,
  doubted, // parts that the cloud did not take, because most edges contradicted its clock
  refused, // records that it put tombstones in the place of, for being ahead
};
inline constexpr std::size_t clock_sights = 6;
[[nodiscard]] std::string_view to_string(clock_sight sight) noexcept;
using clock_coverage = std::array<std::uint64_t, clock_sights>;

struct world_result {
  std::string violation; // empty: none
  std::string rule;      // the same for violations that are alike
  std::vector<fault> schedule;
  std::vector<std::string> schedule_lines; // in words, those that are left
  coverage struck{};
  limit_coverage limits{};
  bound_coverage bounds{};
  uplink_coverage uplinks{};
  clock_coverage clocks{};
  std::uint64_t commits = 0;
  std::uint64_t events = 0;
  std::vector<std::string> trace; // where asked for
};

[[nodiscard]] world_result run_world(const world_options& options);

} // namespace skerry::sim
