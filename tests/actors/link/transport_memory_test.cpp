// What messages that wait take in memory: of the process, and therefore without a sanitizer.

#include "tests/actors/link/transport_fixture.hpp"

#include <fstream>
#include <mutex>
#include <thread>

using namespace skerry;
using namespace skerry::link;
using namespace skerry::link::test;

namespace {

// Of this process, without what it maps from files.
std::size_t resident_bytes() {
  std::ifstream in{"/proc/self/smaps_rollup"};
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("Anonymous:"))
      return std::stoul(line.substr(10)) << 10;
  return 0;
}

} // namespace

TEST_CASE("small messages that wait take no more than twice their budget in memory") {
  struct waiting { // as for the actor that would take it
    peer_id from;
    std::string user_id;
    message_parts parts;
    byte_budget::share charged;
  };
  constexpr std::size_t bytes_max = 32 << 20;
  const auto budget = std::make_shared<byte_budget>(bytes_max);
  std::mutex mutex;
  std::vector<std::shared_ptr<waiting>> mailbox;
  prometheus::Registry metrics;
  server_config settings;
  settings.bind = "tcp://127.0.0.1:*";
  settings.keys = make_keypair();
  settings.received = budget;
  server_events events;
  events.message = [&](peer_id from, std::string user_id, message_parts parts) {
    const auto bytes = memory_of(parts);
    auto made = std::make_shared<waiting>(
        waiting{std::move(from), std::move(user_id), std::move(parts), budget->take(bytes)});
    const std::lock_guard lock{mutex};
    mailbox.push_back(std::move(made));
  };
  events.admit = [](const curve_key&, const std::string&) {
    return admission{.admitted = true, .user_id = "edge:0000000000000001"};
  };
  auto server = start_server(settings, events, metrics);
  REQUIRE(server);
  test_client client;
  client.start(server.value()->address(), settings.keys.public_key);
  REQUIRE(client.wait_state(client_state::connected));
  const auto before = resident_bytes();
  const std::string small(64, 'x');
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{60};
  while (!budget->full() && std::chrono::steady_clock::now() < deadline)
    if (!client.transport->try_send(parts_of(small)))
      std::this_thread::yield();
  REQUIRE(budget->full());
  const auto grown = resident_bytes() - before;
  INFO("grown by " << (grown >> 10) << " KiB of " << (bytes_max >> 10) << " KiB");
  CHECK(grown < 2 * bytes_max);
  CHECK(grown > bytes_max / 4); // or the charge is far too much
  server.value().reset();
}
