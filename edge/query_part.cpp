#include "edge/query_part.hpp"

#include "actors/base/version.hpp"
#include "edge/query/damage_watch.hpp"

#include <fmt/format.h>

namespace skerry::edge {

query_part::query_part(const edge_config& config, const pipeline& records, const config_reload& reload,
                       std::shared_ptr<memory_budget> answers, prometheus::Registry& metrics)
    : source_(records.store()), queries_(config.queries, metrics), lookups_(config.queries, metrics) {
  context_.source = &source_;
  context_.queries = &queries_;
  context_.lookups = &lookups_;
  context_.limits = config.limits;
  context_.memory = std::make_shared<memory_budget>(config.limits.memory_bytes_max);
  context_.answers = std::move(answers);
  context_.targets_from_up = false;
  context_.watch = [this](const principal&) { return std::make_unique<damage_watch>(source_); };
  context_.status.build = {std::string{version}, {}};
  context_.status.started_ns = system_clock().wall_ns();
  context_.status.reloaded = [&reload] { return reload.last(); };
  context_.status.retention = fmt::format(
      "{}h", std::chrono::duration_cast<std::chrono::hours>(config.spool.local_retention).count());
}

std::vector<http::route> query_part::routes() { return api::make_query_routes(context_); }

} // namespace skerry::edge
