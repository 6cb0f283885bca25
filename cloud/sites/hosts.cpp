#include "cloud/sites/hosts.hpp"

#include "cloud/sites/host_keeper.hpp"

#include <optional>

namespace skerry::cloud {

namespace {

constexpr std::chrono::seconds keep_interval{10}; // watermarks that survive a restart may lag as much
constexpr int ticks_per_cleaning = 60;

} // namespace

struct hosts_state {
  hosts_config config;
  std::optional<host_keeper> keeper;
  int ticks = 0;
};

namespace {

hosts_actor::behavior_type hosts(hosts_actor::stateful_pointer<hosts_state> self, hosts_config settings) {
  auto& state = self->state;
  state.config = std::move(settings);
  state.keeper.emplace(state.config.table, state.config.store, state.config.also);
  caf::delayed_anon_send(hosts_actor{self}, keep_interval, tick_atom_v);
  return {
      [self](const effects_ptr& what) { self->state.config.table->apply(*what); },
      [self](const stream_news_ptr& news) { self->state.config.table->apply(*news); },
      [self](revoked_atom, std::uint64_t edge) {
        self->state.config.table->end(edge_id{edge}, self->state.config.clock->wall_ns());
      },
      [self](tick_atom) {
        caf::delayed_anon_send(hosts_actor{self}, keep_interval, tick_atom_v);
        auto& [config, keeper, ticks] = self->state;
        if (++ticks % ticks_per_cleaning == 0) {
          config.table->forget_before(config.kept_from_ns());
          config.places->sweep();
        }
        keeper->keep();
      },
      [self](stop_atom) {
        self->state.keeper->keep();
        self->quit();
      },
  };
}

} // namespace

hosts_actor spawn_hosts(caf::actor_system& system, hosts_config config) {
  return system.spawn(hosts, std::move(config));
}

} // namespace skerry::cloud
