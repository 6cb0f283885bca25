#include "edge/node.hpp"

#include "actors/actors.hpp"
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
#include "edge/gateway/gateway.hpp"
#include "edge/gateway/pushed.hpp"
#include "edge/identity.hpp"
#include "edge/query/damage_watch.hpp"
#include "edge/query/spooled_series.hpp"
#include "edge/status.hpp"
#include "edge/uplink/uplink.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <atomic>
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

std::uint64_t spool_bytes_default(const edge_config& config) {
  std::error_code code;
  const auto disk = std::filesystem::space(config.data, code);
  return code ? spool_bytes_default_max : std::min<std::uint64_t>(spool_bytes_default_max, disk.capacity / 5);
}

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
    if (uplink_)
      caf::anon_send(uplink_, stop_atom_v);
    uplink_ = nullptr;
    if (gateway_)
      caf::anon_send(gateway_, stop_atom_v);
    gateway_ = nullptr;
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
    auto settings = spool_settings(config_, spool_bytes_default(config_));
    settings.edge = identity_.edge;
    BOOST_OUTCOME_TRY(store, spool::open(settings, system_clock(), system_random(), metrics_.registry()));
    store_ = std::move(store);
    const auto& found = store_->report();
    spdlog::info("edge: {} of site '{}' opened epoch {}, {} records in {} segments wait{}",
                 to_string(identity_.edge), identity_.site, to_string(store_->epoch()), found.records,
                 found.segments, found.clean ? "" : "; the last stop was not orderly");
    return ok();
  }

  result<void> start_actors() {
    actor_settings_.emplace();
    actors_.emplace(*actor_settings_);
    uplink_config up;
    up.sender.edge = identity_.edge;
    up.sender.current = store_->epoch();
    up.sender.instance = system_random().next_128();
    up.sender.software = fmt::format("skerry-edge {}", version);
    up.sender.under_way = claims_;
    up.sender.batch_bytes_max = config_.uplink_batch_bytes_max;
    up.sender.dead_after = config_.uplink_dead_after;
    up.sender.ping_interval = config_.uplink_ping_interval;
    up.sender.further_out = epochs_;
    up.store = store_;
    up.clock = &system_clock();
    up.random = &system_random();
    up.metrics = &metrics_.registry();
    up.message_bytes_max = config_.link.message_bytes_max;
    up.publish = [board = board_](const uplink_status& now) { board->publish(now); };
    up.sender.bandwidth_bytes = config_.uplink_bandwidth;
    up.sender.backlog_share = config_.uplink_backlog_share;
    up.sender.backlog = config_.uplink_newest_first ? delivery::backlog_order::newest_first
                                                    : delivery::backlog_order::oldest_first;
    up.addresses = identity_.addresses;
    up.failover_after = config_.uplink_failover_after;
    up.backlog_apart_from = config_.uplink_backlog_apart_from;
    up.quota = config_.uplink_quota;
    up.usage_file = config_.data / "usage";
    up.connect = [this](const std::string& address, link::client_events events) {
      link::client_config settings;
      settings.address = address;
      settings.server_key = identity_.server_key;
      settings.keys = keys_;
      settings.message_bytes_max = config_.link.message_bytes_max;
      return link::start_client(settings, std::move(events), metrics_.registry());
    };
    uplink_ = spawn_uplink(*actors_, std::move(up));
    watch(uplink_, "uplink");

    gateway_config gather;
    gather.store = store_;
    gather.clock = &system_clock();
    gather.metrics = &metrics_.registry();
    gather.commit_interval = std::chrono::duration_cast<std::chrono::milliseconds>(config_.commit_interval);
    gather.inbox = std::make_shared<gateway_inbox>(gather.commit_interval);
    const auto inbox = inbox_ = gather.inbox;
    gather.limits = config_.spool_limits;
    gather.under_way = claims_;
    gather.free_disk = [directory = config_.data / "spool"]() -> std::uint64_t {
      std::error_code code;
      const auto disk = std::filesystem::space(directory, code);
      return code ? UINT64_MAX : disk.available;
    };
    gather.publish = [board = board_](const std::string& refusal) { board->publish_refusal(refusal); };
    gather.journal = config_.commit_journal;
    BOOST_OUTCOME_TRYV(gather.validate());
    gateway_ = spawn_gateway(*actors_, std::move(gather), uplink_);
    watch(gateway_, "gateway");

    roster_config list;
    list.gateway = gateway_;
    list.inbox = inbox;
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
    watch(roster_, "roster");
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
    down.gateway = gateway_;
    down.epochs = epochs_;
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
    watch(downlink_, "downlink");
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
    context.pause_backlog = [to = uplink_](bool paused) { caf::anon_send(to, pause_atom_v, paused); };
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
  bool failed() const noexcept override { return failed_; }

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
    settings.commit = [inbox = inbox_, to = gateway_](push::push_outcome what,
                                                      push::push_service_config::done_function done) {
      put_pushed(*inbox, to, std::move(what.hosts), std::move(done));
    };
    return settings;
  }

  template <class Actor>
  void watch(const Actor& actor, const char* name) {
    actor->attach_functor([this, name](const caf::error& reason) {
      if (reason && reason != caf::exit_reason::user_shutdown) {
        spdlog::critical("edge: the {} has ended: {}", name, actors_->render(reason));
        failed_ = true;
      }
    });
  }

  edge_config config_;
  node_metrics metrics_;
  config_reload read_again_;
  std::optional<data_directory> directory_;
  edge_identity identity_;
  link::curve_keypair keys_;
  std::shared_ptr<spool> store_;
  std::shared_ptr<delivery::claims> claims_ = std::make_shared<delivery::claims>();
  std::shared_ptr<status_board> board_ = std::make_shared<status_board>();
  std::shared_ptr<link::registry> registry_;
  std::optional<actor_settings> actor_settings_;
  std::optional<caf::actor_system> actors_;
  uplink_actor uplink_;
  gateway_actor gateway_;
  std::shared_ptr<delivery::origin_board> epochs_ = std::make_shared<delivery::origin_board>();
  roster_actor roster_;
  std::shared_ptr<gateway_inbox> inbox_;
  listener_actor downlink_;
  std::unique_ptr<link::listener> downlink_link_; // null: no edges further out
  std::unique_ptr<spooled_series> source_;
  std::unique_ptr<api::query_pool> queries_;
  std::unique_ptr<api::query_pool> lookups_;
  std::unique_ptr<push::push_service> pushes_;
  std::unique_ptr<http::server> http_;
  std::atomic<bool> failed_ = false;
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
