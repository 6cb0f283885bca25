#pragma once

// What a target is called and where it is: Prometheus 2.42's rules from discovered labels to target labels
// and URL.

#include "edge/collect/scrape/scrape_config.hpp"

#include <chrono>
#include <optional>
#include <string>

namespace skerry::edge {

struct resolved_target {
  labels discovered; // before relabelling, with the defaults of the job
  labels all;        // after relabelling, with those that begin with "__"; meta labels are gone
  std::chrono::nanoseconds interval{0};
  std::chrono::nanoseconds timeout{0};
  std::string url;

  [[nodiscard]] labels public_labels() const; // without those that begin with "__"
  // The `host` label, else the address without port.
  [[nodiscard]] std::string host() const;
};

// `discovered` holds `__address__` and the group's labels. nullopt: dropped by relabelling.
// invalid_argument: no address, or one that is none; an interval or timeout that is none.
[[nodiscard]] result<std::optional<resolved_target>> resolve_target(labels discovered,
                                                                    const scrape_config& config);

} // namespace skerry::edge
