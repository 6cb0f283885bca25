#pragma once

// Answers over HTTP: the query pools with the cache and the ledger that they read, and the routes of Prometheus' API and
// our own. When it stops, what the pools run has ended; all that they may touch was made before.

#include "actors/node/metrics.hpp"
#include "actors/node/part.hpp"
#include "cloud/ledger/ledger.hpp"
#include "cloud/operations_part.hpp"
#include "cloud/query/result_cache.hpp"

namespace skerry::cloud {

class api_part final : public node_part {
public:
  // `answers`: what the HTTP server takes answers from.
  api_part(const cloud_config& config, store_part& store, const sites_part& sites,
           operations_part& operations, const config_reload& reload, std::shared_ptr<memory_budget> answers,
           node_metrics& metrics);

  [[nodiscard]] std::vector<http::route> routes() override;

private:
  std::unique_ptr<ledger_reader> ledger_;
  std::unique_ptr<result_cache> results_; // null: none is kept
  query_pool queries_;                    // their threads read all of the above
  query_pool lookups_;
  api_context context_;
};

} // namespace skerry::cloud
