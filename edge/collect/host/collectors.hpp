#pragma once

// The host collectors: metrics of the machine that the edge runs on, from /proc and /sys, under the names,
// labels, types and units of prometheus-node-exporter 1.5.0, so that its dashboards and rules work unchanged.
//
// A host_collectors belongs to one thread at a time. It never throws and never waits for longer than
// host_config::time_max for each thing that can hang (a dead network mount, a sensor that does not answer):
// such a thing is left behind on a helper thread, reported as failed, and not asked again before it has
// answered.
//
// Each collector is reported by node_scrape_collector_success and
// node_scrape_collector_duration_seconds{collector}. A failure costs only the collector that failed; it is
// counted and logged once in a while.

#include "actors/base/clock.hpp"
#include "edge/collect/host/host_config.hpp"
#include "edge/collect/source.hpp"
#include "schemas/error.hpp"

#include <memory>
#include <string_view>
#include <vector>

namespace prometheus {
class Registry;
}

namespace skerry::edge {

class host_collectors {
public:
  // invalid_argument: an unknown collector, a broken expression, a bound of zero (see host_config::validate).
  // `clock` and `registry` must outlive the collectors.
  [[nodiscard]] static result<std::unique_ptr<host_collectors>> make(host_config config, clock_source& clock,
                                                                     prometheus::Registry& registry);

  // Replaces the content of `out` by the present state of the host. Hand back the same vector every time:
  // then only what changed is written and a collection allocates almost nothing. The order of families and
  // samples stays the same for as long as the same series exist. Labels are sorted and never empty; text that
  // is not UTF-8 is repaired.
  void collect(std::vector<collected_family>& out) noexcept;

  [[nodiscard]] std::vector<std::string_view> names() const; // of the collectors that run, in their order

  host_collectors(const host_collectors&) = delete;
  host_collectors& operator=(const host_collectors&) = delete;
  ~host_collectors();

private:
  struct impl;
  explicit host_collectors(std::unique_ptr<impl> state);
  std::unique_ptr<impl> impl_;
};

} // namespace skerry::edge
