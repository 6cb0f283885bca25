#pragma once

// What every source of an edge (a host's collectors, a scraped target, whatever is pushed) hands to the gateway.

#include "schemas/model/record.hpp"
#include "schemas/model/series.hpp"

#include <cstdint>
#include <functional>
#include <vector>

namespace skerry::edge {

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
