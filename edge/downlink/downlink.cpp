#include "edge/downlink/downlink.hpp"

#include "actors/delivery/reception_metrics.hpp"
#include "actors/link/registry.hpp"
#include "edge/downlink/downlink_core.hpp"
#include "edge/downlink/presence_file.hpp"

#include <spdlog/spdlog.h>

#include <optional>

namespace skerry::edge {

namespace {

constexpr std::chrono::seconds tick_interval{1};
constexpr int ticks_per_list = 30;      // of who has a key here
constexpr int ticks_per_presences = 30; // between two writes of how edges stand

} // namespace

struct downlink_state {
  downlink_config config;
  std::optional<delivery::registry_authority> keys;
  std::optional<downlink_core> core;
  std::optional<delivery::reception> reception;
  std::optional<delivery::reception_metrics> metrics;
  delivery::presence_book book;
  int ticks = 0;
  std::uint64_t joins_seen = UINT64_MAX; // an edge has joined, or was revoked, since the list was read
  bool presences_refused = false;

  // Also those that are not heard of: who joined stands in the registry.
  void list_edges() {
    const auto edges = config.registry->list_edges();
    if (!edges)
      return; // it is logged there, and asked again
    for (const auto& edge : edges.value()) {
      if (edge.keys.empty())
        continue;
      const auto known = book.all().find(edge.edge);
      if (edge.revoked_s != 0)
        book.note(edge.edge, link::presence::revoked, edge.revoked_s * 1'000'000'000);
      else if (known == book.all().end() || known->second.now == link::presence::revoked)
        book.note(edge.edge, link::presence::never, edge.joined_s * 1'000'000'000);
    }
  }

  void tick() {
    auto edges = core->receiver().edges();
    book.update(edges, config.clock->wall_ns());
    if (const auto joined = reception->counters().joined;
        joined != std::exchange(joins_seen, joined) || ticks % ticks_per_list == 0)
      list_edges();
    metrics->update(core->receiver(), *reception, book.all());
    std::vector<delivery::edge_presence> how;
    how.reserve(book.all().size());
    for (const auto& [edge, one] : book.all()) {
      how.push_back(one);
      if (config.epochs)
        config.epochs->put(link::origin_link{edge, one.now, one.since_ns, one.heard_ns, one.cause});
    }
    if (config.publish)
      config.publish(std::move(edges), std::move(how));
    if (++ticks % ticks_per_presences == 0)
      keep_presences(false);
  }

  void keep_presences(bool every_time) {
    if (config.presence_file.empty() || (!presences_refused && book.take_changes(every_time).empty()))
      return;
    const auto done = store_presences(config.presence_file, book.all());
    if (!done && !presences_refused)
      spdlog::error("downlink: how edges further out stand is not kept: {}", done.error().message);
    presences_refused = !done;
  }

  void init(listener_actor::pointer self, downlink_config c) {
    config = std::move(c);
    keys.emplace(*config.registry);
    downlink_core::outputs outputs;
    outputs.store = [this, self](delivery::delivery_job job) {
      self->send(config.gateway, std::make_shared<delivery::delivery_job>(std::move(job)));
    };
    outputs.held = [self](std::uint64_t ticket) {
      caf::anon_send(listener_actor{self}, held_atom_v, ticket, std::string{});
    };
    outputs.send = config.send;
    outputs.epochs = config.epochs;
    core.emplace(config.receiver, config.store, *keys, *config.clock, *config.random, std::move(outputs));
    reception.emplace(core->receiver(), *config.registry, *config.clock, *config.random,
                      config.message_bytes_max, config.receiver.credit_bytes, config.send);
    metrics.emplace(*config.metrics, "skerry_downlink_");
    if (!config.presence_file.empty())
      for (auto& one : load_presences(config.presence_file))
        book.restore(std::move(one));
  }
};

namespace {

listener_actor::behavior_type downlink(listener_actor::stateful_pointer<downlink_state> self,
                                       downlink_config config) {
  self->state.init(self, std::move(config));
  caf::anon_send(listener_actor{self}, tick_atom_v); // what was kept is shown at once
  return {
      [self](inbound_ptr& inbound) {
        if (self->state.reception->arrived({std::move(inbound->from), std::move(inbound->user_id),
                                            std::move(inbound->parts), std::move(inbound->share)}))
          self->send(self, turn_atom_v);
      },
      [self](stored_atom, std::uint64_t ticket, const std::string& failed) {
        self->state.core->receiver().on_stored(ticket, failed);
      },
      [self](held_atom, std::uint64_t ticket, const std::string& failed) {
        self->state.core->receiver().on_held_durable(ticket, failed);
      },
      [self](down_atom, const std::string& peer, const std::string& user_id) {
        if (self->state.reception->arrived({peer, user_id, {}, {}, true}))
          self->send(self, turn_atom_v);
      },
      [self](turn_atom) {
        if (self->state.reception->take_some())
          self->send(self, turn_atom_v);
      },
      [self](revoked_atom, std::uint64_t edge) {
        self->state.core->receiver().on_revoked(edge_id{edge});
        self->state.joins_seen = UINT64_MAX;
      },
      [self](tick_atom) {
        caf::delayed_anon_send(listener_actor{self}, tick_interval, tick_atom_v);
        self->state.tick();
      },
      [self](stop_atom) {
        auto& state = self->state;
        state.book.update(state.core->receiver().edges(), state.config.clock->wall_ns());
        state.keep_presences(true);
        state.core->receiver().say_bye();
        state.config.gateway = nullptr;
        state.core->release_spool();
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
