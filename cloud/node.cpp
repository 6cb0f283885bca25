#include "cloud/node.hpp"

#include "actors/actors.hpp"
#include "actors/http/server.hpp"
#include "actors/link/keys.hpp"
#include "actors/link/messages.hpp"
#include "actors/link/registry.hpp"
#include "actors/link/token.hpp"
#include "actors/node/config.hpp"
#include "actors/node/data_directory.hpp"
#include "actors/node/metrics.hpp"
#include "actors/node/open_files.hpp"
#include "actors/node/reload.hpp"
#include "actors/node/version.hpp"
#include "actors/push/push_service.hpp"
#include "cloud/api/routes.hpp"
#include "cloud/api/site_feed.hpp"
#include "cloud/ingest/clock_trust.hpp"
#include "cloud/ingest/held_clock.hpp"
#include "cloud/ingest/ingest.hpp"
#include "cloud/ingest/push_core.hpp"
#include "cloud/ledger/ledger.hpp"
#include "cloud/ledger/retractions.hpp"
#include "cloud/operations.hpp"
#include "cloud/query/deletions.hpp"
#include "cloud/query/result_cache.hpp"
#include "cloud/sites/host_keeper.hpp"
#include "cloud/sites/hosts.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <optional>

namespace skerry::cloud {

namespace {

// The cloud's side of CAF: two workers that block when idle instead of polling.
struct actor_settings : caf::actor_system_config {
  actor_settings() {
    add_message_types<caf::id_block::skerry>();
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", std::size_t{2});
  }
};

// Made once with the store and kept in it: an edge sees from it whether it talks to the same receiver as before.
constexpr std::string_view incarnation_key = "incarnation";

result<link::nonce> load_incarnation(state_store& store, random_source& random) {
  link::nonce found{};
  bool any = false;
  BOOST_OUTCOME_TRYV(store.scan_state(incarnation_key, [&](std::string_view key, std::string_view value) {
    if (key == incarnation_key && value.size() == found.size()) {
      std::memcpy(found.data(), value.data(), found.size());
      any = true;
    }
  }));
  if (any)
    return found;
  random.fill(found);
  store.put_state({{std::string{incarnation_key},
                    std::string{reinterpret_cast<const char*>(found.data()), found.size()}}},
                  [](result<void> done) {
                    if (!done)
                      spdlog::error("store: the incarnation was not kept: {}", done.error().message);
                  });
  return found;
}

class running_node final : public node {
public:
  explicit running_node(cloud_config config)
      : config_(std::move(config)), metrics_(version),
        read_again_("cloud", metrics_.registry(), config_.reload ? config_.reload : [] {
          return result<std::string>{fail(errc::unsupported, "this node runs without a configuration file")};
        }), random_(system_random()) {}

  ~running_node() override {
    const bool ran = http_ != nullptr; // the last part to start
    if (ran)
      spdlog::info("cloud: stopping");
    http_.reset();
    pushes_.reset();
    queries_.reset();
    lookups_.reset();
    results_.reset();
    deletions_.reset(); // it holds the store, as the next do
    retractions_.reset();
    ledger_.reset();
    if (ingest_) {
      caf::anon_send(ingest_, stop_atom_v);
      ingest_ = nullptr;
    }
    hosts_owner_ = nullptr; // it ends after ingest
    feed_.reset();
    operations_.reset(); // it asks the store, which must be the last
    if (actors_)
      actors_->await_all_actors_done();
    link_.reset(); // ingest sent through it to its end
    actors_.reset();
    store_.reset(); // the last: everything above hands work to it
    if (ran)
      spdlog::info("cloud: stopped");
  }

