#pragma once

// What the spool counts about itself. Any thread.

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

namespace skerry::edge {

struct spool_metrics {
  explicit spool_metrics(prometheus::Registry& registry);

  prometheus::Counter& commits;
  prometheus::Counter& commits_failed;
  prometheus::Counter& exhausted_limit; // bytes_max
  prometheus::Counter& exhausted_disk;
  prometheus::Counter& records_written;
  prometheus::Counter& records_read;
  prometheus::Counter& records_released;
  prometheus::Counter& records_trimmed; // adopted again, and held or released already
  prometheus::Counter& records_lost;    // sequences
  prometheus::Counter& records_salvaged;
  prometheus::Counter& bytes_written;
  prometheus::Counter& sets_written;
  prometheus::Counter& sets_missing; // named by a record, and neither given nor stored
  prometheus::Counter& segments_damaged;
  prometheus::Counter& segments_deleted;
  prometheus::Counter& examined_sound;
  prometheus::Counter& examined_damaged;
  prometheus::Counter& examined_crashed;
  prometheus::Counter& examined_timed_out;
  prometheus::Counter& examined_here; // no process could be started for it
  prometheus::Histogram& commit_seconds;
  prometheus::Gauge& segments;
  prometheus::Gauge& disk_bytes;
  prometheus::Gauge& kept_bytes; // of disk_bytes: released, and kept for reading
  prometheus::Gauge& bytes_max;  // for commits
  prometheus::Gauge& records;
  prometheus::Gauge& reserve_held; // 1: there; 0: given up, the disk is full
  prometheus::Gauge& clock_waits;  // 1: the clock has jumped ahead
};

} // namespace skerry::edge
