#include "edge/node.hpp"

#include "actors/link/address.hpp"
#include "actors/link/keys.hpp"
#include "actors/link/registry.hpp"
#include "actors/node/data_directory.hpp"
#include "actors/node/log.hpp"
#include "actors/node/metrics.hpp"
#include "actors/node/open_files.hpp"
#include "actors/node/reload.hpp"
#include "actors/node/version.hpp"
#include "actors/push/push_service.hpp"
#include "edge/collect/roster.hpp"
#include "edge/downlink/downlink.hpp"
#include "edge/gateway/pushed.hpp"
#include "edge/pipeline.hpp"
#include "edge/query/damage_watch.hpp"
#include "edge/query/spooled_series.hpp"
#include "edge/status.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <optional>

namespace skerry::edge {

namespace {

constexpr std::uint64_t downlink_memory_max =
    32 << 20; // of what edges further out have sent, and waits for the spool

// The edge's side of CAF. One worker that blocks when idle: its scratch memory is made once, and it is enough for
// millions of samples a second. The gateway has a thread of its own.
struct actor_settings : caf::actor_system_config {
  actor_settings() {
    add_message_types<caf::id_block::skerry>();
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", std::size_t{1});
  }
};

// "tcp://*:7491" as bound, with a host that others can reach.
std::string advertised(const edge_config& config, const std::string& bound) {
  if (!config.link.advertise.empty())
    return link::with_scheme(config.link.advertise);
  return fmt::format("tcp://{}{}", config.host, bound.substr(bound.rfind(':')));
}

class running_node final : public node {
public:
  explicit running_node(edge_config config)
      : config_(std::move(config)),
        metrics_(version),
        read_again_(
            "edge", metrics_.registry(), config_.reload ? config_.reload : [] {
              return result<std::string>{
                  fail(errc::unsupported, "this node runs without a configuration file")};
            }) {}

  ~running_node() override {
    const bool ran = http_ != nullptr; // the last part to start
    if (ran)
      spdlog::info("edge: stopping");
    http_.reset();
    pushes_.reset(); // its last requests go into the inbox, and are answered by the gateway
    queries_.reset();
    lookups_.reset();
    if (roster_)
      caf::anon_send(roster_, stop_atom_v);
    roster_ = nullptr;
    if (downlink_)
      caf::anon_send(downlink_, stop_atom_v);
    downlink_ = nullptr;
    pipeline_.reset();
    if (actors_)
      actors_->await_all_actors_done();
    downlink_link_.reset(); // the downlink sent through it to its end
    actors_.reset();
    if (ran)
      spdlog::info("edge: stopped");
  }

  result<void> open() {
    raise_open_files();
    BOOST_OUTCOME_TRY(directory, data_directory::open(config_.data, node_kind::edge));
    directory_.emplace(std::move(directory));
    BOOST_OUTCOME_TRY(identity, load_identity(config_.data));
    identity_ = identity;
    BOOST_OUTCOME_TRY(keys, link::load_keypair(config_.data / "link.key"));
    keys_ = keys;
    BOOST_OUTCOME_TRY(opened, pipeline::open(config_, identity_, surroundings()));
    pipeline_ = std::move(opened);
    store_ = pipeline_->store();
    const auto& found = store_->report();
    spdlog::info("edge: {} of site '{}' opened epoch {}, {} records in {} segments wait{}",
                 to_string(identity_.edge), identity_.site, to_string(store_->epoch()), found.records,
                 found.segments, found.clean ? "" : "; the last stop was not orderly");
    return ok();
  }

