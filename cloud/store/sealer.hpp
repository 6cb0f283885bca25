#pragma once

// Turns one closed log environment into partitions: frames by source and time, decoded once, encoded as
// blocks. Doing it again after a crash changes nothing: each partition takes a log in one transaction and
// remembers its id. One thread. Memory is bounded by one source's rows at a time and what one log gives one
// partition.

#include "cloud/store/log_env.hpp"
#include "cloud/store/partitions.hpp"

#include <chrono>
#include <set>

namespace skerry::cloud {

struct seal_settings {
  std::int64_t partition_span_s = 86'400;
  std::int64_t now_ns = 0;
  std::int64_t retention_ns = 0;              // 0: forever
  std::function<void(const char* step)> hook; // for tests: called between the steps
};

// The span of the partition that takes data of this time: data that is already old goes into coarse ones, so
// that the number of partitions stays bounded whatever comes.
[[nodiscard]] partition_id partition_for(std::int64_t time_ns, std::int64_t span_s,
                                         std::int64_t now_ns) noexcept;

// `find` gives a set that the log lacks; `live_logs`: ids of all logs on disk.
[[nodiscard]] result<void> seal_log(const log_env& log, partition_catalog& into, store_metrics& metrics,
                                    const std::set<std::uint64_t>& live_logs, const seal_settings& settings);

// Of two values of one series and time, the one that stays, whatever came first: a sample beats a stale
// marker, then the greater in the total order of doubles.
[[nodiscard]] double resolve(double a, double b) noexcept;

} // namespace skerry::cloud
