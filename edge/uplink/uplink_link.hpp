#pragma once

// The connections upstream: one for everything, and beside it, over long round trips, one for the backlog alone. While
// TCP repeats a lost packet, nothing behind it on the same connection arrives: enough backlog under way to fill such a
// link would hold up what is fresh for many round trips. Both belong to one session; acknowledgements come over the first.
// The uplink actor's thread; callbacks of the transports come from theirs.

#include "actors/delivery/sender.hpp"
#include "actors/link/transport.hpp"

#include <atomic>
#include <functional>
#include <memory>

namespace skerry::edge {

// Starts the link to one of the receiver's addresses; its callbacks may come at once and from another thread. Tests
// put another transport here.
using transport_factory = std::function<result<std::unique_ptr<link::client_transport>>(
    const std::string& address, link::client_events events)>;

class uplink_link final : public delivery::sender_sink {
public:
  bool send(link::message message) override;
  void reconnect() override;
  [[nodiscard]] bool backlog_apart() const noexcept override;

  void start(std::unique_ptr<link::client_transport> transport) { main_.transport = std::move(transport); }
  void stop();
  [[nodiscard]] bool started() const noexcept { return main_.transport != nullptr; }

  // Does not replace one that is open. Until it stands, and where it fails, everything goes over the first.
  void open_apart(const transport_factory& connect, const std::string& address);
  void close_apart(); // what was under way there is lost
  [[nodiscard]] bool has_apart() const noexcept { return apart_.transport != nullptr; }

  [[nodiscard]] std::uint64_t take_ip_bytes();                 // both ways, since the last call
  [[nodiscard]] std::uint64_t bytes_sent() const noexcept;     // at the TCP payload, since the start
  [[nodiscard]] std::uint64_t bytes_received() const noexcept; // of these connections

private:
  struct connection {
    std::unique_ptr<link::client_transport> transport;
    std::uint64_t taken = 0; // of its bytes at the IP level
  };
  [[nodiscard]] static std::uint64_t take(connection& of);
  void drop(connection& which);

  connection main_;
  connection apart_;
  std::shared_ptr<std::atomic<bool>> apart_stands_;
  std::uint64_t untaken_ = 0; // of connections that are gone
};

} // namespace skerry::edge
