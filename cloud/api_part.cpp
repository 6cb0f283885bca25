#include "cloud/api_part.hpp"

#include "actors/base/version.hpp"
#include "actors/node/config.hpp"
#include "cloud/api/routes.hpp"

#include <fmt/format.h>

namespace skerry::cloud {

namespace {

std::string retention_text(const cloud_config& config) {
  const auto hours = std::chrono::duration_cast<std::chrono::hours>(config.store.retention).count();
  return hours == 0        ? "forever"
         : hours % 24 == 0 ? fmt::format("{}d", hours / 24)
                           : fmt::format("{}h", hours);
}

// As Prometheus calls them, where it has the same.
std::vector<std::pair<std::string, std::string>> flags_of(const cloud_config& config) {
  return {{"query.lookback-delta", format_duration(config.limits.lookback)},
          {"query.max-concurrency", std::to_string(config.queries.threads)},
          {"query.max-samples", std::to_string(config.limits.samples_max)},
          {"query.timeout", format_duration(config.limits.timeout)},
          {"storage.tsdb.path", config.store.directory.string()},
          {"storage.tsdb.retention.time", retention_text(config)},
          {"web.enable-admin-api", config.admin_api ? "true" : "false"},
          {"web.enable-remote-write-receiver", config.remote_write ? "true" : "false"},
          {"web.listen-address", config.http.listen}};
}

} // namespace

api_part::api_part(const cloud_config& config, store_part& store, const sites_part& sites,
                   operations_part& operations, const config_reload& reload,
                   std::shared_ptr<memory_budget> answers, node_metrics& metrics)
    : ledger_(make_ledger(store.data(), sites.hosts(), store.taken_back())),
      queries_(config.queries, metrics.registry()),
      lookups_(config.queries, metrics.registry()) {
  if (config.query_cache_bytes_max != 0)
    results_ = std::make_unique<result_cache>(config.query_cache_bytes_max, store.data()->changes(),
                                              metrics.registry());
  context_.source = &store.deleted();
  context_.deleted = config.admin_api ? &store.deleted() : nullptr;
  context_.queries = &queries_;
  context_.lookups = &lookups_;
  context_.cache = results_.get();
  context_.node = &operations.all();
  context_.feed = &operations.feed();
  context_.ledger = ledger_.get();
  context_.retracted = store.taken_back().get();
  context_.metrics = metrics.route().run;
  context_.build = {std::string{version}, {}};
  context_.limits = config.limits;
  context_.memory = std::make_shared<memory_budget>(config.limits.memory_bytes_max);
  context_.answers = std::move(answers);
  context_.started_ns = system_clock().wall_ns();
  context_.config_text = config.text;
  context_.retention = retention_text(config);
  context_.reloaded = [&reload] { return reload.last(); };
  context_.flags = flags_of(config);
}

std::vector<http::route> api_part::routes() { return make_routes(context_); }

} // namespace skerry::cloud
