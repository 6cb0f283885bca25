#pragma once

// What every source of telemetry (a host's collectors, a scraped target) hands to the gateway.

#include "schemas/model/record.hpp"
#include "schemas/model/series.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace skerry::edge {

// One sample as a collector reports it, before it is interned.
struct collected_sample {
  labels all; // sorted, with `__name__`
  double value = 0;
};

struct collected_family {
  metric_family family;
  std::vector<collected_sample> samples;
};

// Ready to be numbered: records of one source at one moment, and every set that their frames name.
struct collection {
  std::vector<pending_record> records;
  std::vector<series_set_ptr> sets;
  std::uint64_t samples = 0;
  // Of whoever waits for the commit, and keeps what is not committed: called once, after it or its failure. What has
  // one is never kept for another try.
  std::function<void(const result<void>&)> done;
};

} // namespace skerry::edge
