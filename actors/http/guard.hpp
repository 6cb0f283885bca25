#pragma once

// Decides whether a request may be served: Host (against DNS rebinding), Origin (against cross-origin
// requests), the bearer token, whom a proxy speaks for, and whether the one who asks has the right that the route needs.
// Immutable after construction; any thread may ask.
//
//   who asks                                                subject            rights
//   through the Unix socket: root, or the node's own user   operator socket    all
//   with the bearer token                                   bearer token       all
//   from this machine                                       this machine       read, push
//   from elsewhere, where no token is set or with           another machine    read
//   allow_remote_unauthenticated
//   from elsewhere else                                     another machine    none: 401

#include "actors/http/server.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::http {

// Where a connection came from, read once when it is accepted.
struct peer {
  bool unix_socket = false;
  bool own_user = false;     // of a Unix socket: root, or the user that this process runs as
  bool loopback = false;     // of TCP: the other end is this machine
  std::string local_address; // of TCP: the literal that the client connected to, without port
  std::string address;       // of TCP: the other end's, without port
};

// What the header says of proxies between the client and here.
struct forwarding {
  bool any = false;          // a header is there that proxies set: is_proxy_header()
  std::string forwarded_for; // every X-Forwarded-For, in order, with commas between them
};
[[nodiscard]] bool is_proxy_header(std::string_view lower_case_name) noexcept;

// Addresses with their first `bits` in common; IPv4 as IPv6's mapped addresses.
struct network {
  std::array<std::uint8_t, 16> bytes{};
  unsigned bits = 0;
};
// "10.0.0.0/8", "127.0.0.1", "fd00::/8"; empty where it is none of these.
[[nodiscard]] std::optional<network> parse_network(std::string_view text);

struct verdict {
  unsigned status = 200; // anything else: refuse with it
  principal who;
  std::string_view reason; // for the counter: "host", "origin", "token", "right", "proxy"
  std::string_view message;
};

class guard {
public:
  explicit guard(const server_config& config);
  // Empty headers: absent. `http_1_1`: the protocol version demands a Host.
  [[nodiscard]] verdict check(const peer& from, bool http_1_1, std::string_view host, std::string_view origin,
                              std::string_view authorization, right needs, const forwarding& by = {}) const;

private:
  [[nodiscard]] bool host_allowed(std::string_view host, const peer& from) const;
  std::string token_;
  [[nodiscard]] bool trusted(std::string_view address) const;
  [[nodiscard]] bool forwarded_from_loopback(std::string_view forwarded_for) const;
  bool remote_allowed_;
  std::vector<network> trusted_proxies_;
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
