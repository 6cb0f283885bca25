#pragma once

// What `stats=all` adds to an answer: how long a query took and how many samples it read, in Prometheus' shape.

#include "actors/promql/passing_source.hpp"

#include <atomic>
#include <chrono>
#include <string>

namespace skerry::api {

// Counts what passes.
class counting_source final : public promql::passing_source {
public:
  using passing_source::passing_source;

  [[nodiscard]] std::uint64_t samples() const noexcept { return samples_; }
  [[nodiscard]] std::uint64_t peak() const noexcept { return peak_; }

private:
  [[nodiscard]] promql::each_series pass(const promql::select_request& request,
                                         const promql::each_series& each) override;

  std::atomic<std::uint64_t> samples_{0};
  std::atomic<std::uint64_t> peak_{0}; // of one series
};

struct query_timings {
  std::chrono::steady_clock::time_point received;
  std::chrono::steady_clock::time_point started;
  std::chrono::steady_clock::time_point evaluated;
};

// ,"stats":{…} for the end of `data`.
void append_stats(std::string& out, const query_timings& times, const counting_source& counted);

} // namespace skerry::api
