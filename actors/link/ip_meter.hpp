#pragma once

// Counts what a TCP connection costs at the IP level, headers, acknowledgements and repeated segments included, from
// the kernel's own figures of the connection (TCP_INFO, tcp(7)). Thread-safe.

#include <cstdint>
#include <mutex>

namespace skerry::link {

struct ip_bytes {
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
};

class ip_meter {
public:
  // From now on the connection behind this socket is counted. The socket belongs to someone else and may be closed at
  // any time.
  void watch(int socket);
  // The connection is gone: what it was last known to have cost stays counted.
  void gone();
  [[nodiscard]] ip_bytes total(); // of all connections so far

private:
  void read(); // under mutex_

  std::mutex mutex_;
  int socket_ = -1;
  std::uint64_t inode_ = 0; // tells this connection from a later one that gets the same descriptor
  ip_bytes before_;         // of the connections before this one
  ip_bytes current_;
};

} // namespace skerry::link
