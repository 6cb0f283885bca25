#include "tests/actors/link/transport_fixture.hpp"

#include <fmt/format.h>

#include <set>
#include <unistd.h>

using namespace skerry;
using namespace skerry::link;
using namespace skerry::link::test;
using namespace std::chrono_literals;

TEST_CASE("a known key is let in, and both ends speak") {
  connected_pair p;
  REQUIRE(
      p.client.transport->try_send({shared_bytes::copy(as_bytes("hello")), shared_bytes::copy(as_bytes("")),
                                    shared_bytes::take(byte_buffer(100'000, std::byte{7}))}));
  REQUIRE(p.server.wait_received(1));
  const auto got = p.server.seen.get().received.front();
  CHECK(got.user_id == "edge:0000000000000001");
  CHECK(got.parts == std::vector<std::string>{"hello", "", std::string(100'000, '\7')});
  REQUIRE(p.server.transport->try_send(got.from, parts_of("welcome")));
  REQUIRE(p.client.wait_received(1));
  CHECK(p.client.seen.get().received.front() == std::vector<std::string>{"welcome"});
  CHECK(metric(p.server.metrics, "skerry_link_server_messages_total", "in") == 1);
  CHECK(metric(p.client.metrics, "skerry_link_client_messages_total", "in") == 1);
}

TEST_CASE("thousands of messages arrive in order, both ways") {
  connected_pair p;
  p.server.echo = true;
  constexpr std::size_t count = 10'000;
  for (std::size_t i = 0; i < count; ++i) {
    // Every tenth is large enough to be sent without a copy.
    auto text = fmt::format("{}", i) + std::string(i % 10 == 0 ? 3000 : 0, 'x');
    while (!p.client.transport->try_send(parts_of(text)))
      REQUIRE(p.client.wait_received(1));
  }
  REQUIRE(p.client.wait_received(count));
  const auto there = p.server.seen.get();
  const auto back = p.client.seen.get();
  bool in_order = there.received.size() == count && back.received.size() == count;
  for (std::size_t i = 0; in_order && i < count; ++i)
    in_order = std::stoul(there.received[i].parts[0]) == i && std::stoul(back.received[i][0]) == i;
  CHECK(in_order);
}

TEST_CASE("a client comes back after the server was restarted") {
  connected_pair p;
  const auto address = p.server.transport->address();
  REQUIRE(p.client.transport->try_send(parts_of("one")));
  REQUIRE(p.server.wait_received(1));
  p.server.transport.reset();
  REQUIRE(p.client.wait_state(client_state::disconnected));
  CHECK(!p.client.transport->try_send(parts_of("nobody there")));
  p.server.start({}, address);
  REQUIRE(p.client.wait_state(client_state::connected, 2));
  REQUIRE(p.client.transport->try_send(parts_of("two")));
  REQUIRE(p.server.wait_received(2));
  CHECK(p.server.seen.get().received[1].parts[0] == "two");
}

TEST_CASE("a client that starts before its server finds it") {
  test_server server;
  server.start();
  const auto address = server.transport->address();
  server.transport.reset();
  test_client client;
  server.known.change([&](auto& known) { known[client.keys.public_key] = "edge:1"; });
  client.start(address, server.keys.public_key);
  REQUIRE(client.wait_state(client_state::disconnected));
  server.start({}, address);
  REQUIRE(client.wait_state(client_state::connected));
}

TEST_CASE("reconnect builds a new connection with a new name") {
  connected_pair p;
  REQUIRE(p.client.transport->try_send(parts_of("one")));
  REQUIRE(p.server.wait_received(1));
  p.client.transport->reconnect();
  REQUIRE(p.client.wait_state(client_state::connected, 2));
  REQUIRE(p.client.transport->try_send(parts_of("two")));
  REQUIRE(p.server.wait_received(2));
  const auto seen = p.server.seen.get().received;
  CHECK(seen[0].from != seen[1].from);
  // The old name leads nowhere, and says so.
  REQUIRE(p.server.transport->try_send(seen[0].from, parts_of("lost")));
  REQUIRE(p.server.wait_metric("skerry_link_server_dropped_total", "unroutable", 1));
}

TEST_CASE("the end of a connection is told once, after everything that came over it") {
  connected_pair link;
  REQUIRE(link.client.transport->try_send(parts_of("first")));
  REQUIRE(link.server.wait_received(1));
  CHECK(link.server.seen.get().closed.empty());
  for (int i = 0; i < 50; ++i)
    REQUIRE(link.client.transport->try_send(parts_of("farewell " + std::to_string(i))));
  link.client.transport.reset(); // as an edge that stops
  REQUIRE(link.server.seen.wait([](const auto& s) { return !s.closed.empty(); }));
  auto seen = link.server.seen.get();
  CHECK(seen.closed.front().first == seen.received.front().from);
  CHECK(seen.closed.front().second == 51);
  // Each of the next ones gets descriptors that were used before.
  for (std::size_t round = 2; round <= 20; ++round) {
    test_client next;
    next.keys = link.client.keys;
    next.start(link.server.transport->address(), link.server.keys.public_key);
    REQUIRE(next.wait_state(client_state::connected));
    REQUIRE(next.transport->try_send(parts_of("hello")));
    REQUIRE(link.server.seen.wait([&](const auto& s) { return s.received.size() == 50 + round; }));
    const auto so_far = link.server.seen.get();
    const auto of_it = [name = so_far.received.back().from](const auto& one) { return one.first == name; };
    CHECK(std::none_of(so_far.closed.begin(), so_far.closed.end(), of_it));
    next.transport.reset();
    REQUIRE(link.server.seen.wait(
        [&](const auto& s) { return std::count_if(s.closed.begin(), s.closed.end(), of_it) == 1; }));
  }
  seen = link.server.seen.get();
  std::set<peer_id> who;
  for (const auto& one : seen.closed)
    who.insert(one.first);
  CHECK(who.size() >= 20); // a connection that was slow to begin may have been made anew
}

TEST_CASE("what can't be listened on or connected to is said in plain words") {
  prometheus::Registry metrics;
  test_server server;
  server.start();
  const server_events events{[](peer_id, std::string, message_parts) {},
                             [](const auto&, const auto&) { return admission{}; }};
  const auto code = [&](const std::string& bind) {
    server_config config;
    config.bind = bind;
    config.keys = make_keypair();
    const auto started = start_server(config, events, metrics);
    REQUIRE(!started);
    INFO(started.error().message);
    CHECK(started.error().message.find(bind) != std::string::npos);
    return started.error().code;
  };
  CHECK(code(server.transport->address()) == errc::conflict);
  CHECK(code("nonsense") == errc::invalid_argument);
  CHECK(code("tcp://127.0.0.1") == errc::invalid_argument);
  CHECK(code("tcp://127.0.0.1:99999") == errc::invalid_argument);
  client_config config;
  config.keys = make_keypair();
  for (const auto* bad : {"", "nonsense", "tcp://", "foo://localhost:1"}) {
    config.address = bad;
    const auto started = start_client(config, {[](message_parts) {}, {}}, metrics);
    REQUIRE(!started);
    CHECK(started.error().code == errc::invalid_argument);
  }
}

TEST_CASE("IPv4 and IPv6 reach a server on every address") {
  test_server server;
  test_client four;
  test_client six;
  server.known.change([&](auto& known) {
    known = {{four.keys.public_key, "edge:4"}, {six.keys.public_key, "edge:6"}};
  });
  server.start({}, "tcp://*:*");
  const auto port = port_of(server.transport->address());
  four.start(fmt::format("tcp://127.0.0.1:{}", port), server.keys.public_key);
  CHECK(four.wait_state(client_state::connected));
  const int probe = ::socket(AF_INET6, SOCK_STREAM, 0);
  sockaddr_in6 loopback{};
  loopback.sin6_family = AF_INET6;
  loopback.sin6_addr = in6addr_loopback;
  const bool has_six =
      probe >= 0 && ::bind(probe, reinterpret_cast<const sockaddr*>(&loopback), sizeof loopback) == 0;
  ::close(probe);
  if (!has_six)
    return; // a machine without IPv6
  six.start(fmt::format("tcp://[::1]:{}", port), server.keys.public_key);
  CHECK(six.wait_state(client_state::connected));
}

TEST_CASE("transports are destroyed at any moment") {
  INFO("SKERRY_SEED=" << seed());
  random_engine random{seed()};
  for (int round = 0; round < 10; ++round) {
    test_server server;
    test_client client;
    server.known.change([&](auto& known) { known[client.keys.public_key] = "edge:1"; });
    server.echo = true;
    server.start();
    client.start(server.transport->address(), server.keys.public_key);
    if (round % 2 == 0)
      REQUIRE(client.wait_state(client_state::connected));
    for (auto n = random() % 500; n > 0; --n)
      (void)client.transport->try_send({shared_bytes::take(byte_buffer(random() % 20'000))});
    if (random() % 2 == 0)
      server.transport.reset();
    client.transport.reset();
  }
}
