#pragma once

// Keeps the connections of a listening ZeroMQ socket below a bound, so that they can't take the descriptors that files
// and other sockets need. ZeroMQ accepts by itself, without a bound, and spins where it cannot: what it accepted beyond
// the bound is closed at once, and where that, or having no descriptor, goes on, the operating system drops requests to
// connect for `accept_pause`. Connections that exist are not touched. Internal to actors/link; the transport's thread.

#include <chrono>
#include <cstddef>
#include <optional>

namespace skerry::link::detail {

inline constexpr std::chrono::milliseconds accept_pause{1000};
inline constexpr int accept_refusals_max = 64; // within a pause's time; then there is a pause

class accept_guard {
public:
  using time_point = std::chrono::steady_clock::time_point;

  // The descriptor of the listening socket stays the caller's.
  accept_guard(int listening_fd, std::size_t connections_max);
  ~accept_guard();
  accept_guard(const accept_guard&) = delete;
  accept_guard& operator=(const accept_guard&) = delete;

  // False: it was one too many, and is being closed. Each ends in on_closed.
  [[nodiscard]] bool on_accepted(int fd, time_point now);
  void on_closed() noexcept { connections_ -= connections_ == 0 ? 0 : 1; }
  // Accepting failed, by errno. Where it is for want of descriptors, what waits is closed, else ZeroMQ would try for ever.
  void on_failed(int error, time_point now);
  void on_time(time_point now);
  // When on_time is to be called; nullopt: it need not be.
  [[nodiscard]] std::optional<std::chrono::milliseconds> until_next(time_point now) const noexcept;

  [[nodiscard]] std::size_t connections() const noexcept { return connections_; }

private:
  void pause(time_point now);
  void turn_waiting_away() noexcept;
  [[nodiscard]] bool is_of_this_port(int fd) const noexcept;

  int listening_fd_ = -1; // a copy
  int spare_fd_ = -1;     // given up to accept one connection where there is no other descriptor
  const std::size_t connections_max_;
  std::size_t connections_ = 0; // those being closed are among them
  int refusals_ = 0;            // since refusals_since_
  time_point refusals_since_{};
  std::optional<time_point> paused_until_;
};

} // namespace skerry::link::detail
