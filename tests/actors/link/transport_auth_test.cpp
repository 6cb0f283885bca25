// Who is let in, and what becomes of everybody else.

#include "tests/actors/link/transport_fixture.hpp"

#include <zmq.hpp>

#include <unistd.h>

using namespace skerry;
using namespace skerry::link;
using namespace skerry::link::test;
using namespace std::chrono_literals;

TEST_CASE("an unknown key is refused, told so, and admitted once it is known") {
  test_server server;
  server.start();
  test_client client;
  client.start(server.transport->address(), server.keys.public_key);
  REQUIRE(client.wait_state(client_state::refused));
  CHECK(!client.transport->try_send(parts_of("let me in")));
  CHECK(metric(server.metrics, refused_total, "unknown") >= 1);
  CHECK(metric(client.metrics, "skerry_link_client_attempts_total", "refused") >= 1);
  server.known.change([&](auto& known) { known[client.keys.public_key] = "edge:1"; });
  REQUIRE(client.wait_state(client_state::connected));
  REQUIRE(client.transport->try_send(parts_of("thanks")));
  REQUIRE(server.wait_received(1));
}

TEST_CASE("a revoked key is refused at its next handshake") {
  connected_pair p;
  p.server.known.change([](auto& known) { known.clear(); });
  p.client.transport->reconnect();
  REQUIRE(p.client.wait_state(client_state::refused));
  CHECK(p.client.seen.get().received.empty());
}

TEST_CASE("an authenticator that fails or names nobody lets nobody in") {
  test_server server;
  std::atomic<int> asked{0};
  std::atomic<bool> from_loopback{true};
  server.admit = [&](const curve_key&, const std::string& address) -> admission {
    from_loopback = from_loopback && address == "127.0.0.1";
    if (asked++ % 2 == 0)
      throw std::runtime_error{"the registry can't be read"};
    return {.admitted = true, .user_id = ""};
  };
  server.start();
  test_client client;
  client_config config;
  config.handshake_timeout = 200ms; // a refusal for now is silence
  client.start(server.transport->address(), server.keys.public_key, config);
  REQUIRE(server.wait_metric(refused_total, "failed", 3));
  CHECK(from_loopback);
  CHECK(metric(server.metrics, handshakes, "succeeded") == 0);
  const auto states = client.seen.get().states;
  CHECK(std::all_of(states.begin(), states.end(), [](auto s) { return s == client_state::disconnected; }));
}

TEST_CASE("no key, a wrong server key, garbage, HTTP and half-open connections are turned away and counted") {
  server_config config;
  config.handshake_timeout = 1s;
  connected_pair p{config};
  const auto address = p.server.transport->address();

  // What does not even speak ZMTP is closed before a handshake begins.
  const auto turned_away = [&] { return metric(p.server.metrics, "skerry_link_server_closed_total"); };
  // Either end may be the first to notice that they speak different mechanisms.
  zmq::context_t context;
  zmq::socket_t plain{context, zmq::socket_type::dealer};
  plain.set(zmq::sockopt::linger, 0);
  plain.connect(address);
  plain.send(zmq::buffer(std::string_view{"no key"}), zmq::send_flags::none);
  REQUIRE(p.server.seen.wait([&](const auto&) { return turned_away() >= 1; }));
  CHECK(metric(p.server.metrics, handshakes) > metric(p.server.metrics, handshakes, "succeeded"));

  test_client wrong;
  wrong.start(address, make_keypair().public_key);
  REQUIRE(wrong.wait_state(client_state::disconnected));
  CHECK(!wrong.transport->try_send(parts_of("x")));
  wrong.transport.reset();
  plain.close();

  random_engine random{seed()};
  for (int i = 0; i < 20; ++i) {
    const auto before = turned_away();
    const int fd = raw_connect(port_of(address));
    std::string garbage = i % 2 == 0 ? "GET / HTTP/1.1\r\nHost: x\r\n\r\n" : "";
    while (i % 2 == 1 && garbage.size() < 4096)
      garbage += static_cast<char>(random());
    (void)::send(fd, garbage.data(), garbage.size(), MSG_NOSIGNAL);
    if (i % 3 == 0)
      ::shutdown(fd, SHUT_WR);
    CHECK(p.server.seen.wait([&](const auto&) { return turned_away() > before; }));
    ::close(fd);
  }
  // Connects and says nothing.
  const auto before = turned_away();
  const int silent = raw_connect(port_of(address));
  CHECK(p.server.seen.wait([&](const auto&) { return turned_away() > before; }));
  ::close(silent);

  // Those who were let in don't notice.
  REQUIRE(p.client.transport->try_send(parts_of("still here")));
  REQUIRE(p.server.wait_received(1));
  CHECK(p.server.seen.get().received.size() == 1);
  CHECK(p.client.seen.get().states == std::vector{client_state::connected});
}

TEST_CASE("ZeroMQ lets nobody in where nobody answers for keys") {
  const auto keys = make_keypair();
  zmq::context_t context;
  zmq::socket_t router{context, zmq::socket_type::router};
  const auto set = [](zmq::socket_t& s, int option, const auto& value) {
    REQUIRE(zmq_setsockopt(s.handle(), option, &value, sizeof value) == 0);
  };
  set(router, ZMQ_LINGER, 0);
  set(router, ZMQ_CURVE_SERVER, 1);
  set(router, ZMQ_CURVE_SECRETKEY, keys.secret_key.bytes);
  REQUIRE(zmq_setsockopt(router.handle(), ZMQ_ZAP_DOMAIN, "skerry", 6) == 0);
  set(router, 93, 1); // without it the client below is let in
  router.bind("tcp://127.0.0.1:*");
  test_client client;
  client_config config;
  config.handshake_timeout = 500ms;
  client.start(router.get(zmq::sockopt::last_endpoint), keys.public_key, config);
  REQUIRE(client.seen.wait([](const auto& s) { return !s.states.empty(); }));
  CHECK(client.seen.get().states.front() == client_state::disconnected);
}
