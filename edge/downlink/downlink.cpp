#include "edge/downlink/downlink.hpp"

#include "actors/delivery/reception_metrics.hpp"
#include "actors/link/registry.hpp"

#include <spdlog/spdlog.h>

#include <map>
#include <optional>

namespace skerry::edge {

namespace {

constexpr std::chrono::seconds tick_interval{1};
constexpr std::size_t sets_cached_max = 256; // a decoded set takes up to 100 KB

} // namespace

struct downlink_state : delivery::receiver_backend {
  listener_actor::pointer self = nullptr;
  downlink_config config;
  std::optional<delivery::receiver> receiver;
  std::optional<delivery::reception> reception;
  std::optional<delivery::reception_metrics> metrics;
  // Decoded sets of the spool, asked for with every frame. Cleared when full.
  std::map<std::pair<edge_id, set_hash>, series_set_ptr> sets;

  series_set_ptr stored_set(edge_id edge, const set_hash& hash) {
    if (const auto it = sets.find({edge, hash}); it != sets.end())
      return it->second;
    auto found = config.store->find_set(edge, hash);
    if (!found || !found.value())
      return nullptr;
    if (sets.size() >= sets_cached_max)
      sets.clear();
    return sets[{edge, hash}] = *found.value();
  }

  void init(listener_actor::pointer owner, downlink_config c) {
    self = owner;
    config = std::move(c);
    receiver.emplace(config.receiver, *config.clock, *config.random, *this);
    reception.emplace(
        *receiver, *config.registry, *config.clock, *config.random, config.message_bytes_max,
        [this](const link::peer_id& to, link::message message) { send(to, std::move(message)); });
    metrics.emplace(*config.metrics, "skerry_downlink_");
    // What the spool holds or has passed on is what this hop has taken.
    for (auto& stream : config.store->streams()) {
      stream.held.add(stream.released);
      receiver->restore_held(stream.key, {std::move(stream.held), 0});
    }
  }

  std::optional<std::string> site_of(edge_id edge) override {
    if (!config.registry->may_speak(edge, edge))
      return std::nullopt;
    auto site = config.registry->site_of(edge);
    return site ? std::optional{std::move(site).value()} : std::nullopt;
  }
  bool may_speak(edge_id user, edge_id origin) override { return config.registry->may_speak(user, origin); }
  bool register_origin(edge_id user, edge_id origin) override {
    return config.registry->may_speak(user, origin)
           || config.registry->register_origin(user, origin, config.clock->wall_ns() / 1'000'000'000)
                  .has_value();
  }
  std::optional<std::size_t> series_in_set(edge_id edge, const set_hash& hash) override {
    const auto set = stored_set(edge, hash);
    return set ? std::optional{set->members.size()} : std::nullopt;
  }
  void store(delivery::delivery_job job) override {
    self->send(config.gateway, std::make_shared<delivery::delivery_job>(std::move(job)));
  }
  // The spool derives what it holds from what is in it: nothing more is to be kept.
  void keep_held(std::uint64_t ticket, const stream_key&, const delivery::held_stream&) override {
    caf::anon_send(listener_actor{self}, held_atom_v, ticket, std::string{});
  }
  void forget(const stream_key&) override {} // the spool has its own bound
  void send(const link::peer_id& to, link::message message) override { config.send(to, std::move(message)); }
};

namespace {

listener_actor::behavior_type downlink(listener_actor::stateful_pointer<downlink_state> self,
                                       downlink_config config) {
  self->state.init(self, std::move(config));
  caf::delayed_anon_send(listener_actor{self}, tick_interval, tick_atom_v);
  return {
      [self](inbound_ptr& inbound) {
        self->state.reception->on_message(inbound->from, inbound->user_id, inbound->parts);
      },
      [self](stored_atom, std::uint64_t ticket, const std::string& failed) {
        self->state.receiver->on_stored(ticket, failed);
      },
      [self](held_atom, std::uint64_t ticket, const std::string& failed) {
        self->state.receiver->on_held_durable(ticket, failed);
      },
      [self](revoked_atom, std::uint64_t edge) { self->state.receiver->on_revoked(edge_id{edge}); },
      [self](tick_atom) {
        caf::delayed_anon_send(listener_actor{self}, tick_interval, tick_atom_v);
        auto& state = self->state;
        auto edges = state.receiver->edges();
        state.metrics->update(*state.receiver, *state.reception, edges);
        if (state.config.publish)
          state.config.publish(std::move(edges));
      },
      [self](stop_atom) {
        auto& state = self->state;
        state.receiver->say_bye();
        state.config.gateway = nullptr;
        state.config.store.reset();
        self->quit();
      },
  };
}

} // namespace

listener_actor spawn_downlink(caf::actor_system& system, downlink_config config) {
  return system.spawn<caf::detached>(downlink, std::move(config));
}

} // namespace skerry::edge