  result<void> start_actors() {
    actor_settings_.emplace();
    actors_.emplace(*actor_settings_);
    BOOST_OUTCOME_TRYV(pipeline_->start(*actors_, watch_));
    roster_config list;
    list.gateway = pipeline_->gateway();
    list.inbox = pipeline_->inbox();
    list.clock = &system_clock();
    list.metrics = &metrics_.registry();
    list.publish = [board = board_](std::vector<scrape_target_ptr> targets) {
      board->publish(std::move(targets));
    };
    list.publish_host = [board = board_](std::shared_ptr<const due_watch> host) {
      board->publish(std::move(host));
    };
    list.seed = static_cast<std::uint64_t>(identity_.edge);
    roster_ = spawn_roster(*actors_, std::move(list));
    watch_.watch(roster_, "edge: the roster");
    caf::anon_send(roster_, std::make_shared<const edge_config>(config_));
    return ok();
  }

  // Edges further out: only where a bind address is configured.
  result<void> start_downlink() {
    if (config_.link.bind.empty())
      return ok();
    BOOST_OUTCOME_TRY(registry, link::registry::open(config_.data / "registry"));
    registry_ = std::move(registry);
    downlink_config down;
    down.receiver.name = fmt::format("gateway {}", to_string(identity_.edge));
    down.receiver.memory_max = downlink_memory_max;
    down.receiver.self = identity_.edge;
    down.receiver.is_upstream = [registry = registry_, key = identity_.server_key](edge_id user) {
      const auto upstream = registry->edge_of(key); // a node has one key, for either direction
      return upstream && upstream.value() == user;
    };
    const auto epoch = store_->epoch();
    down.receiver.incarnation = epoch.random; // a gateway restored from a copy starts a new epoch
    down.receiver.taken_until_ns = store_->report().last_commit_ns;
    down.store = store_;
    down.registry = registry_;
    down.gateway = pipeline_->gateway();
    down.epochs = pipeline_->origins();
    down.clock = &system_clock();
    down.random = &system_random();
    down.metrics = &metrics_.registry();
    down.message_bytes_max = config_.link.message_bytes_max;
    down.presence_file = config_.data / "edges";
    down.publish = [board = board_](std::vector<delivery::edge_view> edges,
                                    std::vector<delivery::edge_presence> how) {
      board->publish(std::move(edges), std::move(how));
    };
    downlink_link_ = std::make_unique<link::listener>();
    down.send = [out = downlink_link_.get()](const link::peer_id& to, const link::message& message) {
      out->send(to, message);
    };
    downlink_ = spawn_downlink(*actors_, std::move(down));
    watch_.watch(downlink_, "edge: the downlink");
    BOOST_OUTCOME_TRYV(downlink_link_->start(config_.link, keys_, registry_, system_clock(), tell(downlink_),
                                             metrics_.registry()));
    spdlog::info("edge: edges further out may connect to {}", downlink_link_->address());
    return ok();
  }

  result<void> start_http() {
    status_context context;
    context.identity = identity_;
    context.store = store_;
    context.board = board_;
    context.reload = [this] { return read_again(); };
    context.pause_backlog = [to = pipeline_->uplink()](bool paused) {
      caf::anon_send(to, pause_atom_v, paused);
    };
    if (downlink_link_) {
      context.registry = registry_;
      context.server_key = keys_.public_key;
      context.on_revoked = [to = downlink_](edge_id edge) {
        caf::anon_send(to, revoked_atom_v, static_cast<std::uint64_t>(edge));
      };
      context.advertise = advertised(config_, downlink_link_->address());
    }
    auto routes = make_status_routes(std::move(context));
    routes.push_back(metrics_.route());
    for (auto& route : query_routes())
      routes.push_back(std::move(route));
    if (config_.remote_write) {
      pushes_ = std::make_unique<push::push_service>(push_settings(), metrics_.registry());
      routes.push_back(pushes_->route());
    }
    config_.http.connections_max = http_connections_within(config_.http.connections_max);
    config_.http.streams_max = http_streams_within(config_.http.streams_max);
    config_.http.unix_socket = (config_.data / "operator.sock").string();
    BOOST_OUTCOME_TRY(server, http::server::start(config_.http, std::move(routes), metrics_.registry()));
    http_ = std::move(server);
    return ok();
  }

