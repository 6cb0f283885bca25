#pragma once

// Keeps the answers of range queries, so that a dashboard's next refresh evaluates the steps that are new and no others.
//
// An answer is kept under (expression, step, phase of the steps, lookback). A step of it stays good as long as no
// sample at or before the newest time that it looks at was added, replaced or deleted: data_changes says since when that
// is so. Fresh data thus leaves all but the newest steps good, and a backlog, however old and from whichever host, takes
// everything from its first sample on. Expressions with `@` look at times of their own and are not kept.
//
// Bounded by bytes, the least used go first. Thread-safe; evaluation runs on the caller's thread, outside any lock.

#include "actors/promql/evaluator.hpp"
#include "cloud/store/data_changes.hpp"

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>

namespace prometheus {
class Counter;
class Gauge;
class Registry;
} // namespace prometheus

namespace skerry::cloud {

// Of one host that a query read, and over which time; or of which hosts it asked for any.
using host_read = std::function<void(const std::string& site, const std::string& host, std::int64_t from_ms,
                                     std::int64_t to_ms)>;

class result_cache {
public:
  // bytes_max 0: nothing is kept.
  result_cache(std::size_t bytes_max, const data_changes& changes, prometheus::Registry& metrics);
  ~result_cache();
  result_cache(const result_cache&) = delete;
  result_cache& operator=(const result_cache&) = delete;

  // As promql::evaluate_range. `read` hears which hosts the part stems from that was kept, `asked` of which it asked, found
  // or not (an empty name is any); `source` sees the rest read.
  [[nodiscard]] result<promql::matrix_value>
  evaluate(const promql::expression& e, promql::series_source& source, const promql::time_range& range,
           const promql::evaluate_options& options, const host_read& read = {}, const host_read& asked = {});

private:
  struct kept;
  using kept_ptr = std::shared_ptr<const kept>;
  struct entry {
    std::string key;
    kept_ptr what;
  };

  [[nodiscard]] kept_ptr find(const std::string& key);
  void put(const std::string& key, kept_ptr what);

  const std::size_t bytes_max_;
  const data_changes& changes_;
  prometheus::Counter& steps_kept_;
  prometheus::Counter& steps_evaluated_;
  prometheus::Gauge& bytes_gauge_;
  std::mutex mutex_;
  std::list<entry> order_; // the last used first
  std::unordered_map<std::string, std::list<entry>::iterator> index_;
  std::size_t bytes_ = 0;
};

// The site and the host that a request is about, where its matchers name one; else empty: any.
[[nodiscard]] std::pair<std::string, std::string> place_asked(const promql::select_request& request);

// How much later than its step an expression looks at the most (negative offsets), in milliseconds; nothing where `@`
// or the answer's place in the range decides, or it looks too far to tell.
[[nodiscard]] std::optional<std::int64_t> looks_ahead(const promql::expression& e);

} // namespace skerry::cloud
