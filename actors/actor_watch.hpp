#pragma once

// Actors that a node cannot be without: says when one has ended by itself, and ends one in order.

#include "actors/actors.hpp"

#include <spdlog/spdlog.h>

#include <atomic>
#include <string>

namespace skerry {

// It outlives the actors that it watches. Any thread.
class actor_watch {
public:
  // `name` for the log: "edge: the gateway".
  template <class Actor>
  void watch(const Actor& actor, std::string name) {
    actor->attach_functor(
        [this, name = std::move(name), &system = actor->home_system()](const caf::error& why) {
          if (why && why != caf::exit_reason::user_shutdown) {
            spdlog::critical("{} has ended: {}", name, system.render(why));
            ended_ = true;
          }
        });
  }
  [[nodiscard]] bool ended() const noexcept { return ended_; } // one of them has, unasked

private:
  std::atomic<bool> ended_ = false;
};

// Waits until an actor has ended that was told to stop, and lets go of it. None: nothing.
template <class Actor>
void wait_for_end(caf::actor_system& system, Actor& actor) {
  if (!actor)
    return;
  caf::scoped_actor self{system};
  self->wait_for(actor);
  actor = nullptr;
}

// It ends with what was in its mailbox before.
template <class Actor>
void stop_and_wait(caf::actor_system& system, Actor& actor) {
  if (actor)
    caf::anon_send(actor, stop_atom_v);
  wait_for_end(system, actor);
}

} // namespace skerry
