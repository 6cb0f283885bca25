#pragma once

// Decides whether a request may be served: Host (against DNS rebinding), Origin (against cross-origin
// requests), and the bearer token. Immutable after construction; any thread may ask.

#include "actors/http/server.hpp"

#include <string>
#include <string_view>

namespace skerry::http {

// Where a connection came from, read once when it is accepted.
struct peer {
  bool unix_socket = false;
  bool own_user = false;     // of a Unix socket: root, or the user that this process runs as
  bool loopback = false;     // of TCP: the other end is this machine
  std::string local_address; // of TCP: the literal that the client connected to, without port
};

struct verdict {
  unsigned status = 200; // anything else: refuse with it
  principal who = principal::anonymous_remote;
  std::string_view reason; // for the counter: "host", "origin", "token", "state"
  std::string_view message;
};

class guard {
public:
  explicit guard(const server_config& config);
  // Empty headers: absent. `http_1_1`: the protocol version demands a Host.
  [[nodiscard]] verdict check(const peer& from, bool http_1_1, std::string_view host, std::string_view origin,
                              std::string_view authorization, bool changes_state) const;

private:
  [[nodiscard]] bool host_allowed(std::string_view host, const peer& from) const;
  std::string token_;
  bool remote_allowed_;
  bool any_host_ = false;
  std::vector<std::string> hosts_; // lower case
};

struct host_and_port {
  std::string host; // lower case, brackets taken off
  std::string port; // may be empty
};
// "name:port", "1.2.3.4", "[::1]:80". False where it is none of these.
[[nodiscard]] bool split_host_port(std::string_view text, host_and_port& into);
[[nodiscard]] bool is_loopback_literal(std::string_view address); // "127.x.y.z", "::1", "::ffff:127.0.0.1"
[[nodiscard]] std::string lower(std::string_view text);

} // namespace skerry::http
