#pragma once

// What became of one edge's samples: committed to its spool, acknowledged, replaced by tombstones. Of records that wait
// it keeps 24 bytes each. Thread-safe.

#include "schemas/model/range_set.hpp"
#include "schemas/model/record.hpp"
#include "simulator/fleet/latency_histogram.hpp"

#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <span>

namespace skerry::sim {

struct sample_totals {
  std::uint64_t committed = 0;
  std::uint64_t acked = 0;
  std::uint64_t dropped = 0; // tombstones stand for them

  [[nodiscard]] std::uint64_t pending() const noexcept { return committed - acked - dropped; }
  sample_totals& operator+=(const sample_totals& other) noexcept {
    committed += other.committed;
    acked += other.acked;
    dropped += other.dropped;
    return *this;
  }
};

// From sample time to the ack's arrival at the edge's spool, over all edges.
struct fleet_latencies {
  latency_histogram all;
  latency_histogram live; // of samples that were committed while a session stood
};

class edge_tally {
public:
  explicit edge_tally(fleet_latencies& latencies) : latencies_(latencies) {}

  // The records of a run that the spool has committed; `skew_ns` is what the edge's clock was off by.
  void committed(const run& what, bool live, std::int64_t skew_ns);
  void released(const stream_key& key, const range_set& ranges, std::int64_t now_ns);
  void replaced(const run& with);

  // A session is up: when is what is newest now acknowledged? `now` is monotonic, as is every answer.
  void expect_current(std::int64_t now);
  // Of the last expectation: when it came true; nullopt: not yet.
  [[nodiscard]] std::optional<std::int64_t> current_at() const;

  [[nodiscard]] sample_totals totals() const;

private:
  struct entry {
    sequence seq;
    std::int64_t time_ns; // true time
    std::uint32_t samples;
    bool live;
    bool settled; // acknowledged
  };
  [[nodiscard]] std::deque<entry>::iterator at_or_after(sequence seq);

  fleet_latencies& latencies_;
  mutable std::mutex mutex_;
  std::optional<epoch_id> epoch_; // this edge's own, of this run
  std::deque<entry> waiting_;     // in the order of sequences
  sequence newest_ = 0;
  sequence awaited_ = 0;
  std::int64_t current_at_ = 0;
  sample_totals totals_;
};

} // namespace skerry::sim
