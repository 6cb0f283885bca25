// The log, the metrics, signals, back-off and the queue.

#include "actors/base/backoff.hpp"
#include "actors/base/bounded_queue.hpp"
#include "actors/node/log.hpp"
#include "actors/node/metrics.hpp"
#include "actors/node/signals.hpp"
#include "tests/actors/base/temporary_folder.hpp"

#include <catch2/catch.hpp>
#include <prometheus/counter.h>
#include <prometheus/registry.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <set>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <thread>

using namespace skerry;
using namespace std::chrono_literals;

namespace {

class manual_clock final : public clock_source {
public:
  std::int64_t now = 0;
  std::int64_t wall_ns() const noexcept override { return now; }
  std::int64_t monotonic_ns() const noexcept override { return now; }
};

class counting_random final : public random_source {
public:
  std::uint64_t state = 1;
  void fill(std::span<std::uint8_t> out) noexcept override {
    for (auto& byte : out) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      byte = static_cast<std::uint8_t>(state >> 56);
    }
  }
};

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

} // namespace

TEST_CASE("log lines are logfmt in UTC, and nothing from outside can forge one", "[log]") {
  const auto line = [](std::string_view message) {
    return logfmt_line(std::chrono::system_clock::time_point{1'714'564'800'123ms}, spdlog::level::warn,
                       message);
  };
  CHECK(line("spool: ok") == "time=2024-05-01T12:00:00.123Z level=warn msg=\"spool: ok\"\n");
  CHECK(contains(line("a\nlevel=error \"x\" \\ \x1b[31m \x7f"),
                 R"(msg="a\nlevel=error \"x\" \\ \x1b[31m \x7f")"));
  CHECK(contains(line("größe € 🪨"), "größe € 🪨"));
  CHECK(contains(line("\xff\xc3(\xe2\x82\xed\xa0\x80\xf5"), R"(\xff\xc3(\xe2\x82\xed\xa0\x80\xf5)"));
  CHECK(contains(line("\xc2\x9b"), R"(\xc2\x9b)")); // a C1 control
  CHECK(line(std::string(100'000, 'x')).size() < log_message_bytes_max + 200);
  CHECK(contains(line(std::string(100'000, 'x')), "bytes more"));
  CHECK(contains(logfmt_line(std::chrono::system_clock::time_point{-1ms}, spdlog::level::err, ""),
                 "time=1969-12-31T23:59:59.999Z level=error"));
}

TEST_CASE("levels by name", "[log]") {
  for (const auto* level : {"trace", "debug", "warn", "error", "off", "info"})
    CHECK(set_log_level(level));
  const auto refused = set_log_level("loud");
  REQUIRE(!refused);
  CHECK(contains(refused.error().message, "debug, info, warn"));
  CHECK(!start_logging(""));
}

TEST_CASE("repeated messages are held back and counted", "[log]") {
  manual_clock clock;
  rate_limited limit{10s, clock};
  CHECK(limit.admit() == 0u);
  CHECK(!limit.admit());
  clock.now = 9'999'999'999;
  CHECK(!limit.admit());
  clock.now = 10'000'000'000;
  CHECK(limit.admit() == 2u);
  clock.now = 20'000'000'000;
  CHECK(limit.admit() == 0u);
}

TEST_CASE("metrics: build, process and what parts count", "[metrics]") {
  node_metrics metrics{"1.2.3"};
  prometheus::BuildCounter()
      .Name("skerry_test_total")
      .Help("A test.")
      .Register(metrics.registry())
      .Add({})
      .Increment(3);
  const auto text = metrics.text();
  CHECK(contains(text, "skerry_build_info{version=\"1.2.3\"} 1\n"));
  CHECK(contains(text, "# TYPE process_cpu_seconds_total counter\n"));
  CHECK(contains(text, "skerry_test_total 3\n"));
  for (const auto* name :
       {"process_virtual_memory_bytes", "process_resident_memory_bytes", "process_open_fds",
        "process_max_fds", "process_start_time_seconds", "skerry_process_resident_anonymous_bytes"})
    CHECK(contains(text, std::string{"\n"} + name + " "));
  const auto usage = read_process_usage();
  CHECK(usage.resident_bytes > 1e6);
  CHECK(usage.resident_anonymous_bytes > 1e5);
  CHECK(usage.virtual_bytes > usage.resident_bytes);
  CHECK(usage.open_fds >= 3);
  CHECK(usage.max_fds >= usage.open_fds);
  const auto now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  CHECK(usage.start_time_seconds > now - 86'400);
  CHECK(usage.start_time_seconds < now + 2);
  const auto route = metrics.route();
  CHECK(route.path == "/metrics");
  struct kept final : http::responder {
    http::response got;
    void answer(http::response with) override { got = std::move(with); }
    http::stream_ptr open_stream() override { return nullptr; }
    bool client_gone() const noexcept override { return false; }
  };
  const auto to = std::make_shared<kept>();
  route.run({}, to);
  CHECK(to->got.content_type == "text/plain; version=0.0.4; charset=utf-8");
  CHECK(contains(to->got.body, "skerry_build_info"));
}

TEST_CASE("signals are waited for, in every order", "[signals]") {
  // In a child: signals would otherwise reach the test program.
  const auto child = ::fork();
  if (child == 0) {
    block_signals();
    int failures = 0;
    failures += wait_for_signal(1ms).has_value();
    ::raise(SIGHUP);
    failures += wait_for_signal() != signal_request::reload;
    ::raise(SIGTERM);
    failures += wait_for_signal(10s) != signal_request::stop;
    ::kill(::getpid(), SIGINT);
    failures += wait_for_signal() != signal_request::stop;
    ::raise(SIGPIPE); // ignored
    ::_exit(failures);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("the supervisor is told where there is one", "[signals]") {
  ::unsetenv("NOTIFY_SOCKET");
  CHECK(!notify_supervisor("READY=1"));
  ::setenv("NOTIFY_SOCKET", "relative", 1);
  CHECK(!notify_supervisor("READY=1"));
  const test::temporary_folder folder;
  const auto path = (folder.path() / "notify").string();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM, 0);
  REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  CHECK(notify_supervisor("READY=1"));
  char text[64] = {};
  CHECK(::recv(fd, text, sizeof text, MSG_DONTWAIT) == 7);
  CHECK(std::string{text} == "READY=1");
  ::close(fd);
  ::unsetenv("NOTIFY_SOCKET");
}

TEST_CASE("back-off doubles to its bound, with jitter, and starts again", "[backoff]") {
  counting_random random;
  backoff wait{100ms, 1s, random};
  std::chrono::nanoseconds whole = 100ms;
  std::set<std::int64_t> seen;
  for (int i = 0; i < 50; ++i) {
    const auto next = wait.next();
    CHECK(next >= whole / 2);
    CHECK(next <= whole);
    seen.insert(next.count());
    whole = std::min<std::chrono::nanoseconds>(whole * 2, 1s);
  }
  CHECK(seen.size() > 40);
  CHECK(wait.failures() == 50);
  wait.reset();
  CHECK(wait.next() <= 100ms);
  backoff extreme{1ns, std::chrono::nanoseconds::max(), random};
  for (int i = 0; i < 200; ++i)
    CHECK(extreme.next() >= 0ns);
}

TEST_CASE("the queue keeps order and bounds", "[queue]") {
  bounded_queue<std::unique_ptr<int>> queue{2, 100};
  CHECK(queue.try_push(std::make_unique<int>(1), 60) == push_result::accepted);
  auto kept = std::make_unique<int>(2);
  CHECK(queue.try_push(std::move(kept), 41) == push_result::full);
  REQUIRE(kept);
  CHECK(queue.try_push(std::move(kept), 40) == push_result::accepted);
  CHECK(queue.bytes() == 100);
  CHECK(queue.try_push(std::make_unique<int>(3)) == push_result::full);
  CHECK(**queue.pop() == 1);
  CHECK(queue.try_push(std::make_unique<int>(4), 1'000) == push_result::full);
  CHECK(**queue.try_pop() == 2);
  CHECK(queue.bytes() == 0);
  CHECK(!queue.try_pop());
  CHECK(!queue.pop_for(1ms));
  CHECK(queue.try_push(std::make_unique<int>(5)) == push_result::accepted);
  queue.close();
  CHECK(queue.try_push(std::make_unique<int>(6)) == push_result::closed);
  CHECK(**queue.pop() == 5);
  CHECK(!queue.pop());
}

TEST_CASE("the queue loses and doubles nothing between threads", "[queue]") {
  constexpr int producers = 4;
  constexpr int each = 5'000;
  bounded_queue<int> queue{16};
  std::vector<std::atomic<int>> seen(producers * each);
  std::vector<std::thread> threads;
  std::vector<std::thread> consumers;
  for (int p = 0; p < producers; ++p)
    threads.emplace_back([&, p] {
      for (int i = 0; i < each; ++i)
        while (queue.try_push(p * each + i) != push_result::accepted)
          std::this_thread::yield();
    });
  for (int c = 0; c < 3; ++c)
    consumers.emplace_back([&] {
      while (const auto got = queue.pop())
        ++seen[static_cast<std::size_t>(*got)];
    });
  for (auto& thread : threads)
    thread.join();
  queue.close();
  for (auto& thread : consumers)
    thread.join();
  int wrong = 0;
  for (const auto& count : seen)
    wrong += count != 1;
  CHECK(wrong == 0);
}
