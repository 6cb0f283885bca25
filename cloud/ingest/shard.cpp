#include "cloud/ingest/shard.hpp"

#include <optional>

namespace skerry::cloud {

struct shard_actor_state {
  std::uint64_t id = 0;
  std::optional<shard_core> core;
};

namespace {

shard_actor::behavior_type shard(shard_actor::stateful_pointer<shard_actor_state> self, shard_config config) {
  self->state.id = config.id;
  // The engine may answer after this actor is gone.
  self->state.core.emplace(
      std::move(config), [to = caf::actor_cast<shard_actor>(self)](std::uint64_t ticket, std::string failed) {
        caf::anon_send(to, stored_atom_v, ticket, std::move(failed));
      });
  return {
      [self](shard_part_ptr& part) {
        self->state.core->take(std::move(part),
                               [to = caf::actor_cast<listener_actor>(self->current_sender())](
                                   std::uint64_t ticket, std::string failed) {
                                 if (to)
                                   caf::anon_send(to, stored_atom_v, ticket, std::move(failed));
                               });
      },
      [self](stored_atom, std::uint64_t ticket, const std::string& failed) {
        self->state.core->on_stored(ticket, failed);
      },
      [self](const stream_release_ptr& over) {
        const auto to = caf::actor_cast<ingest_actor>(self->current_sender());
        const bool dropped = self->state.core->release(*over);
        if (to)
          caf::anon_send(to, released_atom_v, self->state.id, over, dropped);
      },
      [self](stop_atom) {
        self->state.core.reset(); // it knows its own actor and would keep it alive
        self->quit();
      },
  };
}

} // namespace

shard_actor spawn_shard(caf::actor_system& system, shard_config config) {
  return system.spawn(shard, std::move(config));
}

} // namespace skerry::cloud