  result<void> open() {
    raise_open_files();
    BOOST_OUTCOME_TRY(directory, data_directory::open(config_.data, node_kind::cloud));
    directory_.emplace(std::move(directory));
    config_.store.directory = config_.data / "store";
    BOOST_OUTCOME_TRY(store, open_embedded_engine(config_.store, metrics_.registry()));
    store_ = std::move(store);
    BOOST_OUTCOME_TRY(deleted, deletions::open(store_));
    deletions_ = std::move(deleted);
    BOOST_OUTCOME_TRY(taken_back, retractions::open(store_));
    retractions_ = std::move(taken_back);
    BOOST_OUTCOME_TRY(keys, link::load_or_create_keypair(config_.data / "link.key"));
    keys_ = keys;
    BOOST_OUTCOME_TRY(registry, link::registry::open(config_.data / "registry"));
    registry_ = std::move(registry);
    held_ = std::make_shared<held_clock>(system_clock(), *store_);
    trust_ = std::make_shared<clock_trust>(*held_, config_.future_max);
    BOOST_OUTCOME_TRY(incarnation, load_incarnation(*store_, random_));
    config_.receiver.incarnation = incarnation;
    config_.receiver.name = config_.name;
    BOOST_OUTCOME_TRYV(restore_hosts(*hosts_, *store_));
    BOOST_OUTCOME_TRY(edges, registry_->list_edges());
    for (const auto& edge : edges)
      if (edge.revoked_s != 0)
        hosts_->end(edge.edge, edge.revoked_s * 1'000'000'000);
    return ok();
  }

  result<void> start_link() {
    ingest_config ingest_settings;
    ingest_settings.receiver = config_.receiver;
    ingest_settings.store = store_;
    ingest_settings.registry = registry_;
    ingest_settings.places = places_;
    ingest_settings.publish = [board = board_](auto edges, auto how) {
      board->publish(std::move(edges), std::move(how));
    };
    ingest_settings.clock = &system_clock();
    ingest_settings.held = held_;
    ingest_settings.trust = trust_;
    ingest_settings.random = &random_;
    ingest_settings.metrics = &metrics_.registry();
    ingest_settings.future_max = config_.future_max;
    ingest_settings.message_bytes_max = config_.link.message_bytes_max;
    link_ = std::make_unique<link::listener>();
    ingest_settings.send = [out = link_.get()](const link::peer_id& to, const link::message& message) {
      out->send(to, message);
    };
    actor_settings_.emplace();
    actors_.emplace(*actor_settings_);
    hosts_owner_ =
        spawn_hosts(*actors_, {hosts_, places_, store_, [store = store_] { return store->kept_from_ns(); },
                               &system_clock(), [held = held_] { return held->note(); }});
    ingest_settings.subscribers.push_back(
        [to = hosts_owner_](const effects_ptr& what) { caf::anon_send(to, what); });
    ingest_settings.streams = [to = hosts_owner_](const stream_news_ptr& news) { caf::anon_send(to, news); };
    hosts_owner_->attach_functor([this](const caf::error& reason) { on_end("hosts", reason); });
    ingest_ = spawn_ingest(*actors_, std::move(ingest_settings));
    ingest_->attach_functor([this, hosts = hosts_owner_](const caf::error& reason) {
      on_end("ingest", reason);
      caf::anon_send(hosts, stop_atom_v);
    });

    return link_->start(config_.link, keys_, registry_, system_clock(), tell(ingest_), metrics_.registry());
  }

  result<void> start_http() {
    queries_ = std::make_unique<query_pool>(config_.queries, metrics_.registry());
    lookups_ = std::make_unique<query_pool>(config_.queries, metrics_.registry());
    operations_settings settings;
    settings.registry = registry_;
    sites_ = std::make_shared<site_directory>(registry_, hosts_, board_, system_clock());
    settings.sites = sites_;
    settings.server_key = keys_.public_key;
    settings.advertise = config_.link.advertise;
    settings.link_address = link_->address();
    settings.on_revoked = [to = ingest_, hosts = hosts_owner_](edge_id edge) {
      caf::anon_send(to, revoked_atom_v, static_cast<std::uint64_t>(edge));
      caf::anon_send(hosts, revoked_atom_v, static_cast<std::uint64_t>(edge));
    };
    settings.takes_data = [store = store_, trust = trust_]() -> result<void> {
      if (auto doubt = doubt_of(trust->judge()); !doubt.empty())
        return fail(errc::unavailable, std::move(doubt));
      return store->takes_data();
    };
    settings.reload = [this] { return read_again(); };
    operations_ = std::make_unique<operations>(std::move(settings), system_clock(), random_);
    api_context context;
    context.source = deletions_.get();
    context.deleted = config_.admin_api ? deletions_.get() : nullptr;
    context.queries = queries_.get();
    context.lookups = lookups_.get();
    if (config_.query_cache_bytes_max != 0)
      results_ = std::make_unique<result_cache>(config_.query_cache_bytes_max, store_->changes(),
                                                metrics_.registry());
    context.cache = results_.get();
    context.node = operations_.get();
    feed_ = std::make_unique<site_feed>(*operations_, system_clock().wall_ns());
    context.feed = feed_.get();
    ledger_ = make_ledger(store_, hosts_, retractions_);
    context.ledger = ledger_.get();
    context.retracted = retractions_.get();
    context.metrics = metrics_.route().run;
    context.build = {std::string{version}, {}};
    context.limits = config_.limits;
    context.memory = std::make_shared<memory_budget>(config_.limits.memory_bytes_max);
    context.answers = config_.http.answers = std::make_shared<memory_budget>(config_.http.answers_bytes_max);
    context.started_ns = system_clock().wall_ns();
    context.config_text = config_.text;
    context.retention = retention_text();
    context.reloaded = [this] { return read_again_.last(); };
    context.flags = flags();
    config_.http.connections_max = http_connections_within(config_.http.connections_max);
    config_.http.streams_max = http_streams_within(config_.http.streams_max);
    config_.http.unix_socket = (config_.data / "operator.sock").string();
    auto routes = make_routes(context);
    if (config_.remote_write) {
      pushes_ = std::make_unique<push::push_service>(push_settings(), metrics_.registry());
      routes.push_back(pushes_->route());
    }
    BOOST_OUTCOME_TRY(server, http::server::start(config_.http, std::move(routes), metrics_.registry()));
    http_ = std::move(server);
    return ok();
  }

  std::string http_address() const override { return http_->address(); }
  std::string link_address() const override { return link_->address(); }
  result<std::string> read_again() override { return read_again_(); }
  void on_tick() override {
    sites_->on_tick();
    feed_->on_tick();
  }
  bool failed() const noexcept override { return failed_; }

private:
  void on_end(const char* actor, const caf::error& reason) {
    if (reason && reason != caf::exit_reason::user_shutdown) {
      spdlog::critical("{} has ended: {}", actor, actors_->render(reason));
      failed_ = true;
    }
  }

  std::string retention_text() const {
    const auto hours = std::chrono::duration_cast<std::chrono::hours>(config_.store.retention).count();
    return hours == 0        ? "forever"
           : hours % 24 == 0 ? fmt::format("{}d", hours / 24)
                             : fmt::format("{}h", hours);
  }

  // As Prometheus calls them, where it has the same.
  std::vector<std::pair<std::string, std::string>> flags() const {
    return {{"query.lookback-delta", format_duration(config_.limits.lookback)},
            {"query.max-concurrency", std::to_string(config_.queries.threads)},
            {"query.max-samples", std::to_string(config_.limits.samples_max)},
            {"query.timeout", format_duration(config_.limits.timeout)},
            {"storage.tsdb.path", config_.store.directory.string()},
            {"storage.tsdb.retention.time", retention_text()},
            {"web.enable-admin-api", config_.admin_api ? "true" : "false"},
            {"web.enable-remote-write-receiver", config_.remote_write ? "true" : "false"},
            {"web.listen-address", config_.http.listen}};
  }

  push::push_service_config push_settings() {
    push::push_service_config settings;
    settings.site = config_.remote_write_site;
    settings.token_names_sites = true;
    settings.kept_from_ns = [store = store_] { return store->kept_from_ns(); };
    settings.future_max = config_.future_max;
    settings.clock = held_.get();
    settings.clock_doubt = [trust = trust_] { return doubt_of(trust->judge()); };
    settings.queue_bytes_max = config_.remote_write_bytes_max;
    settings.commit = [to = ingest_](push::push_outcome what, push::push_service_config::done_function done) {
      caf::anon_send(to, std::make_shared<push_job>(push_job{std::move(what.hosts), std::move(done)}));
    };
    return settings;
  }

  cloud_config config_;
  node_metrics metrics_;
  config_reload read_again_;
  random_source& random_;
  std::optional<data_directory> directory_;
  std::shared_ptr<engine> store_;
  link::curve_keypair keys_;
  std::shared_ptr<link::registry> registry_;
  std::shared_ptr<held_clock> held_; // reads the store when it is made
  std::shared_ptr<clock_trust> trust_;
  std::shared_ptr<host_admission> places_ = std::make_shared<host_admission>(config_.hosts);
  std::shared_ptr<host_table> hosts_ = std::make_shared<host_table>(places_);
  std::shared_ptr<edge_board> board_ = std::make_shared<edge_board>();
  std::shared_ptr<site_directory> sites_;
  std::optional<actor_settings> actor_settings_;
  std::optional<caf::actor_system> actors_;
  hosts_actor hosts_owner_; // writes hosts_
  ingest_actor ingest_;
  std::unique_ptr<link::listener> link_;
  std::unique_ptr<deletions> deletions_;
  std::shared_ptr<retractions> retractions_;
  std::unique_ptr<result_cache> results_; // asks the store what changed
  std::unique_ptr<query_pool> queries_;
  std::unique_ptr<query_pool> lookups_;
  std::unique_ptr<push::push_service> pushes_;
  std::unique_ptr<operations> operations_;
  std::unique_ptr<site_feed> feed_; // asks it
  std::unique_ptr<ledger_reader> ledger_;
  std::unique_ptr<http::server> http_;
  std::atomic<bool> failed_ = false;
};

} // namespace

result<std::unique_ptr<node>> node::start(cloud_config config) {
  auto made = std::make_unique<running_node>(std::move(config));
  BOOST_OUTCOME_TRYV(made->open());
  BOOST_OUTCOME_TRYV(made->start_link());
  BOOST_OUTCOME_TRYV(made->start_http());
  return std::unique_ptr<node>{std::move(made)};
}

} // namespace skerry::cloud
