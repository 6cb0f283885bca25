#pragma once

// What every source of telemetry (a host's collectors, a scraped target) hands to the gateway.

#include "schemas/model/record.hpp"
#include "schemas/model/series.hpp"

#include <cstdint>
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
};

} // namespace skerry::edge
