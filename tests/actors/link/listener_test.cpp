// A node's listening end: who may connect, what it counts as waiting, and sending before there is a socket.

#include "actors/base/clock.hpp"
#include "actors/link/listener.hpp"
#include "actors/link/registry.hpp"
#include "tests/actors/link/temporary_directory.hpp"
#include "tests/actors/link/transport_fixture.hpp"

using namespace skerry;
using namespace skerry::link;
using namespace skerry::link::test;

namespace {

// A registry with one edge's key, a listener over it, and what it was told.
struct world {
  struct state {
    std::vector<peer_id> from;
    std::vector<std::string> users;
    std::vector<byte_budget::share> shares;
    std::size_t closed = 0;
  };

  temporary_directory dir;
  std::shared_ptr<registry> reg;
  curve_keypair keys = make_keypair();
  prometheus::Registry metrics;
  watched<state> seen;
  listener ear;
  test_client edge; // it goes first

  world() {
    auto opened = registry::open(dir.path() / "registry", system_clock());
    REQUIRE(opened);
    reg = std::move(opened).value();
  }
  void admit(const curve_key& key) {
    const auto now_s = system_clock().wall_ns() / 1'000'000'000;
    const auto invited = reg->create_invite("harbour", 60, now_s, system_random());
    REQUIRE(invited);
    REQUIRE(reg->complete_join(invited.value().id, key, now_s, system_random()));
  }
  result<void> start(listener_config config = {}) {
    if (config.bind.empty())
      config.bind = "tcp://127.0.0.1:*";
    return ear.start(config, keys, reg, system_clock(),
                     {[this](peer_id from, std::string user_id, message_parts, byte_budget::share share) {
                        seen.change([&](state& s) {
                          s.from.push_back(std::move(from));
                          s.users.push_back(std::move(user_id));
                          s.shares.push_back(std::move(share));
                        });
                      },
                      [this](peer_id, std::string) { seen.change([](state& s) { ++s.closed; }); }},
                     metrics);
  }
};

const message goodbye{0, bye{bye_reason::stopping, "until then"}};

} // namespace

TEST_CASE("an outbox takes messages before there is a socket, and drops them") {
  listener ear;
  ear.send("nobody", goodbye);
}

TEST_CASE("who has a key here is heard and answered, and its going is told") {
  world w;
  w.admit(w.edge.keys.public_key);
  REQUIRE(w.start());
  w.edge.start(w.ear.address(), w.keys.public_key);
  REQUIRE(w.edge.wait_state(client_state::connected));
  REQUIRE(w.edge.transport->try_send(parts_of("hello")));
  REQUIRE(w.seen.wait([](const world::state& s) { return s.from.size() == 1; }));
  w.seen.change([&](world::state& s) {
    CHECK(s.users[0].starts_with("edge:"));
    w.ear.send(s.from[0], goodbye);
  });
  REQUIRE(w.edge.wait_received(1));
  w.edge.transport.reset();
  CHECK(w.seen.wait([](const world::state& s) { return s.closed == 1; }));
}

TEST_CASE("a key that the registry does not know is refused") {
  world w;
  REQUIRE(w.start());
  w.edge.start(w.ear.address(), w.keys.public_key);
  CHECK(w.edge.wait_state(client_state::refused));
}

TEST_CASE("while as much waits as may, nothing more is read") {
  world w;
  w.admit(w.edge.keys.public_key);
  listener_config config;
  config.queue_bytes_max = 1; // one message is beyond it
  REQUIRE(w.start(config));
  w.edge.start(w.ear.address(), w.keys.public_key);
  REQUIRE(w.edge.wait_state(client_state::connected));
  for (const auto* text : {"one", "two"})
    REQUIRE(w.edge.transport->try_send(parts_of(text)));
  REQUIRE(w.seen.wait([](const world::state& s) { return s.from.size() == 1; }));
  CHECK(
      !w.seen.wait([](const world::state& s) { return s.from.size() == 2; }, std::chrono::milliseconds{200}));
  w.seen.change([](world::state& s) { s.shares.clear(); });
  CHECK(w.seen.wait([](const world::state& s) { return s.from.size() == 2; }));
}

TEST_CASE("a port that is taken is a conflict") {
  world w;
  REQUIRE(w.start());
  listener second;
  listener_config config;
  config.bind = w.ear.address();
  const auto refused = second.start(config, w.keys, w.reg, system_clock(), {}, w.metrics);
  REQUIRE(!refused);
  CHECK(refused.error().code == errc::conflict);
}
