#pragma once

// A server and a client of the link that keep what they are told, and connections that are neither.

#include "actors/link/transport.hpp"
#include "tests/actors/link/support.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <arpa/inet.h>
#include <atomic>
#include <map>
#include <netinet/in.h>
#include <sys/socket.h>

namespace skerry::link::test {

struct incoming {
  peer_id from;
  std::string user_id;
  std::vector<std::string> parts;
};

inline std::vector<std::string> texts(const message_parts& parts) {
  std::vector<std::string> out;
  for (const auto& part : parts)
    out.emplace_back(as_text(part.view));
  return out;
}

inline message_parts parts_of(std::string_view text) { return {shared_bytes::copy(as_bytes(text))}; }

// A server that admits the keys in `known`, and keeps what it is told.
struct test_server {
  struct state {
    std::vector<incoming> received;
    std::map<std::string, peer_id> peers;                // by user id
    std::vector<std::pair<peer_id, std::size_t>> closed; // and how many messages had come from it by then
  };

  prometheus::Registry metrics;
  curve_keypair keys = make_keypair();
  watched<std::map<curve_key, std::string>> known;
  watched<state> seen;
  std::function<admission(const curve_key&, const std::string&)> admit = [this](const curve_key& key,
                                                                                const std::string&) {
    const auto all = known.get();
    const auto it = all.find(key);
    return it != all.end() ? admission{.admitted = true, .user_id = it->second}
                           : admission{.admitted = false, .user_id = {}, .reason = "unknown"};
  };
  std::atomic<bool> echo{false};
  std::atomic<server_transport*> speaker{nullptr}; // for callbacks: they may come before start() has returned
  std::unique_ptr<server_transport> transport;

  void start(server_config config = {}, const std::string& bind = "tcp://127.0.0.1:*") {
    config.bind = bind;
    config.keys = keys;
    auto started =
        start_server(config,
                     {.message =
                          [this](peer_id from, std::string user_id, message_parts parts) {
                            if (auto* out = speaker.load(); echo && out != nullptr)
                              (void)out->try_send(from, parts);
                            seen.change([&](state& s) {
                              s.peers[user_id] = from;
                              s.received.push_back({std::move(from), std::move(user_id), texts(parts)});
                            });
                          },
                      .admit = [this](const curve_key& k, const std::string& a) { return admit(k, a); },
                      .closed =
                          [this](peer_id from, std::string) {
                            seen.change([&](state& s) {
                              const auto came =
                                  std::count_if(s.received.begin(), s.received.end(),
                                                [&](const auto& one) { return one.from == from; });
                              s.closed.emplace_back(std::move(from), static_cast<std::size_t>(came));
                            });
                          }},
                     metrics);
    REQUIRE(started);
    transport = std::move(started).value();
    speaker = transport.get();
  }
  [[nodiscard]] bool wait_received(std::size_t count) {
    return seen.wait([&](const state& s) { return s.received.size() >= count; });
  }
  [[nodiscard]] bool wait_metric(const std::string& name, const std::string& label, double at_least) {
    return seen.wait([&](const state&) { return metric(metrics, name, label) >= at_least; });
  }
};

struct test_client {
  struct state {
    std::vector<std::vector<std::string>> received;
    std::vector<client_state> states;
  };

  prometheus::Registry metrics;
  curve_keypair keys = make_keypair();
  watched<state> seen;
  std::unique_ptr<client_transport> transport;

  void start(const std::string& address, const curve_key& server_key, client_config config = {}) {
    config.address = address;
    config.server_key = server_key;
    config.keys = keys;
    config.reconnect_min = std::chrono::milliseconds{10};
    config.reconnect_max = std::chrono::milliseconds{200};
    auto started = start_client(
        config,
        {.message =
             [this](message_parts parts) {
               seen.change([&](state& s) { s.received.push_back(texts(parts)); });
             },
         .state = [this](client_state now) { seen.change([&](state& s) { s.states.push_back(now); }); }},
        metrics);
    REQUIRE(started);
    transport = std::move(started).value();
  }
  [[nodiscard]] bool wait_state(client_state wanted, std::size_t times = 1) {
    return seen.wait([&](const state& s) {
      return static_cast<std::size_t>(std::count(s.states.begin(), s.states.end(), wanted)) >= times;
    });
  }
  [[nodiscard]] bool wait_received(std::size_t count) {
    return seen.wait([&](const state& s) { return s.received.size() >= count; });
  }
};

struct connected_pair {
  test_server server;
  test_client client;

  explicit connected_pair(server_config server_settings = {}, client_config client_settings = {}) {
    server.known.change([&](auto& known) { known[client.keys.public_key] = "edge:0000000000000001"; });
    server.start(server_settings);
    client.start(server.transport->address(), server.keys.public_key, client_settings);
    REQUIRE(client.wait_state(client_state::connected));
  }
};

inline int port_of(const std::string& address) { return std::stoi(address.substr(address.rfind(':') + 1)); }

inline int raw_connect(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
  return fd;
}

inline constexpr auto handshakes = "skerry_link_server_handshakes_total";
inline constexpr auto refused_total = "skerry_link_server_refused_total";

} // namespace skerry::link::test
