#pragma once

// Message transport between nodes, as an interface: ZeroMQ with CURVE in the field, a seeded network in the
// simulator. Messages have one to a few parts; a message arrives whole or not at all, in order, at most once per
// connection; nothing more is promised (delivery is actors/delivery's part).

#include "actors/link/byte_budget.hpp"
#include "actors/link/ip_meter.hpp"
#include "actors/link/limits.hpp"
#include "schemas/bytes.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace prometheus {
class Registry;
}

namespace skerry::link {

using message_parts = std::vector<shared_bytes>;

// A CURVE25519 public or secret key.
struct curve_key {
  std::array<std::uint8_t, 32> bytes{};
  auto operator<=>(const curve_key&) const = default;
};
struct curve_keypair {
  curve_key public_key;
  curve_key secret_key;
};
[[nodiscard]] curve_keypair make_keypair();
[[nodiscard]] std::string to_hex(const curve_key& key);          // for public keys: logs and listings
[[nodiscard]] result<curve_key> from_hex(std::string_view text); // malformed: not 64 hexadecimal digits

// What the authenticator says of a client key. `user_id` names what the key may do: "edge:<16 hex>" or "join:<id>".
struct admission {
  bool admitted = false;
  std::string user_id;
  std::string
      reason{}; // of a refusal, for log and metrics: one of a few fixed words, "unknown", "revoked", …
  bool retry = false; // of a refusal: only for now (a registry that can't be read); the client tries again
};

// Opaque name of one connection at the server; unique for the life of the process.
using peer_id = std::string;

// Callbacks run on the transport's thread and must hand over quickly. They may come before start_server or
// start_client has returned, and while the destructor runs; none is called after the destructor returned.
struct server_events {
  std::function<void(peer_id from, std::string user_id, message_parts parts)> message;
  std::function<admission(const curve_key& client, const std::string& address)> admit;
  // The connection is gone, by a close, a reset or the system's keep-alive; after the last of its messages. Only of one over
  // which a message came. May be empty.
  std::function<void(peer_id from, std::string user_id)> closed = {};
};

class server_transport {
public:
  virtual ~server_transport() = default;
  // False: the queue is full (counted); the message was not taken. Thread-safe.
  [[nodiscard]] virtual bool try_send(const peer_id& to, message_parts parts) = 0;
  [[nodiscard]] virtual std::string address() const = 0; // "tcp://[::]:7481", with the real port
};

enum class client_state : std::uint8_t {
  connected,    // the encrypted handshake is done
  disconnected, // will be tried again
  refused,      // the server does not know this key (terminal for the socket; it is rebuilt with back-off)
};

struct client_events {
  std::function<void(message_parts parts)> message;
  std::function<void(client_state now)> state;
};

class client_transport {
public:
  virtual ~client_transport() = default;
  // False: not connected or the queue is full; nothing was taken. Thread-safe.
  [[nodiscard]] virtual bool try_send(message_parts parts) = 0;
  // Tears the connection down, if there is one, and builds a new one after the shortest delay: for a link that is silent
  // for too long. Thread-safe.
  virtual void reconnect() = 0;
  // Bytes at the TCP payload since the start: estimated from messages, CURVE and ZMTP framing.
  [[nodiscard]] virtual std::uint64_t bytes_sent() const noexcept = 0;
  [[nodiscard]] virtual std::uint64_t bytes_received() const noexcept = 0;
  // What crossed the link since the start, at the IP level.
  [[nodiscard]] virtual ip_bytes bytes_on_link() = 0;
};

// What of a server is for its user to say.
struct server_settings {
  std::string bind; // "tcp://*:7481"
  std::size_t message_bytes_max = message_bytes_default;
  std::size_t handshakes_per_second_max = handshakes_per_second_default; // those beyond wait for their turn
  // So many wait, and for at most half of the handshake's time: the others are left without an answer and come again. A
  // client that was answered just before it gives up would have taken the turn of one that still waits.
  std::size_t handshakes_waiting_max = handshakes_waiting_default;
  // TCP connections, whether or not their handshake is done: those beyond are closed at once. Below the limit of open
  // files, which others need too.
  std::size_t connections_max = connections_default;
};

struct server_config : server_settings {
  curve_keypair keys;
  std::size_t send_queue_max = 65'536;                 // messages from us, over all peers
  std::chrono::milliseconds handshake_timeout{20'000}; // then a half-open connection is closed
  std::shared_ptr<const byte_budget> received; // nothing is read while it is full; null: no bound here
};
// A thread and a ZeroMQ context for up to `clients_max` clients: a process with many links needs few. io: the system has
// no thread or descriptor left.
class client_loop;
[[nodiscard]] result<std::shared_ptr<client_loop>> make_client_loop(std::size_t clients_max);

struct client_config {
  std::string address; // "tcp://host:7481"
  curve_key server_key;
  curve_keypair keys;
  std::size_t message_bytes_max = message_bytes_default;
  std::size_t send_queue_max = 4096;
  std::chrono::milliseconds reconnect_min{200};
  std::chrono::milliseconds reconnect_max{30'000};
  std::size_t socket_buffer_bytes = 256 << 10;
  std::chrono::milliseconds handshake_timeout{
      20'000};                       // from the first SYN to the end of the encrypted handshake
  std::shared_ptr<client_loop> loop; // null: one of its own
  // Asked before each attempt, on the loop's thread; false: it fails as one without a network does. Empty: always true.
  std::function<bool()> may_connect;
};

// conflict: the port is in use; invalid_argument: no such address; io.
[[nodiscard]] result<std::unique_ptr<server_transport>>
start_server(server_config config, server_events events, prometheus::Registry& metrics);
[[nodiscard]] result<std::unique_ptr<client_transport>>
start_client(client_config config, client_events events, prometheus::Registry& metrics);

} // namespace skerry::link
