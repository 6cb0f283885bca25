#include "cloud/node.hpp"

#include "actors/base/open_files.hpp"
#include "actors/base/version.hpp"
#include "actors/link/keys.hpp"
#include "actors/node/data_directory.hpp"
#include "actors/node/http_part.hpp"
#include "actors/node/log.hpp"
#include "actors/node/metrics.hpp"
#include "actors/node/reload.hpp"
#include "actors/push/push_service.hpp"
#include "cloud/api_part.hpp"
#include "cloud/ingest/push_core.hpp"

#include <spdlog/spdlog.h>

#include <optional>

namespace skerry::cloud {

namespace {

push::push_service_config push_settings(const cloud_config& config, const store_part& store,
                                        const ingest_part& ingest) {
  push::push_service_config settings;
  settings.site = config.remote_write_site;
  settings.token_names_sites = true;
  settings.kept_from_ns = [store = store.data()] { return store->kept_from_ns(); };
  settings.future_max = config.future_max;
  settings.clock = ingest.held().get();
  settings.clock_doubt = [trust = ingest.trust()] { return doubt_of(trust->judge()); };
  settings.queue_bytes_max = config.remote_write_bytes_max;
  settings.commit = [to = ingest.actor()](push::push_outcome what,
                                          push::push_service_config::done_function done) {
    caf::anon_send(to, std::make_shared<push_job>(push_job{std::move(what.hosts), std::move(done)}));
  };
  return settings;
}

class parts_node final : public node {
public:
  parts_node(cloud_config config, config_source<cloud_config> reload)
      : config_(std::move(config)),
        metrics_(version),
        read_again_("cloud", metrics_.registry(), [reload = std::move(reload)] {
          return reload([](const cloud_config& now) { return set_log_level(now.log_level); });
        }) {}

  ~parts_node() override {
    const bool ran = http_ != nullptr; // the last part to start
    if (ran)
      spdlog::info("cloud: stopping");
    parts_.clear();
    if (ran)
      spdlog::info("cloud: stopped");
  }

  // The order of making: each part needs those before it, and stops before they do.
  result<void> open() {
    raise_open_files();
    auto& random = system_random();
    auto& metrics = metrics_.registry();
    BOOST_OUTCOME_TRY(directory, data_directory::open(config_.data, node_kind::cloud));
    directory_.emplace(std::move(directory));
    config_.store.directory = config_.data / "store";
    BOOST_OUTCOME_TRY(opened_store, store_part::open(config_.store, random, metrics));
    auto& store = parts_.add(std::move(opened_store));
    BOOST_OUTCOME_TRY(keys, link::load_or_create_keypair(config_.data / "link.key"));
    BOOST_OUTCOME_TRY(opened_sites, sites_part::open(config_.data, config_.hosts, store));
    auto& sites = parts_.add(std::move(opened_sites));
    BOOST_OUTCOME_TRY(opened_ingest, ingest_part::open(config_, keys, store, sites, random, metrics, watch_));
    ingest_ = &parts_.add(std::move(opened_ingest));
    auto& operations = parts_.add(
        std::make_unique<operations_part>(config_, keys, store, sites, *ingest_, read_again_, random));
    auto http = config_.http;
    http.answers = std::make_shared<memory_budget>(http.answers_bytes_max);
    parts_.add(
        std::make_unique<api_part>(config_, store, sites, operations, read_again_, http.answers, metrics_));
    if (config_.remote_write)
      parts_.add(std::make_unique<push::push_service>(push_settings(config_, store, *ingest_), metrics));
    BOOST_OUTCOME_TRY(opened_http, http::http_part::open(http, config_.data, parts_.routes(), metrics));
    http_ = &parts_.add(std::move(opened_http));
    return ok();
  }

  std::string http_address() const override { return http_->address(); }
  std::string link_address() const override { return ingest_->address(); }
  result<std::string> read_again() override { return read_again_(); }
  void on_tick() override { parts_.on_tick(); }
  bool failed() const noexcept override { return watch_.ended(); }

private:
  cloud_config config_;
  node_metrics metrics_; // everything counts in it
  config_reload read_again_;
  std::optional<data_directory> directory_;
  actor_watch watch_;
  node_parts parts_;
  const ingest_part* ingest_ = nullptr; // of parts_, as the next
  const http::http_part* http_ = nullptr;
};

} // namespace

result<std::unique_ptr<node>> node::start(cloud_config config, config_source<cloud_config> reload) {
  auto made = std::make_unique<parts_node>(std::move(config), std::move(reload));
  BOOST_OUTCOME_TRYV(made->open());
  return std::unique_ptr<node>{std::move(made)};
}

} // namespace skerry::cloud
