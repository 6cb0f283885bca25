#include "cloud/store/store_metrics.hpp"

namespace skerry::cloud {

namespace {

prometheus::Counter& counter(prometheus::Registry& r, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(r).Add({});
}

prometheus::Gauge& gauge(prometheus::Registry& r, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(r).Add({});
}

prometheus::Family<prometheus::Counter>& family(prometheus::Registry& r, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(r);
}

} // namespace

store_metrics::store_metrics(prometheus::Registry& r)
    : appends(counter(r, "skerry_store_appends_total", "Appends that were committed.")),
      appends_failed(
          counter(r, "skerry_store_appends_failed_total", "Appends that were refused or not committed.")),
      appends_refused(
          counter(r, "skerry_store_appends_refused_total", "Appends refused because the queue was full.")),
      appended_bytes(
          counter(r, "skerry_store_appended_bytes_total", "Bytes committed to the write-ahead log.")),
      repeated_records(counter(r, "skerry_store_repeated_records_total",
                               "Records that stood in the write-ahead log already and were left out.")),
      commits(counter(r, "skerry_store_commits_total", "Group commits of the write-ahead log.")),
      commits_failed(counter(r, "skerry_store_commits_failed_total",
                             "Group commits, and tries whether one would succeed, that failed: what waited "
                             "for them was refused.")),
      commit_seconds(
          prometheus::BuildHistogram()
              .Name("skerry_store_commit_duration_seconds")
              .Help("Duration of a group commit, sync included.")
              .Register(r)
              .Add({}, prometheus::Histogram::BucketBoundaries{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                                               0.05, 0.1, 0.25, 0.5, 1, 2.5})),
      queue_requests(gauge(r, "skerry_store_queue_requests", "Requests that wait for a commit.")),
      queue_bytes(gauge(r, "skerry_store_queue_bytes", "Bytes that wait for a commit.")),
      log_bytes(gauge(r, "skerry_store_log_bytes", "Size of the write-ahead log.")),
      log_memory_bytes(gauge(r, "skerry_store_log_memory_bytes",
                             "Memory of the write-ahead log's index: labels, sources.")),
      log_environments(gauge(r, "skerry_store_log_environments", "Environments of the write-ahead log.")),
      rotation_seconds(
          counter(r, "skerry_store_log_rotation_seconds_total",
                  "Time that appends waited while a new log was begun with a copy of all state.")),
      state_bytes(gauge(r, "skerry_store_state_bytes", "What is kept of streams and hosts beside the data.")),
      state_refused(counter(r, "skerry_store_state_refused_total",
                            "Appends refused because the state of their edge's streams has no room.")),
      logs_sealed(counter(r, "skerry_store_logs_sealed_total", "Log environments sealed into partitions.")),
      seal_failures(counter(r, "skerry_store_seal_failures_total", "Attempts to seal a log that failed.")),
      samples_sealed(counter(r, "skerry_store_samples_sealed_total", "Samples written to partitions.")),
      blocks(counter(r, "skerry_store_blocks_total", "Blocks written to partitions.")),
      expired_samples(counter(r, "skerry_store_expired_samples_total",
                              "Samples that were older than the retention when they were to be sealed.")),
      partitions(gauge(r, "skerry_store_partitions", "Partitions on disk.")),
      partitions_expired(
          counter(r, "skerry_store_partitions_expired_total", "Partitions deleted by retention.")),
      retention_looks(counter(r, "skerry_store_retention_looks_total",
                              "How often retention looked for what is too old.")),
      retention_waits(gauge(r, "skerry_store_retention_waits",
                            "Whether retention waits because the clock has jumped ahead.")),
      damage_rows(gauge(r, "skerry_store_damage_rows",
                        "Rows of the loss ledger that name damage in this store's own files.")),
      scrub_passes(
          counter(r, "skerry_store_scrub_passes_total", "Passes over all partitions that are done.")),
      scrub_bytes(
          counter(r, "skerry_store_scrub_bytes_total", "Bytes of partitions that were checked in passing.")),
      scrub_partitions(
          counter(r, "skerry_store_scrub_partitions_total", "Partitions that were checked in passing.")),
      scrub_progress(gauge(r, "skerry_store_scrub_progress_ratio",
                           "How much of its partitions the pass under way has checked; 1: it is done.")),
      read_cache_bytes(gauge(r, "skerry_store_read_cache_bytes", "What queries unpacked and is kept.")),
      read_cache_hits(counter(r, "skerry_store_read_cache_hits_total", "Reads that found it unpacked.")),
      read_cache_misses(counter(r, "skerry_store_read_cache_misses_total", "Reads that had to unpack.")),
      damaged(family(r, "skerry_store_damaged_total", "Damaged things found, by what they are.")),
      duplicates(family(r, "skerry_store_duplicates_total",
                        "Samples that came more than once with the same value, counted when sealed.")),
      conflicts(family(r, "skerry_store_conflicts_total",
                       "Samples of one series and time with different values, counted when sealed.")) {
  for (const auto* what :
       {"log", "record", "frame", "partition", "block", "source", "index", "ledger", "set", "damage"})
    count_damaged(what, 0); // there from the start: increase() does not see the step from nothing to 1
}

} // namespace skerry::cloud
