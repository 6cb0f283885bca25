#pragma once

// The ingest actor: adapts delivery::receiver to the link server before it and the shards behind it.

#include "actors/actors.hpp"
#include "actors/delivery/presence.hpp"
#include "cloud/ingest/clock_trust.hpp"
#include "cloud/ingest/committed_effects.hpp"
#include "cloud/ingest/held_clock.hpp"
#include "cloud/ingest/host_admission.hpp"
#include "cloud/store/engine.hpp"

#include <chrono>
#include <memory>
#include <vector>

namespace skerry::link {
class registry;
}

namespace skerry::cloud {

struct ingest_config {
  delivery::receiver_config receiver;
  std::shared_ptr<engine> store;
  std::shared_ptr<link::registry> registry;
  std::shared_ptr<host_admission> places;                                           // of hosts
  effects_subscribers subscribers;                                                  // of every shard
  std::function<void(const std::shared_ptr<const stream_news_list>& news)> streams; // as ingest_core's
  // Once a second: how edges stand, those with a session and all that were ever heard of.
  std::function<void(std::vector<delivery::edge_view> edges, std::map<edge_id, delivery::edge_presence> how)>
      publish;
  // Started by main; may be called from any thread, never blocks.
  std::function<void(const link::peer_id& to, link::message message)> send;
  clock_source* clock = nullptr;
  std::shared_ptr<held_clock> held;   // over `clock`: what samples are judged by
  std::shared_ptr<clock_trust> trust; // of it
  random_source* random = nullptr;
  prometheus::Registry* metrics = nullptr;
  std::chrono::nanoseconds future_max = std::chrono::minutes{10};
  std::size_t message_bytes_max = 32 << 20;
};

// Shards are spawned as their first host speaks, and stopped with this actor.
[[nodiscard]] ingest_actor spawn_ingest(caf::actor_system& system, ingest_config config);

} // namespace skerry::cloud
