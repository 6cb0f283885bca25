#include "simulator/fleet/fleet.hpp"

#include "actors/base/version.hpp"
#include "actors/node/metrics.hpp"
#include "simulator/fleet/running_fleet.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace skerry::sim {

result<void> fleet_options::validate() const {
  const auto within = [](std::string_view what, std::size_t value, std::size_t least,
                         std::size_t most) -> result<void> {
    if (value < least || value > most)
      return fail(errc::invalid_argument, fmt::format("{} must lie between {} and {}", what, least, most));
    return ok();
  };
  BOOST_OUTCOME_TRYV(within("--agents", agents, 1, fleet_agents_max));
  BOOST_OUTCOME_TRYV(within("--edges", edges, 0, fleet_edges_max));
  BOOST_OUTCOME_TRYV(within("--series", series, 1, fleet_series_max));
  BOOST_OUTCOME_TRYV(within("--regions", regions, 1, edges == 0 ? fleet_edges_max : edges));
  BOOST_OUTCOME_TRYV(within("--threads", threads, 1, 256));
  if (interval < std::chrono::milliseconds{100})
    return fail(errc::invalid_argument, "--interval must be at least 100ms");
  if (spool_bytes_max < (4 << 20))
    return fail(errc::invalid_argument, "--spool-bytes must be at least 4MiB");
  if (churn_per_hour < 0)
    return fail(errc::invalid_argument, "--churn must not be negative");
  for (const auto& fault : faults)
    if (fault.region > regions)
      return fail(errc::invalid_argument, fmt::format("'{}' names region {}, and there are {}: see --regions",
                                                      fault.text(), fault.region, regions));
  return ok();
}

result<fleet_report> run_fleet(const fleet_options& options, const fleet_hooks& hooks) {
  BOOST_OUTCOME_TRYV(options.validate());
  running_fleet fleet{options, hooks};
  BOOST_OUTCOME_TRYV(fleet.prepare());
  BOOST_OUTCOME_TRYV(fleet.connect());
  fleet.run();
  fleet.drain();
  return fleet.finish();
}

} // namespace skerry::sim
