#pragma once

// The listening end of a link, as both nodes have it: who may connect, what waits for the node's actor, and an outbox that
// exists before the socket does. Owned by the node; it outlives whoever sends through it.

#include "actors/link/transport.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <string>

namespace skerry {
class clock_source;
}

namespace skerry::link {

class registry;
struct message;

// The section `link:` of a node's configuration, as far as it is about listening.
struct listener_config : server_settings {
  std::string advertise;                  // what tokens carry; empty: this machine's name with the bound port
  std::size_t queue_bytes_max = 32 << 20; // of messages that wait to be taken; then the link reads nothing
};

// Called on the link's thread; they hand over quickly. As server_events, with the share of what may wait.
struct listener_events {
  std::function<void(peer_id from, std::string user_id, message_parts parts, byte_budget::share share)>
      message;
  std::function<void(peer_id from, std::string user_id)> closed;
};

class listener {
public:
  // Listens to nobody yet. A refused or full send is no error: delivery makes up for every message that is lost.
  listener() = default;
  listener(const listener&) = delete;
  listener& operator=(const listener&) = delete;

  // Any thread, never waits. Dropped before start(), where the queue is full and where the peer has left.
  void send(const peer_id& to, const message& what);

  // Binds, once. `admit` is asked of `registry`, at the time of `clock`. conflict: the port is in use; invalid_argument:
  // no such address; io.
  [[nodiscard]] result<void> start(const listener_config& config, const curve_keypair& keys,
                                   std::shared_ptr<registry> registry, clock_source& clock,
                                   listener_events events, prometheus::Registry& metrics);
  [[nodiscard]] std::string address() const { return transport_->address(); } // as bound; after start()

private:
  std::unique_ptr<server_transport> transport_;
  std::atomic<server_transport*> ready_ = nullptr; // for senders, which may run before start() has returned
};

} // namespace skerry::link
