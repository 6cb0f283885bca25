#pragma once

// Turns one closed log environment into partitions: frames by source and time, decoded once, encoded as
// blocks. Doing it again after a crash changes nothing, whatever clock and settings say by then: a partition notes
// the plan that chose its part of a log, when it has all of it and when it has only some (partition_writer.hpp).
// One thread. Memory is bounded by one source's rows at a time, the references to what one log gives one partition,
// and the pages of one step.

#include "cloud/store/log_env.hpp"
#include "cloud/store/partitions.hpp"

#include <chrono>
#include <map>
#include <set>

namespace skerry::cloud {

// Which times of a log lie in partitions already, by the plans that stand there beside it.
class sealed_parts {
public:
  void add(const partition_id& part, const seal_plan& plan) { parts_[plan].insert(part); }
  [[nodiscard]] bool has(std::int64_t time_ns) const;

private:
  std::map<seal_plan, std::set<partition_id>> parts_; // that hold their part of the log
};

struct seal_settings {
  seal_plan plan; // of what was not sealed before
  std::size_t step_pages = seal_step_pages;
  std::int64_t oldest_ns = INT64_MIN; // partitions that end before are past retention
  // Told of what is left out for that, before any of the log is gone; may be null.
  std::function<void(std::int64_t from_ns, std::int64_t to_ns, std::uint64_t samples)> expiring;
  std::function<void(const char* step)> hook; // for tests: called between the steps
};

// `find` gives a set that the log lacks; `live_logs`: ids of all logs on disk.
[[nodiscard]] result<void> seal_log(const log_env& log, partition_catalog& into, store_metrics& metrics,
                                    const std::set<std::uint64_t>& live_logs, const seal_settings& settings);

// Of two values of one series and time, the one that stays, whatever came first: a sample beats a stale
// marker, then the greater in the total order of doubles.
[[nodiscard]] double resolve(double a, double b) noexcept;

} // namespace skerry::cloud
