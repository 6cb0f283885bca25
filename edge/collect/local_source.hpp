#pragma once

// The machine's own collectors as a source of frames: gives every series the labels that a scrape of node_exporter
// would have (`job`, `instance`), and remembers which series each sample is, so that a collection costs a comparison
// a sample. One thread at a time.

#include "edge/collect/frame_assembler.hpp"
#include "edge/collect/host/collectors.hpp"

#include <memory>
#include <string>
#include <vector>

namespace prometheus {
class Counter;
}

namespace skerry::edge {

class local_source {
public:
  // `dropped` counts samples that are not kept: their series has one of this collection already, or is over a bound.
  local_source(std::unique_ptr<host_collectors> collectors, const std::string& job,
               const std::string& instance, prometheus::Counter& dropped);

  [[nodiscard]] collection collect(std::int64_t time_ns, std::int64_t monotonic_ns, std::string_view host);

private:
  struct known_sample {
    labels as_collected;
    series_ref ref = no_series;
  };
  series_ref ref_of(const metric_family& family, const labels& collected, known_sample& known);

  std::unique_ptr<host_collectors> collectors_;
  labels own_; // `instance` and `job`
  std::vector<collected_family> families_;
  std::vector<known_sample> known_; // by position
  std::uint32_t epoch_ = 0;
  frame_assembler assembler_;
  prometheus::Counter& dropped_;
  std::size_t said_ = 0; // of the last line: how many in one collection
};

} // namespace skerry::edge
