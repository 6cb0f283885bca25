#pragma once

// Says with a query's answer where the data that it read is not complete. Wraps a source for one query, notes which
// hosts were asked for and which were read over which time, and asks the ledger afterwards. What this node's own files have
// lost is said also where nothing of the host was found.

#include "actors/api/query_api.hpp"
#include "actors/promql/passing_source.hpp"
#include "cloud/ledger/ledger.hpp"
#include "cloud/query/result_cache.hpp"

#include <map>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace skerry::cloud {

class noting_source final : public promql::passing_source {
public:
  using passing_source::passing_source;

  // It was read without select(): a kept answer was taken.
  void note(const std::string& site, const std::string& host, std::int64_t from_ms, std::int64_t to_ms);
  // It was asked for samples of that host, or of all where a name is empty.
  void note_asked(const std::string& site, const std::string& host, std::int64_t from_ms, std::int64_t to_ms);

  result<void> series(const promql::select_request& request,
                      const std::function<void(const labels&)>& each) override;
  result<std::vector<std::string>> label_names(const promql::select_request& request) override;
  result<std::vector<std::string>> label_values(std::string_view name,
                                                const promql::select_request& request) override;

  // One line for each host that was read where something is missing, and for each that was not where this node has lost
  // something; a few at most.
  [[nodiscard]] std::vector<std::string> warnings(ledger_reader& ledger, std::int64_t now_ns);

private:
  struct host_read {
    std::string site;
    std::string host;
    std::int64_t from_ms = 0;
    std::int64_t to_ms = 0;
  };
  struct span {
    std::int64_t from_ms = INT64_MAX;
    std::int64_t to_ms = INT64_MIN;
  };
  class line_list;

  void merge(); // each host once, in order; the lock is held
  // The lock is held. Of the hosts that were read; gives those of which something is known.
  [[nodiscard]] std::vector<const host_read*> say_of_read(ledger_reader& ledger, std::int64_t now_ns,
                                                          line_list& to);
  void say_of_asked(ledger_reader& ledger, std::int64_t now_ns, std::span<const host_read* const> told,
                    line_list& to);
  [[nodiscard]] bool was_asked(const loss_entry& lost) const;
  void ask(const std::string& site, const std::string& host, std::int64_t from_ms,
           std::int64_t to_ms); // the lock is held
  void ask_names(const promql::select_request& request);
  [[nodiscard]] promql::select_request asked(const promql::select_request& request) override;
  [[nodiscard]] promql::each_series pass(const promql::select_request& request,
                                         const promql::each_series& each) override;

  std::mutex mutex_;
  std::vector<host_read> hosts_; // in the order of reading, some more than once
  static constexpr std::size_t merge_at_min = 1024;
  std::size_t merge_at_ = merge_at_min;
  std::map<std::pair<std::string, std::string>, span> asked_; // by site and host, each empty for any
  bool selected_ = false;                                     // samples were asked for, not only names
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
