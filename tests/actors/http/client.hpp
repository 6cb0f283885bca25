#pragma once

// A client that sends exactly the bytes that a test wants sent, and reads with a deadline.

#include <catch2/catch.hpp>

#include <arpa/inet.h>
#include <chrono>
#include <cstring>
#include <optional>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

namespace skerry::http::test {

inline constexpr int deadline_ms = 20'000;

struct reply {
  int status = 0;
  std::string head; // status line and headers
  std::string body;
  [[nodiscard]] bool has(std::string_view text) const { return head.find(text) != std::string::npos; }
};

class client {
public:
  explicit client(const std::string& address) {
    if (address.starts_with('/')) {
      fd_ = ::socket(AF_UNIX, SOCK_STREAM, 0);
      sockaddr_un to{};
      to.sun_family = AF_UNIX;
      std::strncpy(to.sun_path, address.c_str(), sizeof to.sun_path - 1);
      connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
    } else {
      fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
      sockaddr_in to{};
      to.sin_family = AF_INET;
      to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
      to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
    }
  }
  client(client&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_), in_(other.in_) {}
  client(const client&) = delete;
  ~client() { close(); }
  void close() {
    if (fd_ >= 0)
      ::close(fd_);
    fd_ = -1;
  }
  void half_close() { ::shutdown(fd_, SHUT_WR); }
  [[nodiscard]] bool connected() const { return connected_; }

  bool send(std::string_view text) {
    while (!text.empty()) {
      const auto n = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0)
        return false;
      text.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }

  // Nothing where the connection ended (or the deadline passed) before a whole reply.
  std::optional<reply> receive(bool head_only = false) {
    reply out;
    std::size_t end;
    while ((end = in_.find("\r\n\r\n")) == std::string::npos)
      if (!more())
        return std::nullopt;
    out.head = in_.substr(0, end + 2);
    in_.erase(0, end + 4);
    out.status = std::stoi(out.head.substr(9, 3));
    std::size_t length = 0;
    if (const auto at = out.head.find("Content-Length: "); at != std::string::npos)
      length = std::stoul(out.head.substr(at + 16));
    if (head_only)
      length = 0;
    while (in_.size() < length)
      if (!more())
        return std::nullopt;
    out.body = in_.substr(0, length);
    in_.erase(0, length);
    return out;
  }

  // All that came up to the end of `text`; empty where that does not come.
  std::string read_until(std::string_view text) {
    std::size_t at;
    while ((at = in_.find(text)) == std::string::npos)
      if (!more())
        return {};
    auto out = in_.substr(0, at + text.size());
    in_.erase(0, at + text.size());
    return out;
  }
  // So many bytes; fewer where the connection ends.
  std::string read(std::size_t bytes) {
    while (in_.size() < bytes && more()) {
    }
    auto out = in_.substr(0, bytes);
    in_.erase(0, bytes);
    return out;
  }

  // True where the server closes (rather than the deadline passing).
  bool closed_by_server() {
    while (more()) {
    }
    return ended_;
  }

  reply ask(std::string_view text) {
    CHECK(send(text));
    auto got = receive(text.starts_with("HEAD"));
    REQUIRE(got);
    return *got;
  }

private:
  bool more() {
    pollfd waiting{fd_, POLLIN, 0};
    if (::poll(&waiting, 1, deadline_ms) != 1)
      return false;
    char buffer[65536];
    const auto n = ::recv(fd_, buffer, sizeof buffer, 0);
    if (n <= 0) {
      ended_ = true;
      return false;
    }
    in_.append(buffer, static_cast<std::size_t>(n));
    return true;
  }

  int fd_ = -1;
  bool connected_ = false;
  bool ended_ = false;
  std::string in_;
};

// Waits for a condition; false after the deadline.
template <class F>
bool eventually(F condition) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds{deadline_ms};
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until)
      return false;
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
  return true;
}

} // namespace skerry::http::test
