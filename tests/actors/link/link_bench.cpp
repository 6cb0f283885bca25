// What the link costs: CPU for a message and a byte (both ends and their ZeroMQ threads, in this one
// process), and for a connection. Run it alone on a quiet machine: build/release/bin/link_bench

#include "actors/link/transport.hpp"

#include <fmt/format.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <sys/resource.h>

using namespace skerry;
using namespace skerry::link;
using steady = std::chrono::steady_clock;

namespace {

class counter {
public:
  void add() {
    const std::lock_guard lock{mutex_};
    ++count_;
    changed_.notify_all();
  }
  bool wait(std::size_t wanted) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, std::chrono::seconds{120}, [&] { return count_ >= wanted; });
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t count_ = 0;
};

double cpu_seconds() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(use.ru_utime) + seconds(use.ru_stime);
}

double since(steady::time_point from) { return std::chrono::duration<double>(steady::now() - from).count(); }

struct server {
  prometheus::Registry metrics;
  curve_keypair keys = make_keypair();
  counter received;
  std::unique_ptr<server_transport> transport;

  bool start() {
    server_config config;
    config.bind = "tcp://127.0.0.1:*";
    config.keys = keys;
    auto started = start_server(
        config,
        {.message = [this](peer_id, std::string, message_parts) { received.add(); },
         .admit = [](const curve_key&,
                     const std::string&) { return admission{.admitted = true, .user_id = "edge:1"}; }},
        metrics);
    if (started)
      transport = std::move(started).value();
    return static_cast<bool>(started);
  }
};

struct client {
  prometheus::Registry metrics;
  counter connected;
  std::unique_ptr<client_transport> transport;

  bool start(const server& to) {
    client_config config;
    config.address = to.transport->address();
    config.server_key = to.keys.public_key;
    config.keys = make_keypair();
    config.send_queue_max = 1 << 16;
    auto started = start_client(config,
                                {.message = [](message_parts) {},
                                 .state =
                                     [this](client_state now) {
                                       if (now == client_state::connected)
                                         connected.add();
                                     }},
                                metrics);
    if (started)
      transport = std::move(started).value();
    return static_cast<bool>(started);
  }
};

bool messages(std::size_t bytes, std::size_t count) {
  server s;
  client c;
  if (!s.start() || !c.start(s) || !c.connected.wait(1))
    return false;
  const auto payload = shared_bytes::take(byte_buffer(bytes, std::byte{42}));
  const auto cpu = cpu_seconds();
  const auto start = steady::now();
  for (std::size_t i = 0; i < count; ++i)
    while (!c.transport->try_send({payload}))
      if (!s.received.wait(i > 256 ? i - 256 : 1)) // the queue is full: some way behind, go on
        return false;
  if (!s.received.wait(count))
    return false;
  const auto wall = since(start);
  const auto used = cpu_seconds() - cpu;
  const auto n = static_cast<double>(count);
  fmt::print(
      "{:>8} B: {:>9.0f} messages/s {:>8.1f} MB/s {:>8.2f} us CPU/message {:>6.2f} ns CPU/byte (both ends)\n",
      bytes, n / wall, n * static_cast<double>(bytes) / wall / 1e6, used / n * 1e6,
      used / n / static_cast<double>(bytes) * 1e9);
  return true;
}

bool connections(std::size_t count) {
  server s;
  if (!s.start())
    return false;
  client c;
  if (!c.start(s) || !c.connected.wait(1))
    return false;
  const auto cpu = cpu_seconds();
  const auto start = steady::now();
  // One after another over fresh transports: a context, a socket and a handshake each.
  for (std::size_t i = 0; i < count; ++i) {
    client one;
    if (!one.start(s) || !one.connected.wait(1))
      return false;
  }
  const auto wall = since(start);
  fmt::print("connections one by one: {:.0f}/s, {:.2f} ms CPU each (both ends, a context and its threads "
             "included)\n",
             static_cast<double>(count) / wall, (cpu_seconds() - cpu) / static_cast<double>(count) * 1e3);
  return true;
}

} // namespace

int main() {
  spdlog::set_level(spdlog::level::warn);
  const bool done = messages(200, 200'000) && messages(1 << 10, 200'000) && messages(64 << 10, 20'000)
                    && messages(256 << 10, 5'000) && connections(500);
  if (!done)
    fmt::print("a measurement did not end\n");
  return done ? 0 : 1;
}
