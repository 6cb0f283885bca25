#include "actors/http/listen.hpp"

#include "actors/base/host_text.hpp"

#include <fmt/format.h>

#include <arpa/inet.h>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <netdb.h>
#include <optional>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace skerry::http {

namespace {

constexpr int backlog = 256;

class owned_fd {
public:
  explicit owned_fd(int fd) noexcept : fd_(fd) {}
  ~owned_fd() {
    if (fd_ >= 0)
      ::close(fd_);
  }
  owned_fd(const owned_fd&) = delete;
  owned_fd& operator=(const owned_fd&) = delete;
  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

private:
  int fd_;
};

auto system_failure(int code, std::string what) {
  return fail(errc::io, fmt::format("{}: {}", what, std::strerror(code)));
}

std::string printable(const sockaddr_storage& address, bool with_port) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    return with_port ? fmt::format("{}:{}", text, ntohs(v4.sin_port)) : text;
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
      inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text, sizeof text);
      return with_port ? fmt::format("{}:{}", text, ntohs(v6.sin6_port)) : text;
    }
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    return with_port ? fmt::format("[{}]:{}", text, ntohs(v6.sin6_port)) : text;
  }
  return {};
}

result<listening_socket> bind_and_listen(const addrinfo& info, const std::string& listen) {
  owned_fd fd{::socket(info.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (fd.get() < 0)
    return system_failure(errno, "can't make a socket for " + listen);
  const int on = 1;
  const int off = 0;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (info.ai_family == AF_INET6) // "every interface" means IPv4 too
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (::bind(fd.get(), info.ai_addr, info.ai_addrlen) != 0 || ::listen(fd.get(), backlog) != 0) {
    const auto code = errno;
    if (code == EADDRINUSE)
      return fail(errc::conflict,
                  fmt::format("can't listen on {}: the port is in use; stop the process that holds it "
                              "(`ss -ltnp` names it), or set another address",
                              listen));
    return system_failure(code, "can't listen on " + listen);
  }
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &length);
  return listening_socket{fd.release(), info.ai_family, printable(bound, true)};
}

// Does a process answer on this socket file?
bool answers(const sockaddr_un& address) {
  owned_fd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0
         || errno != ECONNREFUSED; // a full backlog, say: somebody is there
}

} // namespace

result<listen_address> parse_listen(std::string_view text) {
  const auto colon = text.rfind(':');
  const auto bad = [text](std::string_view why) {
    return fail(errc::invalid_argument,
                fmt::format("'{}' is no address to listen on: {}; write host:port, such as 127.0.0.1:7480",
                            text, why));
  };
  if (colon == std::string_view::npos)
    return bad("the port is missing");
  auto host = text.substr(0, colon);
  const auto port = text.substr(colon + 1);
  unsigned number = 0;
  const auto [end, code] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (code != std::errc{} || end != port.data() + port.size() || number > 65'535)
    return bad("the port must be a number up to 65535");
  if (host.starts_with('[') && host.ends_with(']'))
    host = host.substr(1, host.size() - 2);
  else if (host.find(':') != std::string_view::npos)
    return bad("an IPv6 address needs brackets: [::1]:7480");
  if (!host.empty() && host != "*" && !is_host_text(host))
    return bad("its host is neither an address nor a name");
  return listen_address{host == "*" ? std::string{} : lower(host), std::string{port}};
}

bool is_loopback(const listen_address& address) {
  return address.host == "localhost" || is_loopback_literal(address.host);
}

result<listening_socket> listen_tcp(const std::string& listen) {
  BOOST_OUTCOME_TRY(address, parse_listen(listen));
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  // The name "localhost" may mean ::1 first; clients are told 127.0.0.1 everywhere.
  auto host = address.host == "localhost" ? std::string{"127.0.0.1"} : address.host;
  const bool everywhere = host.empty();
  if (everywhere) {
    host = "::";
    hints.ai_flags |= AI_NUMERICHOST;
  }
  for (;;) {
    addrinfo* found = nullptr;
    if (const auto code = ::getaddrinfo(host.c_str(), address.port.c_str(), &hints, &found); code != 0)
      return fail(errc::io, fmt::format("can't listen on {}: {}", listen, ::gai_strerror(code)));
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner{found, ::freeaddrinfo};
    auto made = bind_and_listen(*found, listen);
    if (made || !everywhere || host == "0.0.0.0" || made.error().code == errc::conflict)
      return made;
    host = "0.0.0.0"; // a kernel without IPv6
  }
}

result<void> check_socket_path(const std::string& path) {
  constexpr auto bytes_max = sizeof sockaddr_un::sun_path - 1;
  if (path.empty() || path.size() > bytes_max)
    return fail(errc::invalid_argument,
                fmt::format("the socket path '{}' must have 1 to {} characters", path, bytes_max));
  return ok();
}

result<listening_socket> listen_unix(const std::string& path) {
  BOOST_OUTCOME_TRYV(check_socket_path(path));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  struct stat there {};
  if (::lstat(path.c_str(), &there) == 0) {
    if (!S_ISSOCK(there.st_mode))
      return fail(errc::conflict,
                  fmt::format("{} exists and is no socket; remove it or set another path", path));
    if (answers(address))
      return fail(errc::conflict,
                  fmt::format("another process answers on {}; stop it, or set another path", path));
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
      return system_failure(errno, fmt::format("can't remove the stale socket {}", path));
  }
  owned_fd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (fd.get() < 0)
    return system_failure(errno, "can't make a Unix socket");
  // On Linux the file takes the mode that the socket has when it is bound: no moment in which others may open
  // it, and no change of the process-wide umask while other threads make files.
  if (::fchmod(fd.get(), 0600) != 0)
    return system_failure(errno, "can't set the mode of a Unix socket");
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EADDRINUSE)
      return fail(errc::conflict, fmt::format("another process made {} just now", path));
    return system_failure(errno, fmt::format("can't make the socket {}", path));
  }
  if (::chmod(path.c_str(), 0600) != 0 || ::listen(fd.get(), backlog) != 0)
    return system_failure(errno, fmt::format("can't listen on {}", path));
  return listening_socket{fd.release(), AF_UNIX, path};
}

peer inspect_peer(int fd) {
  peer out;
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0)
    return out;
  if (address.ss_family == AF_UNIX) {
    out.unix_socket = true;
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0)
      out.own_user = credentials.uid == 0 || credentials.uid == ::geteuid();
    return out;
  }
  out.local_address = printable(address, false);
  address = {};
  length = sizeof address;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0)
    out.address = printable(address, false);
  out.loopback = is_loopback_literal(out.address);
  return out;
}

} // namespace skerry::http
