#pragma once

// Prometheus' HTTP API over a series source, for both nodes: paths, parameters, envelope, error types and status codes
// of Prometheus 2.42, and what later versions added to them (docs/api.md). Handlers read parameters on the server's
// thread; whatever reads the source runs on the query pool.

#include "actors/api/envelope.hpp"
#include "actors/api/query_pool.hpp"
#include "actors/base/clock.hpp"
#include "actors/http/server.hpp"
#include "actors/node/config.hpp"
#include "actors/node/reload.hpp"
#include "actors/promql/evaluator.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace skerry::api {

struct build_info {
  std::string version; // "0.1.0"
  std::string revision;
};

struct query_limits {
  std::chrono::milliseconds lookback{promql::lookback_ms_default};
  std::chrono::milliseconds timeout{120'000};
  std::uint64_t samples_max = promql::samples_max_default;
  std::size_t series_max = 1'000'000;              // in one answer of /series, /labels and label values
  std::uint64_t memory_each_bytes_max = 128 << 20; // that one query holds
  std::uint64_t memory_bytes_max = 256 << 20;      // that all queries hold together
};

// Reads `memory_bytes_max` and `memory_each_bytes_max` of the section `query`.
void read_memory(config_section& from, query_limits& to);

// Stands between one query and its source, and says afterwards what the reader should know; a node may note what is read
// and keep answers. On the query's thread.
class query_watch {
public:
  explicit query_watch(promql::series_source& source) : source_(&source) {}
  virtual ~query_watch() = default;
  query_watch(const query_watch&) = delete;
  query_watch& operator=(const query_watch&) = delete;

  [[nodiscard]] virtual promql::series_source& source() { return *source_; }
  // As promql::evaluate_range; `source` reads from source().
  [[nodiscard]] virtual result<promql::matrix_value> range(const promql::expression& e,
                                                           promql::series_source& source,
                                                           const promql::time_range& range,
                                                           const promql::evaluate_options& options) {
    return promql::evaluate_range(e, source, range, options);
  }
  [[nodiscard]] virtual std::vector<std::string> warnings() { return {}; }

private:
  promql::series_source* source_;
};

// What /api/v1/status/… answers.
struct status_facts {
  build_info build;
  std::int64_t started_ns = 0;
  std::string config_text;                                // YAML, without secrets
  std::vector<std::pair<std::string, std::string>> flags; // as Prometheus calls them where it has the same
  std::string retention;                                  // "30d"
  std::function<config_reload::outcome()> reloaded;       // empty: as at the start
};

// Everything pointed to outlives the server that serves the routes.
struct query_context {
  promql::series_source* source = nullptr;
  query_pool* queries = nullptr;
  // For what lists names and series: it must not wait behind long queries.
  query_pool* lookups = nullptr;
  clock_source* clock = &system_clock();
  query_limits limits;
  // limits.memory_bytes_max of them, and what answers are taken from (http::server_config::answers). Null: no bound.
  std::shared_ptr<memory_budget> memory;
  std::shared_ptr<memory_budget> answers;
  status_facts status;
  // For one query of who asks, at whatever route: the one place that could narrow what they see. Empty: nothing is noted or
  // kept.
  std::function<std::unique_ptr<query_watch>(const principal& who)> watch;
  bool targets_from_up = true; // /api/v1/targets from what is stored; else the node has a route of its own
};
using query_context_ptr = std::shared_ptr<const query_context>;

[[nodiscard]] std::vector<http::route> make_query_routes(query_context context);

// What counts one query's memory, from before it is parsed.
using query_memory_ptr = std::shared_ptr<promql::query_memory>;
[[nodiscard]] query_memory_ptr make_memory(const query_context& context);

// Runs `work` on the pool for `who` and sends what it returns; a full pool answers 503 at once. `memory` may be null.
void run_on_pool(query_pool& pool, const principal& who, http::responder_ptr to,
                 std::chrono::nanoseconds timeout, query_memory_ptr memory,
                 std::function<http::response(const query_ticket&)> work);
// A failure of a query, told apart by why it was stopped.
[[nodiscard]] http::response query_failure(const error& e, const query_ticket& ticket);

} // namespace skerry::api
