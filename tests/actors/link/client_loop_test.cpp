// Many clients on one thread, and clients without a network.

#include "tests/actors/link/transport_fixture.hpp"

#include <fmt/format.h>

using namespace skerry;
using namespace skerry::link;
using namespace skerry::link::test;
using namespace std::chrono_literals;

namespace {

struct crowd {
  test_server server;
  std::vector<std::unique_ptr<test_client>> clients;

  crowd(std::size_t count, std::size_t clients_max, std::function<bool()> may_connect = {}) {
    auto loop = make_client_loop(clients_max);
    REQUIRE(loop);
    for (std::size_t i = 0; i < count; ++i) {
      clients.push_back(std::make_unique<test_client>());
      server.known.change(
          [&](auto& known) { known[clients.back()->keys.public_key] = fmt::format("edge:{:016x}", i); });
    }
    server.start();
    client_config config;
    config.loop = std::move(loop).value();
    config.may_connect = std::move(may_connect);
    for (auto& one : clients)
      one->start(server.transport->address(), server.keys.public_key, config);
  }
};

} // namespace

TEST_CASE("clients on one loop speak, each for itself") {
  crowd all{60, 60};
  all.server.echo = true;
  for (auto& one : all.clients)
    REQUIRE(one->wait_state(client_state::connected));
  constexpr std::size_t messages = 200;
  for (std::size_t m = 0; m < messages; ++m)
    for (std::size_t i = 0; i < all.clients.size(); ++i)
      REQUIRE(all.clients[i]->transport->try_send(parts_of(fmt::format("{} {}", i, m))));
  for (std::size_t i = 0; i < all.clients.size(); ++i) {
    INFO(i);
    REQUIRE(all.clients[i]->wait_received(messages));
    const auto got = all.clients[i]->seen.get().received;
    bool right = got.size() == messages;
    for (std::size_t m = 0; right && m < messages; ++m)
      right = got[m] == std::vector<std::string>{fmt::format("{} {}", i, m)};
    CHECK(right);
  }
}

TEST_CASE("a loop has room for as many sockets as its clients need") {
  crowd all{400, 400}; // 1,200 sockets: more than ZeroMQ's own default
  for (auto& one : all.clients)
    REQUIRE(one->wait_state(client_state::connected));
}

TEST_CASE("one client goes, the others on its loop stay") {
  crowd all{20, 20};
  all.server.echo = true;
  for (auto& one : all.clients)
    REQUIRE(one->wait_state(client_state::connected));
  for (std::size_t i = 0; i < all.clients.size(); i += 2)
    all.clients[i]->transport.reset();
  for (std::size_t i = 1; i < all.clients.size(); i += 2) {
    REQUIRE(all.clients[i]->transport->try_send(parts_of("still here")));
    REQUIRE(all.clients[i]->wait_received(1));
  }
}

TEST_CASE("without a network attempts fail, and back off; with it they succeed") {
  std::atomic<bool> there{false};
  crowd all{5, 5, [&] { return there.load(); }};
  for (auto& one : all.clients)
    REQUIRE(one->wait_state(client_state::disconnected));
  for (auto& one : all.clients)
    REQUIRE(one->seen.wait([&](const auto&) {
      return metric(one->metrics, "skerry_link_client_attempts_total", "failed") >= 3;
    }));
  CHECK(metric(all.server.metrics, "skerry_link_server_accepted_total", "") == 0);
  there = true;
  for (auto& one : all.clients)
    REQUIRE(one->wait_state(client_state::connected));

  // The cable is pulled: what stands is closed too, by whoever pulls.
  there = false;
  for (auto& one : all.clients)
    one->transport->reconnect();
  for (auto& one : all.clients)
    REQUIRE(one->wait_state(client_state::disconnected, 2));
  CHECK_FALSE(all.clients[0]->transport->try_send(parts_of("x")));
  there = true;
  all.clients[0]->transport->reconnect(); // does not wait for what the back-off has grown to
  for (auto& one : all.clients)
    REQUIRE(one->wait_state(client_state::connected, 2));
}
