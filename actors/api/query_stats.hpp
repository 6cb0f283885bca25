#pragma once

// What `stats=all` adds to an answer: how long a query took and how many samples it read, in Prometheus' shape.

#include "actors/promql/series_source.hpp"

#include <atomic>
#include <chrono>
#include <string>

namespace skerry::api {

// Counts what passes.
class counting_source final : public promql::series_source {
public:
  explicit counting_source(promql::series_source& inner) : inner_(inner) {}

  result<void> select(const promql::select_request& request,
                      const std::function<void(const promql::series_view&)>& each) override;
  result<void> series(const promql::select_request& request,
                      const std::function<void(const labels&)>& each) override {
    return inner_.series(request, each);
  }
  result<std::vector<std::string>> label_names(const promql::select_request& request) override {
    return inner_.label_names(request);
  }
  result<std::vector<std::string>> label_values(std::string_view name,
                                                const promql::select_request& request) override {
    return inner_.label_values(name, request);
  }
  result<std::vector<promql::family_metadata>> metadata() override { return inner_.metadata(); }

  [[nodiscard]] std::uint64_t samples() const noexcept { return samples_; }
  [[nodiscard]] std::uint64_t peak() const noexcept { return peak_; }

private:
  promql::series_source& inner_;
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
