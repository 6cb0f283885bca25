#pragma once

// The uplink actor: adapts delivery::sender to the spool below it and the encrypted link above it.

#include "actors/actors.hpp"
#include "actors/delivery/sender.hpp"
#include "edge/spool/spool.hpp"

#include <functional>
#include <memory>

namespace prometheus {
class Registry;
}

namespace skerry::edge {

// Starts the link; its callbacks may come at once and from another thread. Tests put another transport here.
using transport_factory
  = std::function<result<std::unique_ptr<link::client_transport>>(link::client_events events)>;

struct uplink_config {
  delivery::sender_config sender;
  std::shared_ptr<const spool> store;
  gateway_actor gateway; // to whom releases go; set by attach() below before anything is sent
  transport_factory connect;
  clock_source* clock = nullptr;
  random_source* random = nullptr;
  prometheus::Registry* metrics = nullptr;
  std::function<void(const struct uplink_status&)> publish; // called on each tick
  std::size_t message_bytes_max = 32 << 20;
};

// What listings and /metrics show.
struct uplink_status {
  delivery::sender_phase phase = delivery::sender_phase::down;
  std::string refusal; // why it is not live, in the receiver's words; empty: nothing was refused
  std::uint64_t pending_records = 0;
  std::uint64_t in_flight_bytes = 0;
  std::uint64_t bytes_sent = 0; // at the TCP payload, since the start
  std::uint64_t bytes_received = 0;
};

struct uplink_state;

// Starts its link when the first tick arrives: by then `gateway` releases can be sent, which the gateway's own
// handle (made after this actor's) has reached through `set_gateway`.
[[nodiscard]] uplink_actor::behavior_type uplink(uplink_actor::stateful_pointer<uplink_state> self,
                                                 uplink_config config, std::shared_ptr<gateway_actor> gateway);

} // namespace skerry::edge
