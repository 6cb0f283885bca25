#include "edge/spool/metrics.hpp"

namespace skerry::edge {

namespace {

prometheus::Family<prometheus::Counter>& counters(prometheus::Registry& registry, const char* name,
                                                  const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

prometheus::Counter& counter(prometheus::Registry& registry, const char* name, const char* help) {
  return counters(registry, name, help).Add({});
}

prometheus::Gauge& gauge(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

constexpr auto exhausted_name = "skerry_spool_exhausted_total";
constexpr auto exhausted_help = "Commits refused because a limit or the disk was full.";
constexpr auto examined_name = "skerry_spool_examinations_total";
constexpr auto examined_help = "Suspect segments examined by a child process, by how that ended.";

} // namespace

spool_metrics::spool_metrics(prometheus::Registry& r)
    : commits(counter(r, "skerry_spool_commits_total", "Commits that were synced.")),
      commits_failed(counter(r, "skerry_spool_commits_failed_total", "Commits that stored nothing.")),
      exhausted_limit(counters(r, exhausted_name, exhausted_help).Add({{"cause", "bytes_max"}})),
      exhausted_disk(counters(r, exhausted_name, exhausted_help).Add({{"cause", "disk"}})),
      records_written(counter(r, "skerry_spool_records_written_total", "Records committed or adopted.")),
      records_read(counter(r, "skerry_spool_records_read_total", "Records read for sending.")),
      records_released(
          counter(r, "skerry_spool_records_released_total", "Sequences released after an acknowledgement.")),
      records_trimmed(counter(r, "skerry_spool_records_trimmed_total",
                              "Records of edges further out that were held or released already.")),
      records_lost(counter(r, "skerry_spool_records_lost_total", "Sequences lost to damage on disk.")),
      records_salvaged(
          counter(r, "skerry_spool_records_salvaged_total", "Records saved from damaged segments.")),
      bytes_written(counter(r, "skerry_spool_bytes_written_total", "Bytes of committed runs.")),
      sets_written(
          counter(r, "skerry_spool_sets_written_total", "Series sets stored, once for each segment.")),
      sets_missing(counter(r, "skerry_spool_sets_missing_total",
                           "Series sets that a record names and that were neither given nor stored.")),
      segments_damaged(
          counter(r, "skerry_spool_segments_damaged_total", "Segments found damaged and set aside.")),
      segments_deleted(
          counter(r, "skerry_spool_segments_deleted_total", "Segments deleted after they were drained.")),
      examined_sound(counters(r, examined_name, examined_help).Add({{"result", "sound"}})),
      examined_damaged(counters(r, examined_name, examined_help).Add({{"result", "damaged"}})),
      examined_crashed(counters(r, examined_name, examined_help).Add({{"result", "crashed"}})),
      examined_timed_out(counters(r, examined_name, examined_help).Add({{"result", "timed_out"}})),
      examined_here(counters(r, examined_name, examined_help).Add({{"result", "not_started"}})),
      commit_seconds(
          prometheus::BuildHistogram()
              .Name("skerry_spool_commit_duration_seconds")
              .Help("Duration of commits, with their sync.")
              .Register(r)
              .Add({}, prometheus::Histogram::BucketBoundaries{0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05,
                                                               0.1, 0.2, 0.5, 1, 2, 5})),
      segments(gauge(r, "skerry_spool_segments", "Segments on disk.")),
      disk_bytes(gauge(r, "skerry_spool_disk_bytes", "Bytes of segments on disk, damaged ones included.")),
      kept_bytes(gauge(r, "skerry_spool_kept_bytes",
                       "Bytes on disk of segments that are released and kept for reading.")),
      bytes_max(gauge(r, "skerry_spool_bytes_max",
                      "What commits may take of the disk: spool.bytes_max, without the part for replacing.")),
      records(gauge(r, "skerry_spool_pending_sequences", "Sequences held and not released.")),
      reserve_held(gauge(r, "skerry_spool_reserve_held",
                         "1: the reserve for a full disk is there; 0: it was given up.")),
      clock_waits(gauge(r, "skerry_spool_clock_waits",
                        "1: the clock has jumped ahead, and nothing is deleted by it yet.")) {}

} // namespace skerry::edge
