#include "actors/node/signals.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace skerry {

namespace {

sigset_t ours() noexcept {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  return set;
}

signal_request meaning(int signal) noexcept {
  return signal == SIGHUP ? signal_request::reload : signal_request::stop;
}

} // namespace

void block_signals() {
  const auto set = ours();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

signal_request wait_for_signal() {
  const auto set = ours();
  for (;;)
    if (const auto signal = sigwaitinfo(&set, nullptr); signal > 0)
      return meaning(signal);
}

std::optional<signal_request> wait_for_signal(std::chrono::milliseconds at_most) {
  const auto set = ours();
  const auto until = std::chrono::steady_clock::now() + at_most;
  for (;;) {
    const auto left = std::max(std::chrono::nanoseconds{0},
                               std::chrono::nanoseconds{until - std::chrono::steady_clock::now()});
    timespec time{};
    time.tv_sec = static_cast<time_t>(left.count() / 1'000'000'000);
    time.tv_nsec = left.count() % 1'000'000'000;
    const auto signal = sigtimedwait(&set, nullptr, &time);
    if (signal > 0)
      return meaning(signal);
    if (errno != EINTR)
      return std::nullopt;
  }
}

bool notify_supervisor(std::string_view state) {
  const char* name = std::getenv("NOTIFY_SOCKET");
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  const auto length = name == nullptr ? 0 : std::strlen(name);
  if (length < 2 || length >= sizeof to.sun_path || (name[0] != '/' && name[0] != '@'))
    return false;
  std::memcpy(to.sun_path, name, length);
  if (name[0] == '@') // the abstract namespace
    to.sun_path[0] = '\0';
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return false;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  const auto sent = ::sendto(fd, state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                             reinterpret_cast<const sockaddr*>(&to), size);
  ::close(fd);
  return sent == static_cast<ssize_t>(state.size());
}

} // namespace skerry
