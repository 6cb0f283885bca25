#pragma once

// Says with a query's answer where the data that it read is not complete. Wraps a source for one query, notes which
// hosts were read over which time, and asks the ledger afterwards.

#include "actors/api/query_api.hpp"
#include "actors/promql/passing_source.hpp"
#include "cloud/ledger/ledger.hpp"
#include "cloud/query/result_cache.hpp"

#include <mutex>
#include <string>
#include <vector>

namespace skerry::cloud {

class noting_source final : public promql::passing_source {
public:
  using passing_source::passing_source;

  // It was read without select(): a kept answer was taken.
  void note(const std::string& site, const std::string& host, std::int64_t from_ms, std::int64_t to_ms);

  // One line for each host that was read where something is missing, a few at most.
  [[nodiscard]] std::vector<std::string> warnings(ledger_reader& ledger, std::int64_t now_ns);

private:
  struct host_read {
    std::string site;
    std::string host;
    std::int64_t from_ms = 0;
    std::int64_t to_ms = 0;
  };
  void merge(); // each host once, in order; the lock is held
  [[nodiscard]] promql::each_series pass(const promql::select_request& request,
                                         const promql::each_series& each) override;

  std::mutex mutex_;
  std::vector<host_read> hosts_; // in the order of reading, some more than once
  static constexpr std::size_t merge_at_min = 1024;
  std::size_t merge_at_ = merge_at_min;
};

class completeness_watch final : public api::query_watch {
public:
  // Without a ledger there are no warnings, without a cache every answer is evaluated.
  completeness_watch(promql::series_source& of, ledger_reader* ledger, result_cache* cache,
                     clock_source& clock)
      : query_watch(of), source_(of), ledger_(ledger), cache_(cache), clock_(clock) {}
  promql::series_source& source() override { return source_; }
  result<promql::matrix_value> range(const promql::expression& e, promql::series_source& source,
                                     const promql::time_range& range,
                                     const promql::evaluate_options& options) override;
  std::vector<std::string> warnings() override {
    return ledger_ == nullptr ? std::vector<std::string>{} : source_.warnings(*ledger_, clock_.wall_ns());
  }

private:
  noting_source source_;
  ledger_reader* ledger_;
  result_cache* cache_;
  clock_source& clock_;
};

} // namespace skerry::cloud
