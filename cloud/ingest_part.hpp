#pragma once

// Receives from edges: the ingest actor with its shards, the hosts actor that hears what they have stored, the clock that
// samples are judged by, and the listener. When it stops, every edge is told, and what shards have taken reaches the store.

#include "actors/actor_watch.hpp"
#include "actors/link/listener.hpp"
#include "actors/node/part.hpp"
#include "cloud/config.hpp"
#include "cloud/ingest/clock_trust.hpp"
#include "cloud/ingest/held_clock.hpp"
#include "cloud/sites_part.hpp"
#include "cloud/store_part.hpp"

#include <memory>

namespace skerry::cloud {

class ingest_part final : public node_part {
public:
  // Listens when it returns. `watch` hears when one of the actors ends by itself. As link::listener::start.
  [[nodiscard]] static result<std::unique_ptr<ingest_part>>
  open(const cloud_config& config, const link::curve_keypair& keys, const store_part& store,
       const sites_part& sites, random_source& random, prometheus::Registry& metrics, actor_watch& watch);
  ~ingest_part() override;

  [[nodiscard]] const ingest_actor& actor() const noexcept { return ingest_; }
  [[nodiscard]] const hosts_actor& hosts_owner() const noexcept { return hosts_; }
  [[nodiscard]] const std::shared_ptr<held_clock>& held() const noexcept { return held_; }
  [[nodiscard]] const std::shared_ptr<clock_trust>& trust() const noexcept { return trust_; }
  [[nodiscard]] std::string address() const { return listener_.address(); }

private:
  // CAF as the cloud has it: two workers that block when idle instead of polling.
  struct actor_settings : caf::actor_system_config {
    actor_settings();
  };

  ingest_part(const cloud_config& config, const store_part& store);

  std::shared_ptr<held_clock> held_; // reads the store when it is made
  std::shared_ptr<clock_trust> trust_;
  actor_settings settings_;
  caf::actor_system actors_{settings_};
  link::listener listener_; // ingest sends through it to its end
  hosts_actor hosts_;       // writes the table of hosts; ends after ingest
  ingest_actor ingest_;
};

} // namespace skerry::cloud
