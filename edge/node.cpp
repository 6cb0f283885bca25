#include "edge/node.hpp"

#include "actors/base/memory.hpp"
#include "actors/base/open_files.hpp"
#include "actors/base/version.hpp"
#include "actors/link/keys.hpp"
#include "actors/node/data_directory.hpp"
#include "actors/node/http_part.hpp"
#include "actors/node/log.hpp"
#include "actors/node/metrics.hpp"
#include "actors/node/reload.hpp"
#include "actors/push/push_service.hpp"
#include "edge/collect_part.hpp"
#include "edge/downlink_part.hpp"
#include "edge/gateway/pushed.hpp"
#include "edge/query_part.hpp"
#include "edge/status_part.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <optional>

namespace skerry::edge {

namespace {

constexpr int startup_ticks = 5; // then everything has run that runs once

// The edge's side of CAF. One worker that blocks when idle: its scratch memory is made once, and it is enough for
// millions of samples a second. The gateway has a thread of its own.
struct actor_settings : caf::actor_system_config {
  actor_settings() {
    add_message_types<caf::id_block::skerry>();
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", std::size_t{1});
  }
};

push::push_service_config push_settings(const edge_config& config, const edge_identity& identity,
                                        const pipeline& records) {
  push::push_service_config settings;
  settings.site = identity.site;
  settings.queue_bytes_max = config.remote_write_bytes_max;
  settings.commit = [inbox = records.inbox(), to = records.gateway()](
                        push::push_outcome what, push::push_service_config::done_function done) {
    put_pushed(*inbox, to, std::move(what.hosts), std::move(done));
  };
  return settings;
}

transport_factory upstream(const edge_config& config, const edge_identity& identity,
                           const link::curve_keypair& keys, prometheus::Registry& metrics) {
  link::client_config settings;
  settings.server_key = identity.server_key;
  settings.keys = keys;
  settings.message_bytes_max = config.link.message_bytes_max;
  return [settings, &metrics](const std::string& address, link::client_events events) {
    auto to = settings;
    to.address = address;
    return link::start_client(to, std::move(events), metrics);
  };
}

class parts_node final : public node {
public:
  parts_node(edge_config config, config_source<edge_config> reload)
      : config_(std::move(config)),
        metrics_(version),
        read_again_("edge", metrics_.registry(), [this, reload = std::move(reload)] {
          return reload([this](const edge_config& now) { return apply(now); });
        }) {}

  ~parts_node() override {
    const bool ran = http_ != nullptr; // the last part to start
    if (ran)
      spdlog::info("edge: stopping");
    parts_.clear();
    if (actors_)
      actors_->await_all_actors_done(); // of parts that could not be opened, too
    if (ran)
      spdlog::info("edge: stopped");
  }

  // The order of making: each part needs those before it, and stops before they do.
  result<void> open(std::vector<std::string> examine_command) {
    raise_open_files();
    auto& metrics = metrics_.registry();
    BOOST_OUTCOME_TRY(directory, data_directory::open(config_.data, node_kind::edge));
    directory_.emplace(std::move(directory));
    BOOST_OUTCOME_TRY(identity, load_identity(config_.data));
    BOOST_OUTCOME_TRY(keys, link::load_keypair(config_.data / "link.key"));
    const auto board = std::make_shared<status_board>();
    BOOST_OUTCOME_TRY(
        opened, pipeline::open(
                    config_, identity,
                    {.clock = system_clock(),
                     .random = system_random(),
                     .metrics = metrics,
                     .connect = upstream(config_, identity, keys, metrics),
                     .software = fmt::format("skerry-edge {}", version),
                     .examine_command = std::move(examine_command),
                     .publish = [board](const uplink_status& now) { board->publish(now); },
                     .publish_refusal = [board](const std::string& why) { board->publish_refusal(why); }}));
    auto& records = parts_.add(std::move(opened));
    say_what_was_found(identity, *records.store());
    actors_.emplace(actor_settings_);
    BOOST_OUTCOME_TRYV(records.start(*actors_, watch_));
    const downlink_part* downlink = nullptr;
    if (!config_.link.bind.empty()) {
      BOOST_OUTCOME_TRY(made, downlink_part::open(config_, identity, keys, records, board, system_random(),
                                                  metrics, *actors_, watch_));
      downlink = &parts_.add(std::move(made));
    }
    collect_ = &parts_.add(
        std::make_unique<collect_part>(config_.collect, identity, records, board, metrics, *actors_, watch_));
    parts_.add(std::make_unique<status_part>(config_, identity, keys, records, downlink, board, read_again_,
                                             metrics_));
    auto http = config_.http;
    http.answers = std::make_shared<memory_budget>(http.answers_bytes_max);
    parts_.add(std::make_unique<query_part>(config_, records, read_again_, http.answers, metrics));
    // Its last requests go into the inbox, and are answered by the gateway.
    if (config_.remote_write)
      parts_.add(std::make_unique<push::push_service>(push_settings(config_, identity, records), metrics));
    BOOST_OUTCOME_TRY(opened_http, http::http_part::open(http, config_.data, parts_.routes(), metrics));
    http_ = &parts_.add(std::move(opened_http));
    return ok();
  }

  result<std::string> read_again() override { return read_again_(); }
  std::string http_address() const override { return http_->address(); }
  void on_tick() override {
    parts_.on_tick();
    if (++ticks_ == startup_ticks)
      release_startup_code();
  }
  bool failed() const noexcept override { return watch_.ended(); }

private:
  // What can change while running. HTTP asks for it at first when all parts are made.
  result<void> apply(const edge_config& config) {
    BOOST_OUTCOME_TRYV(set_log_level(config.log_level));
    collect_->apply(config.collect);
    return ok();
  }

  static void say_what_was_found(const edge_identity& identity, const spool& store) {
    const auto& found = store.report();
    spdlog::info("edge: {} of site '{}' opened epoch {}, {} records in {} segments wait{}",
                 to_string(identity.edge), identity.site, to_string(store.epoch()), found.records,
                 found.segments, found.clean ? "" : "; the last stop was not orderly");
  }

  edge_config config_;
  node_metrics metrics_; // everything counts in it
  config_reload read_again_;
  std::optional<data_directory> directory_;
  actor_watch watch_;
  actor_settings actor_settings_;
  std::optional<caf::actor_system> actors_;
  node_parts parts_;
  int ticks_ = 0;
  collect_part* collect_ = nullptr; // of parts_, as the next
  const http::http_part* http_ = nullptr;
};

} // namespace

result<std::unique_ptr<node>> node::start(edge_config config, config_source<edge_config> reload,
                                          std::vector<std::string> examine_command) {
  auto made = std::make_unique<parts_node>(std::move(config), std::move(reload));
  BOOST_OUTCOME_TRYV(made->open(std::move(examine_command)));
  return std::unique_ptr<node>{std::move(made)};
}

} // namespace skerry::edge
