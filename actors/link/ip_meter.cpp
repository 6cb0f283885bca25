#include "actors/link/ip_meter.hpp"

#include <algorithm>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace skerry::link {

namespace {

constexpr std::uint64_t ipv4_header_bytes = 20;
constexpr std::uint64_t ipv6_header_bytes = 40;
constexpr std::uint64_t tcp_header_bytes = 20;
constexpr std::uint64_t timestamps_bytes = 12; // with their padding

std::uint64_t inode_of(int socket) {
  struct stat status {};
  return ::fstat(socket, &status) == 0 && S_ISSOCK(status.st_mode) ? status.st_ino : 0;
}

} // namespace

void ip_meter::watch(int socket) {
  const std::lock_guard lock{mutex_};
  before_.sent += current_.sent;
  before_.received += current_.received;
  current_ = {};
  socket_ = socket;
  inode_ = inode_of(socket);
}

void ip_meter::gone() {
  const std::lock_guard lock{mutex_};
  read();
  socket_ = -1;
}

ip_bytes ip_meter::total() {
  const std::lock_guard lock{mutex_};
  read();
  return {before_.sent + current_.sent, before_.received + current_.received};
}

void ip_meter::read() {
  if (socket_ < 0 || inode_ == 0 || inode_of(socket_) != inode_)
    return;
  tcp_info info{};
  socklen_t length = sizeof info;
  sockaddr_storage local{};
  socklen_t local_length = sizeof local;
  if (::getsockopt(socket_, IPPROTO_TCP, TCP_INFO, &info, &length) != 0
      || ::getsockname(socket_, reinterpret_cast<sockaddr*>(&local), &local_length) != 0
      || inode_of(socket_) != inode_)
    return;
  bool mapped = false;
  if (local.ss_family == AF_INET6)
    mapped = IN6_IS_ADDR_V4MAPPED(&reinterpret_cast<const sockaddr_in6&>(local).sin6_addr);
  const auto header = (local.ss_family == AF_INET6 && !mapped ? ipv6_header_bytes : ipv4_header_bytes)
                      + tcp_header_bytes
                      + ((info.tcpi_options & TCPI_OPT_TIMESTAMPS) != 0 ? timestamps_bytes : 0);
  current_.sent = std::max<std::uint64_t>(current_.sent, info.tcpi_bytes_sent + info.tcpi_segs_out * header);
  current_.received =
      std::max<std::uint64_t>(current_.received, info.tcpi_bytes_received + info.tcpi_segs_in * header);
}

} // namespace skerry::link
