// Bounds of the transports: queues, sizes, many at once; and what they count.

#include "tests/actors/link/counting_proxy.hpp"
#include "tests/actors/link/transport_fixture.hpp"

#include <fmt/format.h>

#include <array>
#include <csignal>
#include <fcntl.h>
#include <mutex>
#include <set>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace skerry;
using namespace skerry::link;
using namespace skerry::link::test;
using namespace std::chrono_literals;

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
  connected_pair p{config};
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
  connected_pair p;
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

TEST_CASE("more handshakes than can be answered in their time: all get in, in turn") {
  constexpr std::size_t count = 90;
  test_server server;
  std::vector<std::unique_ptr<test_client>> clients;
  server_config config;
  config.handshakes_per_second_max = 20; // and as many at first: the last would wait for 3.5 s
  config.handshake_timeout = 600ms;
  client_config impatient;
  impatient.handshake_timeout = 600ms;
  for (std::size_t i = 0; i < count; ++i) {
    clients.push_back(std::make_unique<test_client>());
    server.known.change(
        [&](auto& known) { known[clients[i]->keys.public_key] = fmt::format("edge:{:016x}", i + 1); });
  }
  SECTION("for want of time") {}
  SECTION("for want of room") { config.handshakes_waiting_max = 3; }
  server.start(config);
  for (auto& client : clients)
    client->start(server.transport->address(), server.keys.public_key, impatient);
  for (auto& client : clients)
    REQUIRE(client->wait_state(client_state::connected));
  const auto reason = config.handshakes_waiting_max == 3 ? "queue_full" : "too_late";
  CHECK(metric(server.metrics, "skerry_link_server_handshakes_turned_away_total", reason) >= 1);
  CHECK(server.wait_metric(handshakes, "succeeded", count));
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

namespace {

void check_lets_in(test_server& server) {
  test_client client;
  server.known.change([&](auto& known) { known[client.keys.public_key] = "edge:1"; });
  client.start(server.transport->address(), server.keys.public_key);
  CHECK(client.wait_state(client_state::connected));
}

// Whether the other end has closed, within some seconds.
bool is_closed_soon(int fd) {
  const timeval limit{10, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  std::array<char, 256> bytes;
  for (;;) {
    const auto n = ::recv(fd, bytes.data(), bytes.size(), 0);
    if (n <= 0)
      return n == 0 || errno == ECONNRESET;
  }
}

bool is_open(int fd) {
  char byte;
  for (;;) {
    const auto n = ::recv(fd, &byte, 1, MSG_DONTWAIT);
    if (n <= 0)
      return n < 0 && errno == EAGAIN;
  }
}

} // namespace

TEST_CASE("connections beyond the bound are closed at once, and those within it stay") {
  server_config config;
  config.connections_max = 8;
  test_server server;
  server.start(config);
  const auto port = port_of(server.transport->address());
  std::vector<int> within, beyond;
  for (int i = 0; i < 8; ++i)
    within.push_back(raw_connect(port));
  REQUIRE(server.wait_metric("skerry_link_server_accepted_total", "", 8));
  for (int i = 0; i < 30; ++i)
    beyond.push_back(raw_connect(port));
  for (const auto fd : beyond) {
    CHECK(is_closed_soon(fd));
    ::close(fd);
  }
  for (const auto fd : within)
    CHECK(is_open(fd));
  CHECK(metric(server.metrics, "skerry_link_server_connections_turned_away_total", "") == 30);
  // Room again: the next one is taken.
  for (const auto fd : within)
    ::close(fd);
  REQUIRE(server.wait_metric("skerry_link_server_closed_total", "", 38));
  check_lets_in(server);
}

TEST_CASE("where many come beyond the bound, asking to connect is not answered for a while") {
  server_config config;
  config.connections_max = 1;
  test_server server;
  server.start(config);
  const auto port = port_of(server.transport->address());
  const auto first = raw_connect(port);
  REQUIRE(server.wait_metric("skerry_link_server_accepted_total", "", 1));
  std::vector<int> asking;
  for (int i = 0; i < 1500; ++i) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    REQUIRE(fd >= 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    asking.push_back(fd);
    if (i == 200) // by now it has seen enough
      REQUIRE(server.wait_metric("skerry_link_server_connections_turned_away_total", "", 64));
    if (asking.size() > 500) {
      ::close(asking.front());
      asking.erase(asking.begin());
    }
  }
  CHECK(metric(server.metrics, "skerry_link_server_accepted_total", "") < 1200);
  CHECK(is_open(first));
  for (const auto fd : asking)
    ::close(fd);
  ::close(first);
  check_lets_in(server);
}

TEST_CASE("without descriptors what asks to connect is turned away, and nothing spins") {
  test_server server;
  server.start();
  const auto port = port_of(server.transport->address());
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const int next = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::close(next);
  auto few = before;
  few.rlim_cur = static_cast<rlim_t>(next) + 20;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  const auto crowd = ::fork();
  if (crowd == 0) { // system calls only: the parent has threads
    ::setrlimit(RLIMIT_NOFILE, &before);
    for (int i = 0; i < 300; ++i)
      (void)::connect(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0),
                      reinterpret_cast<const sockaddr*>(&to), sizeof to);
    for (;;)
      ::pause();
  }
  const bool failed = server.wait_metric("skerry_link_server_accept_failures_total", "", 1);
  // It would try half a million times a second; what was under way when the requests began to be dropped takes moments.
  const auto failures = [&] { return metric(server.metrics, "skerry_link_server_accept_failures_total"); };
  int quiet = 0;
  for (int i = 0; i < 100 && quiet < 3; ++i) {
    const auto before_it = failures();
    std::this_thread::sleep_for(100ms);
    quiet = failures() == before_it ? quiet + 1 : 0;
  }
  ::kill(crowd, SIGKILL);
  ::waitpid(crowd, nullptr, 0);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(failed);
  CHECK(quiet == 3);
  check_lets_in(server);
}
