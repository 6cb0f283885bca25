#pragma once

// What every source of an edge (a host's collectors, a scraped target, whatever is pushed) hands to the gateway.

#include "schemas/model/record.hpp"
#include "schemas/model/series.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

namespace skerry::edge {

// Ready to be numbered: records of one source at one moment, and every set that their frames name.
struct collection {
  std::vector<pending_record> records;
  std::vector<series_set_ptr> sets;
  std::uint64_t samples = 0;
  // Of whoever waits for the commit, and keeps what is not committed: called once, after it or its failure. What has
  // one is never kept for another try. Where its records go to several streams, a failure may be that of one alone.
  std::function<void(const result<void>&)> done;
};

// The parts of it that go to each stream (kind_policy::stream), in its records' order; mostly that is one. Sets and the
// count of samples go with those whose records name sets.
[[nodiscard]] std::map<stream_id, collection> by_stream(collection from);

// What calls `done` when it was called so many times: with the last failure, if there was one. Any thread.
[[nodiscard]] std::function<void(const result<void>&)>
when_all(std::size_t count, std::function<void(const result<void>&)> done);

} // namespace skerry::edge
