#include "cloud/ingest_part.hpp"

#include "cloud/ingest/ingest.hpp"
#include "cloud/sites/hosts.hpp"

namespace skerry::cloud {

ingest_part::actor_settings::actor_settings() {
  add_message_types<caf::id_block::skerry>();
  set("scheduler.policy", caf::atom("sharing"));
  set("scheduler.max-threads", std::size_t{2});
}

ingest_part::ingest_part(const cloud_config& config, const store_part& store)
    : held_(std::make_shared<held_clock>(system_clock(), *store.data())),
      trust_(std::make_shared<clock_trust>(*held_, config.future_max)) {}

ingest_part::~ingest_part() {
  if (ingest_)
    caf::anon_send(ingest_, stop_atom_v);
  ingest_ = nullptr;
  hosts_ = nullptr;                // ingest's end is its own
  actors_.await_all_actors_done(); // its shards too
}

result<std::unique_ptr<ingest_part>> ingest_part::open(const cloud_config& config,
                                                       const link::curve_keypair& keys,
                                                       const store_part& store, const sites_part& sites,
                                                       random_source& random, prometheus::Registry& metrics,
                                                       actor_watch& watch) {
  std::unique_ptr<ingest_part> made{new ingest_part{config, store}};
  ingest_config settings;
  settings.receiver = config.receiver;
  settings.receiver.incarnation = store.incarnation();
  settings.receiver.name = config.name;
  settings.store = store.data();
  settings.registry = sites.registry();
  settings.places = sites.places();
  settings.publish = [board = sites.board()](auto edges, auto how) {
    board->publish(std::move(edges), std::move(how));
  };
  settings.clock = &system_clock();
  settings.held = made->held_;
  settings.trust = made->trust_;
  settings.random = &random;
  settings.metrics = &metrics;
  settings.future_max = config.future_max;
  settings.message_bytes_max = config.link.message_bytes_max;
  settings.send = [out = &made->listener_](const link::peer_id& to, const link::message& message) {
    out->send(to, message);
  };
  made->hosts_ = spawn_hosts(made->actors_, {sites.hosts(), sites.places(), store.data(),
                                             [store = store.data()] { return store->kept_from_ns(); },
                                             &system_clock(), [held = made->held_] { return held->note(); }});
  watch.watch(made->hosts_, "hosts");
  settings.subscribers.push_back([to = made->hosts_](const effects_ptr& what) { caf::anon_send(to, what); });
  settings.streams = [to = made->hosts_](const stream_news_ptr& news) { caf::anon_send(to, news); };
  made->ingest_ = spawn_ingest(made->actors_, std::move(settings));
  watch.watch(made->ingest_, "ingest");
  made->ingest_->attach_functor(
      [hosts = made->hosts_](const caf::error&) { caf::anon_send(hosts, stop_atom_v); });
  BOOST_OUTCOME_TRYV(made->listener_.start(config.link, keys, sites.registry(), system_clock(),
                                           tell(made->ingest_), metrics));
  return made;
}

} // namespace skerry::cloud
