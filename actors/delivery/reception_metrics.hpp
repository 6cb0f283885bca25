#pragma once

// The counters of a receiving link, for /metrics; the same for the cloud's ingest and a gateway's downlink.

#include "actors/base/mirrored_counters.hpp"
#include "actors/delivery/presence.hpp"
#include "actors/delivery/reception.hpp"

#include <string>
#include <vector>

namespace prometheus {
class Gauge;
}

namespace skerry::delivery {

class reception_metrics {
public:
  // `prefix` as in "skerry_ingest_".
  reception_metrics(prometheus::Registry& registry, const std::string& prefix);

  using presences = std::map<edge_id, edge_presence>;
  void update(const receiver& from, const reception& joins, const presences& edges);

private:
  mirrored_counters<receiver_counters> received_;
  mirrored_counters<reception_counters> joins_;
  prometheus::Gauge& connected_;
  std::array<prometheus::Gauge*, link::presence_count> edges_{}; // by how they stand
  prometheus::Gauge& open_bytes_;
  prometheus::Gauge& credit_;
};

} // namespace skerry::delivery
