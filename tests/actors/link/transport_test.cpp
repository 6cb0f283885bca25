#include "actors/link/transport.hpp"
#include "tests/actors/link/counting_proxy.hpp"
#include "tests/actors/link/support.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>
#include <zmq.hpp>

#include <algorithm>
#include <arpa/inet.h>
#include <atomic>
#include <deque>
#include <map>
#include <netinet/in.h>
#include <set>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

using namespace skerry;
using namespace skerry::link;
using namespace skerry::link::test;
using namespace std::chrono_literals;

namespace {

struct incoming {
  peer_id from;
  std::string user_id;
  std::vector<std::string> parts;
};

std::vector<std::string> texts(const message_parts& parts) {
  std::vector<std::string> out;
  for (const auto& part : parts)
    out.emplace_back(as_text(part.view));
  return out;
}

message_parts parts_of(std::string_view text) { return {shared_bytes::copy(as_bytes(text))}; }

// A server that admits the keys in `known`, and keeps what it is told.
struct test_server {
  struct state {
    std::vector<incoming> received;
    std::map<std::string, peer_id> peers; // by user id
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
                      .admit = [this](const curve_key& k, const std::string& a) { return admit(k, a); }},
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
    config.reconnect_min = 10ms;
    config.reconnect_max = 200ms;
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

struct pair {
  test_server server;
  test_client client;

