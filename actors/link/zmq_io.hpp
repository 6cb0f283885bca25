#pragma once

// What server and client transports share: options, messages, the socket's event stream, the wake-up between
// threads, the bounded queue of what is to be sent. Internal to actors/link; throws zmq::error_t where ZeroMQ
// fails.

#include "actors/link/transport.hpp"

#include <zmq.hpp>

#include <atomic>
#include <deque>
#include <mutex>
#include <optional>

namespace skerry::link::detail {

inline constexpr std::size_t zero_copy_bytes_min = 2048; // below, copying is cheaper than a shared owner
inline constexpr int monitor_events_queued_max = 1'000'000;
inline constexpr int keepalive_idle_s = 300; // delivery pings; this only frees connections whose peer is gone
inline constexpr int keepalive_interval_s = 30;
inline constexpr int keepalive_count = 4;
inline constexpr int burst_max = 256; // messages in one direction before the other one has its turn
inline constexpr std::size_t frame_slack_bytes = 64; // MAXMSGSIZE counts a frame with its CURVE envelope

// Bytes at the TCP payload, as libzmq 4.3.4 frames them. A part of n bytes is sealed as
// "\x07MESSAGE" (8) + nonce (8) + MAC (16) + flags (1) + n, behind a frame header of 2 bytes (9 from 256 on).
[[nodiscard]] constexpr std::uint64_t wire_bytes(std::size_t part_bytes) noexcept {
  const std::uint64_t sealed = part_bytes + 33;
  return sealed + (sealed > 255 ? 9 : 2);
}
// Greeting (64), HELLO (202) and INITIATE from the client; greeting, WELCOME (170) and READY from the server.
inline constexpr std::uint64_t handshake_client_bytes = 567;
inline constexpr std::uint64_t handshake_server_bytes = 301;

void set_option(zmq::socket_t& socket, int option, int value);
void set_option(zmq::socket_t& socket, int option, std::int64_t value);
void set_option(zmq::socket_t& socket, int option, const curve_key& key);
void set_option(zmq::socket_t& socket, int option, std::string_view value);
void set_common_options(zmq::socket_t& socket, const curve_keypair& keys, const std::string& address,
                        std::size_t message_bytes_max, std::chrono::milliseconds handshake_timeout);

// Whether this is tcp://HOST:PORT; ZeroMQ itself takes a port beyond 65535 and uses another one.
[[nodiscard]] bool is_tcp_address(std::string_view address) noexcept;

[[nodiscard]] zmq::message_t to_zmq(const shared_bytes& part); // shares the owner where that pays
[[nodiscard]] shared_bytes from_zmq(zmq::message_t part);

// The rest of a message whose first frame is `first`, within the bounds; nullopt: beyond them, read and
// dropped.
[[nodiscard]] std::optional<message_parts> receive_parts(zmq::socket_t& socket, zmq::message_t first,
                                                         std::size_t bytes_max, std::uint64_t& wire);

struct socket_event {
  int kind = 0; // ZMQ_EVENT_…
  int value = 0;
};

// The socket's own report of its connections. Used and destroyed on the socket's thread, before the socket.
class socket_monitor {
public:
  socket_monitor(zmq::context_t& context, zmq::socket_t& socket, int events);
  ~socket_monitor();
  socket_monitor(const socket_monitor&) = delete;
  socket_monitor& operator=(const socket_monitor&) = delete;

  [[nodiscard]] std::optional<socket_event> next();
  [[nodiscard]] zmq::socket_t& socket() noexcept { return reader_; }

private:
  zmq::socket_t& watched_;
  zmq::socket_t reader_;
};

// Wakes the transport's thread out of its poll.
class wakeup {
public:
  wakeup();
  ~wakeup();
  wakeup(const wakeup&) = delete;
  wakeup& operator=(const wakeup&) = delete;

  void signal() noexcept; // any thread
  void clear() noexcept;
  [[nodiscard]] int fd() const noexcept { return fd_; }

private:
  int fd_ = -1;
  std::atomic<bool> signalled_{false};
};

struct outgoing {
  peer_id to; // empty at a client
  message_parts parts;
  std::size_t bytes = 0;
};

// Messages that wait for the transport's thread. Bounded by count and by bytes; one message always fits into
// the bytes of an empty queue. Thread-safe.
class send_queue {
public:
  send_queue(std::size_t count_max, std::size_t bytes_max) : count_max_(count_max), bytes_max_(bytes_max) {}

  [[nodiscard]] bool try_push(outgoing message);
  [[nodiscard]] std::optional<outgoing> pop();
  [[nodiscard]] bool empty() const;
  std::size_t clear(); // how many were dropped
  // A closed queue takes nothing.
  void open();
  std::size_t close();

private:
  mutable std::mutex mutex_;
  std::deque<outgoing> waiting_;
  std::size_t bytes_ = 0;
  const std::size_t count_max_;
  const std::size_t bytes_max_;
  bool open_ = true;
};

} // namespace skerry::link::detail
