#pragma once

// What collectors report; what is made of it goes to the gateway as a collection.

#include "edge/gateway/collection.hpp"
#include "schemas/model/series.hpp"

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

} // namespace skerry::edge