  explicit pair(server_config server_settings = {}, client_config client_settings = {}) {
    server.known.change([&](auto& known) { known[client.keys.public_key] = "edge:0000000000000001"; });
    server.start(server_settings);
    client.start(server.transport->address(), server.keys.public_key, client_settings);
    REQUIRE(client.wait_state(client_state::connected));
  }
};

int port_of(const std::string& address) { return std::stoi(address.substr(address.rfind(':') + 1)); }

int raw_connect(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
  return fd;
}

constexpr auto handshakes = "skerry_link_server_handshakes_total";
constexpr auto refused_total = "skerry_link_server_refused_total";

} // namespace

TEST_CASE("a known key is let in, and both ends speak") {
  pair p;
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
  pair p;
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
  pair p;
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
  pair p{config};
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

TEST_CASE("a client comes back after the server was restarted") {
  pair p;
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
  pair p;
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

TEST_CASE("a full queue takes nothing, and counts") {
  std::mutex gate;
  test_server server;
  test_client client;
  server.known.change([&](auto& known) { known[client.keys.public_key] = "edge:1"; });
  server_config config;
  config.send_queue_max = 8;
  server.start(config);
  // The client's thread is held in its callback: what it is asked to send stays in the queue.
  client_config settings;
  settings.send_queue_max = 8;
  settings.address = server.transport->address();
  settings.server_key = server.keys.public_key;
  settings.keys = client.keys;
  std::atomic<bool> held{false};
  auto started = start_client(
      settings,
      {.message =
           [&](message_parts) {
             held = true;
             const std::lock_guard wait{gate};
           },
       .state = [&](client_state s) { client.seen.change([&](auto& all) { all.states.push_back(s); }); }},
      client.metrics);
  REQUIRE(started);
  auto transport = std::move(started).value();
  REQUIRE(client.wait_state(client_state::connected));
  REQUIRE(transport->try_send(parts_of("first")));
  REQUIRE(server.wait_received(1));
  {
    const std::lock_guard hold{gate};
    REQUIRE(server.transport->try_send(server.seen.get().peers["edge:1"], parts_of("hold")));
    REQUIRE(client.seen.wait([&](const auto&) { return held.load(); }));
    int taken = 0;
    while (taken < 100 && transport->try_send(parts_of("more")))
      ++taken;
    CHECK(taken == 8);
    CHECK(metric(client.metrics, "skerry_link_client_dropped_total", "queue_full") == 1);
  }
  REQUIRE(server.wait_received(9));
  CHECK(transport->try_send(parts_of("again")));
  REQUIRE(server.wait_received(10));
}

TEST_CASE("an oversized message costs its sender the connection, nobody else") {
  server_config config;
  config.message_bytes_max = 10'000;
  pair p{config};
  REQUIRE(p.client.transport->try_send({shared_bytes::take(byte_buffer(10'000))}));
  REQUIRE(p.server.wait_received(1));
  // Each part is within the limit, all together are not: dropped, the connection stays.
  REQUIRE(p.client.transport->try_send(
      {shared_bytes::take(byte_buffer(6000)), shared_bytes::take(byte_buffer(6000))}));
  REQUIRE(p.server.wait_metric("skerry_link_server_dropped_total", "oversized", 1));
  CHECK(p.client.seen.get().states.size() == 1);
  REQUIRE(p.client.transport->try_send({shared_bytes::take(byte_buffer(20'000))}));
  REQUIRE(p.client.wait_state(client_state::disconnected));
  REQUIRE(p.client.wait_state(client_state::connected, 2));
  REQUIRE(p.client.transport->try_send(parts_of("small")));
  REQUIRE(p.server.wait_received(2));
}

TEST_CASE("a message with very many parts is dropped") {
  pair p;
  REQUIRE(p.client.transport->try_send(message_parts(2000, shared_bytes::copy(as_bytes("x")))));
  REQUIRE(p.server.wait_metric("skerry_link_server_dropped_total", "oversized", 1));
  REQUIRE(p.client.transport->try_send(parts_of("small")));
  REQUIRE(p.server.wait_received(1));
}

TEST_CASE("two hundred clients connect, and each is answered under its own name") {
  constexpr std::size_t count = 200;
  test_server server;
  server.echo = true;
  std::vector<std::unique_ptr<test_client>> clients;
  for (std::size_t i = 0; i < count; ++i) {
    clients.push_back(std::make_unique<test_client>());
    server.known.change(
        [&](auto& known) { known[clients[i]->keys.public_key] = fmt::format("edge:{:016x}", i + 1); });
  }
  server.start();
  for (auto& client : clients)
    client->start(server.transport->address(), server.keys.public_key);
  for (std::size_t i = 0; i < count; ++i) {
    REQUIRE(clients[i]->wait_state(client_state::connected));
    REQUIRE(clients[i]->transport->try_send(parts_of(fmt::format("{}", i))));
  }
  for (std::size_t i = 0; i < count; ++i) {
    REQUIRE(clients[i]->wait_received(1));
    CHECK(clients[i]->seen.get().received.front().front() == fmt::format("{}", i));
  }
  std::set<peer_id> peers;
  for (const auto& got : server.seen.get().received) {
    CHECK(got.user_id == fmt::format("edge:{:016x}", std::stoul(got.parts[0]) + 1));
    peers.insert(got.from);
  }
  CHECK(peers.size() == count);
  CHECK(metric(server.metrics, "skerry_link_server_connections") == count);
  clients.clear();
  CHECK(server.seen.wait(
      [&](const auto&) { return metric(server.metrics, "skerry_link_server_connections") == 0; }));
}

TEST_CASE("handshakes beyond the limit per second wait, and none is lost") {
  constexpr std::size_t count = 3;
  test_server server;
  std::vector<std::unique_ptr<test_client>> clients;
  server_config config;
  config.handshakes_per_second_max = 1;
  for (std::size_t i = 0; i < count; ++i) {
    clients.push_back(std::make_unique<test_client>());
    server.known.change(
        [&](auto& known) { known[clients[i]->keys.public_key] = fmt::format("edge:{:016x}", i + 1); });
  }
  server.start(config);
  for (auto& client : clients)
    client->start(server.transport->address(), server.keys.public_key);
  for (auto& client : clients) {
    REQUIRE(client->wait_state(client_state::connected));
    CHECK(client->seen.get().states.size() == 1);
  }
  CHECK(metric(server.metrics, "skerry_link_server_handshakes_paced_total") >= 1);
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

TEST_CASE("bytes are counted as the TCP payload, within five in a hundred") {
  test_server server;
  test_client client;
  server.known.change([&](auto& known) { known[client.keys.public_key] = "edge:0000000000000001"; });
  server.echo = true;
  server.start();
  counting_proxy proxy{port_of(server.transport->address())};
  client.start(fmt::format("tcp://127.0.0.1:{}", proxy.port()), server.keys.public_key);
  REQUIRE(client.wait_state(client_state::connected));
  const auto close_to = [](double a, double b) { return std::abs(a - b) <= 0.05 * b; };
  INFO("handshake: counted " << client.transport->bytes_sent() << " and "
                             << client.transport->bytes_received() << ", seen " << proxy.upstream() << " and "
                             << proxy.downstream());
  CHECK(client.transport->bytes_sent() == proxy.upstream());
  CHECK(client.transport->bytes_received() == proxy.downstream());
  std::size_t sent = 0;
  for (const std::size_t bytes : {0u, 1u, 40u, 222u, 223u, 1000u, 70'000u, 300'000u})
    for (int i = 0; i < 5; ++i, ++sent)
      REQUIRE(client.transport->try_send(
          {shared_bytes::take(byte_buffer(bytes)), shared_bytes::take(byte_buffer(bytes / 2))}));
  INFO("received " << client.seen.get().received.size() << " of " << sent << ", server "
                   << server.seen.get().received.size());
  REQUIRE(client.wait_received(sent));
  CHECK(close_to(static_cast<double>(client.transport->bytes_sent()), static_cast<double>(proxy.upstream())));
  CHECK(close_to(static_cast<double>(client.transport->bytes_received()),
                 static_cast<double>(proxy.downstream())));
  CHECK(close_to(metric(server.metrics, "skerry_link_server_bytes_total", "in"),
                 static_cast<double>(proxy.upstream())));
  CHECK(close_to(metric(server.metrics, "skerry_link_server_bytes_total", "out"),
                 static_cast<double>(proxy.downstream())));
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
