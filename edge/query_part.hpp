#pragma once

// Queries over what lies in the spool: Prometheus' API, with the pools that run it. When it stops, what the pools run has
// ended.

#include "actors/api/query_pool.hpp"
#include "actors/node/part.hpp"
#include "actors/node/reload.hpp"
#include "edge/config.hpp"
#include "edge/pipeline.hpp"
#include "edge/query/spooled_series.hpp"

namespace skerry::edge {

class query_part final : public node_part {
public:
  // `answers`: what the HTTP server takes answers from.
  query_part(const edge_config& config, const pipeline& records, const config_reload& reload,
             std::shared_ptr<memory_budget> answers, prometheus::Registry& metrics);

  [[nodiscard]] std::vector<http::route> routes() override;

private:
  spooled_series source_;
  api::query_pool queries_; // their threads read it
  api::query_pool lookups_;
  api::query_context context_;
};

} // namespace skerry::edge
