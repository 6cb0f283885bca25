#pragma once

// The cable of one simulated site: while it is out, the edge's real connection is closed and none can be made. It also
// notes when connections and sessions began. Thread-safe; it must outlive the transports that it made.

#include "actors/link/transport.hpp"

#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

namespace skerry::sim {

class link_switch {
public:
  struct history { // monotonic times; 0: never
    std::uint64_t connections = 0;
    std::uint64_t sessions = 0;
    std::int64_t connected_ns = 0; // the last handshake's end
    std::int64_t welcome_ns = 0;   // the last Welcome
    bool live = false;             // a session stands
    std::uint64_t tcp_sent = 0;
    std::uint64_t tcp_received = 0;
    link::ip_bytes ip;
  };

  // `on_welcome` runs on the link's thread, with its monotonic time.
  explicit link_switch(std::function<void(std::int64_t now_ns)> on_welcome)
      : on_welcome_(std::move(on_welcome)) {}

  // As link::start_client, for the edge's uplink. Beside one that is open: for the backlog, without a session of its own.
  [[nodiscard]] result<std::unique_ptr<link::client_transport>>
  connect(link::client_config config, link::client_events events, prometheus::Registry& metrics);

  // Cuts count: the link is there when each was restored.
  void cut();
  void restore(bool at_once);
  [[nodiscard]] history now() const;
  [[nodiscard]] bool live() const;

private:
  class switched;
  void on_state(link::client_state now);
  void on_message(const link::message_parts& parts);

  const std::function<void(std::int64_t)> on_welcome_;
  mutable std::mutex mutex_;
  int cuts_ = 0;
  bool greeted_ = true;                       // this connection's first answer has come
  std::vector<link::client_transport*> open_; // the first is the session's
  history history_;
};

} // namespace skerry::sim
