#include "edge/downlink/downlink.hpp"

#include "actors/delivery/reception_metrics.hpp"
#include "edge/downlink/downlink_core.hpp"

#include <spdlog/spdlog.h>

#include <optional>

namespace skerry::edge {

namespace {

constexpr std::chrono::seconds tick_interval{1};

} // namespace

struct downlink_state {
  downlink_config config;
  std::optional<delivery::registry_authority> keys;
  std::optional<downlink_core> core;
  std::optional<delivery::reception> reception;
  std::optional<delivery::reception_metrics> metrics;

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
                      config.message_bytes_max, config.send);
    metrics.emplace(*config.metrics, "skerry_downlink_");
  }
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
        self->state.core->receiver().on_stored(ticket, failed);
      },
      [self](held_atom, std::uint64_t ticket, const std::string& failed) {
        self->state.core->receiver().on_held_durable(ticket, failed);
      },
      [self](revoked_atom, std::uint64_t edge) { self->state.core->receiver().on_revoked(edge_id{edge}); },
      [self](tick_atom) {
        caf::delayed_anon_send(listener_actor{self}, tick_interval, tick_atom_v);
        auto& state = self->state;
        auto edges = state.core->receiver().edges();
        state.metrics->update(state.core->receiver(), *state.reception, edges);
        if (state.config.publish)
          state.config.publish(std::move(edges));
      },
      [self](stop_atom) {
        auto& state = self->state;
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
