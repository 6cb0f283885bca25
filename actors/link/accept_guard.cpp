#include "actors/link/accept_guard.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace skerry::link::detail {

namespace {

constexpr int accept_queue_max = 65'536; // a bound for the loop that empties it

int spare_descriptor() noexcept { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

int port_of(int fd) noexcept {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return -1;
  if (address.ss_family == AF_INET)
    return reinterpret_cast<const sockaddr_in*>(&address)->sin_port;
  if (address.ss_family == AF_INET6)
    return reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port;
  return -1;
}

} // namespace

accept_guard::accept_guard(int listening_fd, std::size_t connections_max)
    : listening_fd_(::fcntl(listening_fd, F_DUPFD_CLOEXEC, 0)),
      spare_fd_(spare_descriptor()),
      connections_max_(connections_max) {
  // ZeroMQ leaves it blocking: whoever comes too late to accept would wait for the next one.
  ::fcntl(listening_fd_, F_SETFL, ::fcntl(listening_fd_, F_GETFL) | O_NONBLOCK);
}

accept_guard::~accept_guard() {
  for (const auto fd : {listening_fd_, spare_fd_})
    if (fd >= 0)
      ::close(fd);
}

bool accept_guard::on_accepted(int fd, time_point now) {
  ++connections_;
  // Where the spare descriptor is gone, ZeroMQ was faster with it: what it took with it must give it back.
  if (connections_ <= connections_max_ && spare_fd_ >= 0)
    return true;
  // ZeroMQ may have closed it since, and somebody else may have the number: nobody else has this port.
  if (is_of_this_port(fd))
    ::shutdown(fd, SHUT_RDWR);
  if (now - refusals_since_ > accept_pause) {
    refusals_since_ = now;
    refusals_ = 0;
  }
  if (++refusals_ >= accept_refusals_max)
    pause(now);
  return false;
}

void accept_guard::on_failed(int error, time_point now) {
  if (error != EMFILE && error != ENFILE && error != ENOBUFS && error != ENOMEM)
    return; // that one connection is gone
  pause(now);
  turn_waiting_away();
}

void accept_guard::on_time(time_point now) {
  if (!paused_until_ || now < *paused_until_)
    return;
  if (spare_fd_ < 0)
    spare_fd_ = spare_descriptor();
  if (spare_fd_ < 0) {
    paused_until_ = now + accept_pause; // still no descriptor to spare
    return;
  }
  paused_until_.reset();
  const int none = 0;
  ::setsockopt(listening_fd_, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none);
}

std::optional<std::chrono::milliseconds> accept_guard::until_next(time_point now) const noexcept {
  if (!paused_until_)
    return std::nullopt;
  return std::max(std::chrono::milliseconds{0},
                  std::chrono::ceil<std::chrono::milliseconds>(*paused_until_ - now));
}

// A filter on the listening socket sees what asks to connect, and nothing of connections that exist.
void accept_guard::pause(time_point now) {
  refusals_ = 0;
  refusals_since_ = now;
  if (!paused_until_) {
    sock_filter drop[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    const sock_fprog program{1, drop};
    ::setsockopt(listening_fd_, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
  }
  paused_until_ = now + accept_pause;
}

void accept_guard::turn_waiting_away() noexcept {
  for (int i = 0; i < accept_queue_max; ++i) {
    if (spare_fd_ >= 0)
      ::close(spare_fd_);
    const int fd = ::accept4(listening_fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
      ::close(fd);
    spare_fd_ = spare_descriptor();
    if (fd < 0)
      return;
  }
}

bool accept_guard::is_of_this_port(int fd) const noexcept {
  const auto mine = port_of(listening_fd_);
  return mine > 0 && port_of(fd) == mine;
}

} // namespace skerry::link::detail
