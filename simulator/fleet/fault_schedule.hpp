#pragma once

// What goes wrong in a fleet, and when: parsed from options ("region-outage at=2m for=5m region=1") or from a YAML file
// (`faults:`, a list of mappings with the same words). Plain values.

#include "schemas/error.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::sim {

enum class fleet_fault_kind : std::uint8_t {
  site_outage,   // the links of one site's edges are cut
  region_outage, // of one region's
  fleet_outage,  // of all
  flapping,      // links go down for `down` every `every`
  clock_skew,    // the wall clocks of edges are off by `by`
};
[[nodiscard]] std::string_view to_string(fleet_fault_kind kind) noexcept; // "site-outage"

struct fleet_fault {
  fleet_fault_kind kind = fleet_fault_kind::site_outage;
  std::chrono::nanoseconds at{0};     // after the agents started
  std::chrono::nanoseconds length{0}; // above 0
  std::string site;                   // of site_outage; where flapping and skew name neither: all edges
  std::size_t region = 0;             // from 1; 0: not by region
  bool return_at_once = false;        // without waiting for the back-off that the outage has grown: a storm
  std::chrono::nanoseconds every{0};
  std::chrono::nanoseconds down{0};
  std::chrono::nanoseconds by{0}; // may be negative

  [[nodiscard]] std::string text() const; // as it is written in an option
};

// invalid_argument: what is wrong with the words, and what is known.
[[nodiscard]] result<fleet_fault> parse_fault(std::string_view text);
// not_found, io, malformed as config_document; invalid_argument: every mistake with file and line.
[[nodiscard]] result<std::vector<fleet_fault>> load_faults(const std::filesystem::path& file);

// What happens at one moment.
struct fault_event {
  enum class action : std::uint8_t { cut, restore, skew, unskew } what = action::cut;
  std::chrono::nanoseconds at{0};
  std::size_t fault = 0; // index of the schedule
  bool last = false;     // the fault is over with this
};
// In the order of time.
[[nodiscard]] std::vector<fault_event> events_of(const std::vector<fleet_fault>& schedule);

} // namespace skerry::sim
