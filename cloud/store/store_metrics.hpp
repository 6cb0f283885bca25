#pragma once

// What the store counts about itself. Thread-safe.

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <string>

namespace skerry::cloud {

struct store_metrics {
  explicit store_metrics(prometheus::Registry& registry);

  prometheus::Counter& appends;
  prometheus::Counter& appends_failed;
  prometheus::Counter& appends_refused; // queue full
  prometheus::Counter& appended_bytes;
  prometheus::Counter& repeated_records;
  prometheus::Counter& commits;
  prometheus::Counter& commits_failed; // and what tells whether one would succeed
  prometheus::Histogram& commit_seconds;
  prometheus::Gauge& queue_requests;
  prometheus::Gauge& queue_bytes;
  prometheus::Gauge& log_bytes;
  prometheus::Gauge& log_memory_bytes;
  prometheus::Gauge& log_environments;
  prometheus::Counter& rotation_seconds;
  prometheus::Gauge& state_bytes;
  prometheus::Counter& state_refused; // appends
  prometheus::Counter& logs_sealed;
  prometheus::Counter& seal_failures;
  prometheus::Counter& samples_sealed;
  prometheus::Counter& blocks;
  prometheus::Counter& expired_samples;
  prometheus::Gauge& partitions;
  prometheus::Counter& partitions_expired;
  prometheus::Counter& retention_looks;
  prometheus::Gauge& retention_waits; // 1: for a clock that has jumped ahead
  prometheus::Gauge& damage_rows;
  prometheus::Counter& scrub_passes;
  prometheus::Counter& scrub_bytes;
  prometheus::Counter& scrub_partitions;
  prometheus::Gauge& scrub_progress;
  prometheus::Gauge& read_cache_bytes;
  prometheus::Counter& read_cache_hits;
  prometheus::Counter& read_cache_misses;
  prometheus::Family<prometheus::Counter>& damaged;    // {what}
  prometheus::Family<prometheus::Counter>& duplicates; // {site}
  prometheus::Family<prometheus::Counter>& conflicts;  // {site}

  void count_damaged(const std::string& what, double n = 1) { damaged.Add({{"what", what}}).Increment(n); }
};

} // namespace skerry::cloud