  void reload(const edge_config& config) override {
    static_cast<void>(set_log_level(config.log_level)); // it was checked when it was read
    caf::anon_send(roster_, std::make_shared<const edge_config>(config));
  }
  result<std::string> read_again() override { return read_again_(); }
  std::string http_address() const override { return http_->address(); }
  bool failed() const noexcept override { return watch_.ended(); }

private:
  std::vector<http::route> query_routes() {
    queries_ = std::make_unique<api::query_pool>(config_.queries, metrics_.registry());
    lookups_ = std::make_unique<api::query_pool>(config_.queries, metrics_.registry());
    source_ = std::make_unique<spooled_series>(store_);
    api::query_context context;
    context.source = source_.get();
    context.queries = queries_.get();
    context.lookups = lookups_.get();
    context.limits = config_.limits;
    context.memory = std::make_shared<memory_budget>(config_.limits.memory_bytes_max);
    context.answers = config_.http.answers = std::make_shared<memory_budget>(config_.http.answers_bytes_max);
    context.targets_from_up = false;
    context.watch = [this](const principal&) { return std::make_unique<damage_watch>(*source_); };
    context.status.build = {std::string{version}, {}};
    context.status.started_ns = system_clock().wall_ns();
    context.status.reloaded = [this] { return read_again_.last(); };
    context.status.retention =
        fmt::format("{}h", std::chrono::duration_cast<std::chrono::hours>(config_.local_retention).count());
    return api::make_query_routes(std::move(context));
  }

  push::push_service_config push_settings() {
    push::push_service_config settings;
    settings.site = identity_.site;
    settings.queue_bytes_max = config_.remote_write_bytes_max;
    settings.commit = [inbox = pipeline_->inbox(), to = pipeline_->gateway()](
                          push::push_outcome what, push::push_service_config::done_function done) {
      put_pushed(*inbox, to, std::move(what.hosts), std::move(done));
    };
    return settings;
  }

  pipeline_surroundings surroundings() {
    return {.clock = system_clock(),
            .random = system_random(),
            .metrics = metrics_.registry(),
            .connect =
                [this](const std::string& address, link::client_events events) {
                  link::client_config settings;
                  settings.address = address;
                  settings.server_key = identity_.server_key;
                  settings.keys = keys_;
                  settings.message_bytes_max = config_.link.message_bytes_max;
                  return link::start_client(settings, std::move(events), metrics_.registry());
                },
            .software = fmt::format("skerry-edge {}", version),
            .publish = [board = board_](const uplink_status& now) { board->publish(now); },
            .publish_refusal = [board = board_](const std::string& why) { board->publish_refusal(why); }};
  }

  edge_config config_;
  node_metrics metrics_;
  config_reload read_again_;
  std::optional<data_directory> directory_;
  edge_identity identity_;
  link::curve_keypair keys_;
  std::shared_ptr<spool> store_;
  std::shared_ptr<status_board> board_ = std::make_shared<status_board>();
  std::shared_ptr<link::registry> registry_;
  actor_watch watch_;
  std::optional<actor_settings> actor_settings_;
  std::optional<caf::actor_system> actors_;
  std::unique_ptr<pipeline> pipeline_;
  roster_actor roster_;
  listener_actor downlink_;
  std::unique_ptr<link::listener> downlink_link_; // null: no edges further out
  std::unique_ptr<spooled_series> source_;
  std::unique_ptr<api::query_pool> queries_;
  std::unique_ptr<api::query_pool> lookups_;
  std::unique_ptr<push::push_service> pushes_;
  std::unique_ptr<http::server> http_;
};

} // namespace

result<std::unique_ptr<node>> node::start(edge_config config) {
  auto made = std::make_unique<running_node>(std::move(config));
  BOOST_OUTCOME_TRYV(made->open());
  BOOST_OUTCOME_TRYV(made->start_actors());
  BOOST_OUTCOME_TRYV(made->start_downlink());
  BOOST_OUTCOME_TRYV(made->start_http());
  return std::unique_ptr<node>{std::move(made)};
}

} // namespace skerry::edge
