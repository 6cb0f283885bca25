#pragma once

// What a site is and how it stands: from the registry of edges, what is known of hosts, and what ingest sees of sessions.
// Any thread; answers from memory, at once.

#include "actors/base/clock.hpp"
#include "cloud/sites/edge_board.hpp"
#include "cloud/sites/host_table.hpp"
#include "cloud/sites/site_status.hpp"

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace skerry::link {
class registry;
}

namespace skerry::cloud {

class site_directory {
public:
  site_directory(std::shared_ptr<link::registry> registry, std::shared_ptr<const host_table> hosts,
                 std::shared_ptr<const edge_board> board, clock_source& clock);

  // One an edge, by edge; then one a site to which something is pushed. Empty where the registry cannot be read.
  [[nodiscard]] std::vector<site_status> sites();
  [[nodiscard]] std::vector<host_status> hosts(); // by site and host

  void on_tick(); // about once a second: measures rates

private:
  struct site_rate {        // of one edge
    std::int64_t at_ns = 0; // monotonic
    std::uint64_t samples = 0;
    double samples_per_second = 0;
  };

  const std::shared_ptr<link::registry> registry_;
  const std::shared_ptr<const host_table> hosts_;
  const std::shared_ptr<const edge_board> board_;
  clock_source& clock_;
  std::mutex mutex_; // guards rates_
  // Of each origin; of what is pushed: of each site.
  std::map<std::pair<edge_id, std::string>, site_rate> rates_;
};

} // namespace skerry::cloud
