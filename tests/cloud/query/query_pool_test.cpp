#include "actors/api/query_pool.hpp"

#include <catch2/catch.hpp>
#include <prometheus/registry.h>

#include <future>
#include <thread>

using namespace skerry;
using namespace skerry::api;
using namespace std::chrono_literals;

namespace {

// Spins until the flag goes up, as a long query does; false after ten seconds.
bool wait_cancelled(const query_ticket& ticket) {
  const auto give_up = std::chrono::steady_clock::now() + 10s;
  while (!ticket.cancelled().load())
    if (std::chrono::steady_clock::now() > give_up)
      return false;
    else
      std::this_thread::yield();
  return true;
}

double metric(prometheus::Registry& registry, const std::string& name, const std::string& label = {}) {
  for (const auto& family : registry.Collect())
    if (family.name == name)
      for (const auto& m : family.metric)
        if (label.empty() || (!m.label.empty() && m.label[0].value == label))
          return m.counter.value + m.gauge.value;
  return -1;
}

} // namespace

TEST_CASE("a query runs on another thread and ends") {
  prometheus::Registry registry;
  query_pool pool{{}, registry};
  std::promise<std::pair<std::thread::id, bool>> ran;
  REQUIRE(pool.submit([&](const query_ticket& t) {
    ran.set_value({std::this_thread::get_id(), t.cancelled().load()});
  }));
  const auto [thread, cancelled] = ran.get_future().get();
  CHECK(thread != std::this_thread::get_id());
  CHECK_FALSE(cancelled);
}

TEST_CASE("what is over its time is cancelled, whether it runs or waits") {
  prometheus::Registry registry;
  query_pool_config config;
  config.threads = 1;
  query_pool pool{config, registry};
  std::promise<stop_reason> first;
  std::promise<stop_reason> second;
  REQUIRE(pool.submit(
      [&](const query_ticket& t) {
        const bool stopped = wait_cancelled(t);
        first.set_value(stopped ? t.reason() : stop_reason::none);
      },
      50ms));
  REQUIRE(pool.submit([&](const query_ticket& t) { second.set_value(t.reason()); }, 1ms));
  CHECK(first.get_future().get() == stop_reason::timeout);
  CHECK(second.get_future().get() == stop_reason::timeout);
  CHECK(metric(registry, "skerry_query_stopped_total", "timeout") == 2);
}

TEST_CASE("a query whose client went away is cancelled") {
  prometheus::Registry registry;
  query_pool_config config;
  config.client_check_interval = 1ms;
  query_pool pool{config, registry};
  std::atomic<bool> gone{false};
  std::promise<void> started;
  std::promise<stop_reason> ended;
  REQUIRE(pool.submit(
      [&](const query_ticket& t) {
        started.set_value();
        const bool stopped = wait_cancelled(t);
        ended.set_value(stopped ? t.reason() : stop_reason::none);
      },
      {}, [&] { return gone.load(); }));
  started.get_future().get();
  gone = true;
  CHECK(ended.get_future().get() == stop_reason::client_gone);
}

TEST_CASE("beyond the queue queries are refused and counted") {
  prometheus::Registry registry;
  query_pool_config config;
  config.threads = 1;
  config.queue_max = 2;
  query_pool pool{config, registry};
  std::promise<void> release;
  const auto released = release.get_future().share();
  std::atomic<int> ran{0};
  for (int i = 0; i < 3; ++i)
    REQUIRE(pool.submit([&, released](const query_ticket&) {
      released.wait();
      ++ran;
    }));
  const auto fourth = pool.submit([&](const query_ticket&) { ++ran; });
  REQUIRE_FALSE(fourth);
  CHECK(fourth.error().code == errc::exhausted);
  CHECK(metric(registry, "skerry_query_refused_total") == 1);
  release.set_value();
  const auto give_up = std::chrono::steady_clock::now() + 10s;
  while (ran < 3 && std::chrono::steady_clock::now() < give_up)
    std::this_thread::yield();
  CHECK(ran == 3);
}

TEST_CASE("the pool's end cancels what runs and still runs what waits") {
  prometheus::Registry registry;
  std::atomic<int> stopped{0};
  {
    query_pool_config config;
    config.threads = 1;
    query_pool pool{config, registry};
    for (int i = 0; i < 5; ++i)
      REQUIRE(pool.submit([&](const query_ticket& t) {
        if (wait_cancelled(t) && t.reason() == stop_reason::shutdown)
          ++stopped;
      }));
  }
  CHECK(stopped == 5);
}

TEST_CASE("an exception in a query stays there") {
  prometheus::Registry registry;
  query_pool pool{{}, registry};
  REQUIRE(pool.submit([](const query_ticket&) { throw std::runtime_error{"broken"}; }));
  std::promise<void> ran;
  REQUIRE(pool.submit([&](const query_ticket&) { ran.set_value(); }));
  ran.get_future().get();
}
