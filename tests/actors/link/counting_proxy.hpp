#pragma once

// A TCP proxy for one connection that counts what passes: the measure for the link's own estimate.

#include <arpa/inet.h>
#include <array>
#include <atomic>
#include <cstdint>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace skerry::link::test {

class counting_proxy {
public:
  explicit counting_proxy(int server_port) : server_port_(server_port) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    auto at = loopback(0);
    socklen_t bytes = sizeof at;
    if (::bind(listener_, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0
        && ::listen(listener_, 8) == 0)
      (void)::getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &bytes);
    port_ = ntohs(at.sin_port);
    stop_ = ::eventfd(0, EFD_CLOEXEC);
    thread_ = std::thread{[this] { run(); }};
  }
  ~counting_proxy() {
    const std::uint64_t one = 1;
    (void)!::write(stop_, &one, sizeof one);
    thread_.join();
    ::close(listener_);
    ::close(stop_);
  }
  counting_proxy(const counting_proxy&) = delete;
  counting_proxy& operator=(const counting_proxy&) = delete;

  [[nodiscard]] int port() const noexcept { return port_; }
  [[nodiscard]] std::uint64_t upstream() const noexcept { return up_; }
  [[nodiscard]] std::uint64_t downstream() const noexcept { return down_; }

private:
  static sockaddr_in loopback(int port) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(static_cast<std::uint16_t>(port));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return at;
  }
  // False: stopped, or the connection ended.
  bool pass(int from, int to, std::atomic<std::uint64_t>& count) {
    std::array<char, 65536> buffer;
    const auto got = ::recv(from, buffer.data(), buffer.size(), 0);
    if (got <= 0)
      return false;
    count += static_cast<std::uint64_t>(got); // before it is passed on: who got it finds it counted
    for (ssize_t done = 0; done < got;) {
      const auto put = ::send(to, buffer.data() + done, static_cast<std::size_t>(got - done), MSG_NOSIGNAL);
      if (put <= 0)
        return false;
      done += put;
    }
    return true;
  }
  void run() {
    for (;;) {
      std::array<pollfd, 2> waiting{{{stop_, POLLIN, 0}, {listener_, POLLIN, 0}}};
      if (::poll(waiting.data(), waiting.size(), -1) < 0 || waiting[0].revents != 0)
        return;
      const int client = ::accept(listener_, nullptr, nullptr);
      const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const auto to = loopback(server_port_);
      bool open = ::connect(server, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
      bool stopped = false;
      while (open && !stopped) {
        std::array<pollfd, 3> ends{{{stop_, POLLIN, 0}, {client, POLLIN, 0}, {server, POLLIN, 0}}};
        (void)::poll(ends.data(), ends.size(), -1);
        stopped = ends[0].revents != 0;
        if (ends[1].revents != 0)
          open = pass(client, server, up_);
        if (open && ends[2].revents != 0)
          open = pass(server, client, down_);
      }
      ::close(client);
      ::close(server);
      if (stopped)
        return;
    }
  }

  const int server_port_;
  int port_ = 0;
  int listener_ = -1;
  int stop_ = -1;
  std::atomic<std::uint64_t> up_{0};
  std::atomic<std::uint64_t> down_{0};
  std::thread thread_;
};

} // namespace skerry::link::test
