#pragma once

// The connections upstream: one for everything, and beside it, over long round trips, one for the backlog alone. While
// TCP repeats a lost packet, nothing behind it on the same connection arrives: enough backlog under way to fill such a
// link would hold up what is fresh for many round trips. Both belong to one session; acknowledgements come over the first.
// The uplink actor's thread; callbacks of the transports come from theirs.

#include "actors/link/transport.hpp"
#include "edge/uplink/uplink_core.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <utility>

namespace skerry::edge {

// Starts the link to one of the receiver's addresses; its callbacks may come at once and from another thread. Tests
// put another transport here.
using transport_factory = std::function<result<std::unique_ptr<link::client_transport>>(
    const std::string& address, link::client_events events)>;

class uplink_link final : public uplink_connections {
public:
  // `events`: of each first connection; made anew for each.
  uplink_link(transport_factory connect, std::function<link::client_events()> events)
      : connect_(std::move(connect)), events_(std::move(events)) {}

  bool send(link::message message) override;
  void reconnect() override;
  [[nodiscard]] bool backlog_apart() const noexcept override;

  [[nodiscard]] result<void> start(const std::string& address) override;
  void stop() override;
  [[nodiscard]] bool started() const noexcept override { return main_.transport != nullptr; }
  void open_apart(const std::string& address) override;
  void close_apart() override;
  [[nodiscard]] bool has_apart() const noexcept override { return apart_.transport != nullptr; }
  [[nodiscard]] std::uint64_t take_ip_bytes() override;
  [[nodiscard]] std::uint64_t bytes_sent() const noexcept override;
  [[nodiscard]] std::uint64_t bytes_received() const noexcept override;

private:
  struct connection {
    std::unique_ptr<link::client_transport> transport;
    std::uint64_t taken = 0; // of its bytes at the IP level
  };
  [[nodiscard]] static std::uint64_t take(connection& of);
  void drop(connection& which);

  transport_factory connect_;
  std::function<link::client_events()> events_;
  connection main_;
  connection apart_;
  std::shared_ptr<std::atomic<bool>> apart_stands_;
  std::uint64_t untaken_ = 0; // of connections that are gone
};

} // namespace skerry::edge
