#pragma once

// Listening sockets, made with the operating system's own calls so that every refusal can be told apart.

#include "actors/http/guard.hpp"
#include "schemas/error.hpp"

#include <string>

namespace skerry::http {

struct listening_socket {
  int fd = -1; // owned by the caller
  int family = 0;
  std::string address; // "127.0.0.1:7480", "[::1]:7480"; with the real port
};

// Where to listen, taken apart: "127.0.0.1:7480", "[::1]:7480", "localhost:7480", ":7480" and "*:7480"
// (everywhere).
struct listen_address {
  std::string host; // empty: every interface
  std::string port;
};
[[nodiscard]] result<listen_address> parse_listen(std::string_view text);
// False for a name that is not "localhost": what it resolves to may change.
[[nodiscard]] bool is_loopback(const listen_address& address);

// conflict: the port is in use. io: anything else.
[[nodiscard]] result<listening_socket> listen_tcp(const std::string& listen);
// invalid_argument: longer than the system can name a socket.
[[nodiscard]] result<void> check_socket_path(const std::string& path);
// Mode 0600 from its first moment. A socket file on which nobody answers is removed first; conflict: somebody
// does.
[[nodiscard]] result<listening_socket> listen_unix(const std::string& path);

// Reads what `peer` holds from an accepted socket.
[[nodiscard]] peer inspect_peer(int fd);

} // namespace skerry::http
