#pragma once

// Many worlds, one after the other: runs them, counts what struck where, cuts a failure down to what it takes, and
// proves with planted faults that the oracle sees.

#include "simulator/world/world.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace skerry::sim {

struct campaign_options {
  world_options first; // its seed, then the next ones
  std::uint64_t runs = 1;
  std::function<void(std::uint64_t done)> progress; // after each run; may be empty
};

struct campaign_failure {
  world_options options; // of the smallest run that still fails
  std::string violation;
  std::string rule;
  std::vector<std::string> schedule;
  std::vector<std::string> trace; // its end
  std::uint64_t tries = 0;        // that cutting it down took
};

struct campaign_result {
  std::uint64_t runs = 0;
  std::uint64_t commits = 0;
  std::uint64_t events = 0;
  coverage struck{};
  limit_coverage limited{};  // runs in which a limit acted
  uplink_coverage uplinks{}; // runs in which an uplink did it
  bound_coverage bounded{};  // runs in which a receiver met a bound
  clock_coverage clocks{};   // runs in which it was seen
  std::optional<campaign_failure> failure;
};

// Stops at the first failure.
[[nodiscard]] campaign_result run_campaign(const campaign_options& options);
// Smaller runs that fail by the same rule.
[[nodiscard]] campaign_failure shrink(const world_options& failing, const std::string& rule);
// "skerry-sim world --seed 7 --only 0,3 --minutes 4"
[[nodiscard]] std::string replay_command(const world_options& options);

// A fault that can be planted, by the name that --plant takes. `missing`: why it can't be yet; empty: it can.
struct plant {
  std::string_view name;
  planted_fault fault = planted_fault::none;
  std::string_view missing;
};
[[nodiscard]] const std::vector<plant>& plants();
[[nodiscard]] const plant* find_plant(std::string_view name);

} // namespace skerry::sim
