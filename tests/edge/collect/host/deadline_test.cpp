#include "edge/collect/host/deadline_runner.hpp"
#include "edge/collect/host/detached_collector.hpp"
#include "edge/collect/host/factories.hpp"
#include "tests/edge/collect/host/tree.hpp"

#include <catch2/catch.hpp>

#include <condition_variable>
#include <mutex>
#include <thread>

using namespace skerry;
using namespace skerry::edge;
using namespace skerry::edge::host;
using namespace std::chrono_literals;

namespace {

constexpr auto soon = 20ms; // a deadline that is meant to pass
constexpr auto long_enough = 20s;

// A call that hangs until it is let go. Owned by whoever still waits in it.
class gate {
public:
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return open_; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

std::shared_ptr<deadline_runner::job> job_of(std::function<void()> work) {
  auto job = std::make_shared<deadline_runner::job>();
  job->work = std::move(work);
  return job;
}

bool becomes_true(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + long_enough;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline)
      return false;
    std::this_thread::yield();
  }
  return true;
}

class hanging_collector final : public collector {
public:
  explicit hanging_collector(std::shared_ptr<gate> at) : at_(std::move(at)) {}
  result<void> collect(family_sink& sink) override {
    sink.single("before", metric_type::gauge, "h", 1);
    at_->wait();
    sink.single("after", metric_type::gauge, "h", 2);
    return ok();
  }

private:
  std::shared_ptr<gate> at_;
};

} // namespace

TEST_CASE("calls that return in time share one helper", "[host][deadline]") {
  deadline_runner runner;
  std::thread::id first;
  for (int i = 0; i < 100; ++i) {
    auto ran_on = std::make_shared<std::thread::id>();
    const auto job = job_of([ran_on] { *ran_on = std::this_thread::get_id(); });
    REQUIRE(runner.run(job, long_enough) == deadline_runner::outcome::done);
    CHECK(job->finished.load());
    CHECK(*ran_on != std::this_thread::get_id());
    if (i == 0)
      first = *ran_on;
    CHECK(*ran_on == first);
  }
  CHECK(runner.stuck() == 0);
}

TEST_CASE("a call that throws is done", "[host][deadline]") {
  deadline_runner runner;
  CHECK(runner.run(job_of([] { throw std::runtime_error("x"); }), long_enough)
        == deadline_runner::outcome::done);
  CHECK(runner.run(job_of([] {}), long_enough) == deadline_runner::outcome::done);
}

TEST_CASE("a call that hangs is left behind and others go on", "[host][deadline]") {
  deadline_runner runner;
  auto at = std::make_shared<gate>();
  const auto job = job_of([at] { at->wait(); });
  CHECK(runner.run(job, soon) == deadline_runner::outcome::late);
  CHECK_FALSE(job->finished.load());
  CHECK(runner.stuck() == 1);
  CHECK(runner.run(job_of([] {}), long_enough) == deadline_runner::outcome::done);
  at->open();
  CHECK(becomes_true([&] { return job->finished.load() && runner.stuck() == 0; }));
  CHECK(runner.run(job_of([] {}), long_enough) == deadline_runner::outcome::done);
}

TEST_CASE("at most so many calls hang; then calls are refused until one returns", "[host][deadline]") {
  deadline_runner runner(2);
  auto at = std::make_shared<gate>();
  CHECK(runner.run(job_of([at] { at->wait(); }), soon) == deadline_runner::outcome::late);
  CHECK(runner.run(job_of([at] { at->wait(); }), soon) == deadline_runner::outcome::late);
  bool ran = false;
  CHECK(runner.run(job_of([&] { ran = true; }), long_enough) == deadline_runner::outcome::refused);
  CHECK_FALSE(ran);
  at->open();
  CHECK(becomes_true([&] { return runner.stuck() == 0; }));
  CHECK(runner.run(job_of([] {}), long_enough) == deadline_runner::outcome::done);
}

TEST_CASE("a runner can go while a call hangs", "[host][deadline]") {
  auto at = std::make_shared<gate>();
  const auto job = job_of([at] { at->wait(); });
  {
    deadline_runner runner;
    CHECK(runner.run(job, soon) == deadline_runner::outcome::late);
  }
  at->open();
  CHECK(becomes_true([&] { return job->finished.load(); }));
}

TEST_CASE("a collector that hangs fails at once until it has returned, then works again",
          "[host][deadline]") {
  host_config config;
  config.time_max = soon;
  auto at = std::make_shared<gate>();
  deadline_runner runner;
  detached_collector hanging(config,
                             [&](const host_config&) { return std::make_unique<hanging_collector>(at); });
  std::vector<collected_family> out;
  family_sink sink(out);
  std::size_t dropped = 0;
  const auto collect = [&] {
    sink.begin();
    sink.begin_collector(100);
    const auto outcome = hanging.collect(sink, runner, dropped);
    sink.finish();
    return outcome;
  };
  REQUIRE_FALSE(collect());
  CHECK(out.empty()); // half a collection is none
  const auto again = collect();
  REQUIRE_FALSE(again);
  CHECK(again.error().code == errc::timeout);
  CHECK(again.error().message.find("earlier") != std::string::npos);
  CHECK(runner.stuck() == 1); // it was not asked twice
  at->open();
  REQUIRE(becomes_true([&] { return runner.stuck() == 0; }));
  REQUIRE(becomes_true([&] { return collect().has_value(); })); // may be late once on a busy machine
  CHECK(out.size() == 2);
}

TEST_CASE("a mount that hangs costs only itself", "[host][deadline]") {
  tree files;
  files.write("proc/1/mounts",
              "a:/x /dead nfs rw 0 0\n/dev/sda / ext4 rw 0 0\n/dev/sdb /ro xfs noatime,ro 0 0\n");
  auto config = files.config();
  config.time_max = 500ms;
  stat_file stat(config.proc);
  deadline_runner runner;
  auto at = std::make_shared<gate>();
  auto asked = std::make_shared<std::atomic<int>>(0); // the dead one
  const auto statfs_or_hang = [at, asked](const char* path, struct statfs* to) {
    if (std::string_view(path).ends_with("/dead")) {
      ++*asked;
      at->wait();
    }
    *to = {};
    to->f_bsize = 4096;
    to->f_blocks = 10;
    return 0;
  };
  const auto filesystem = make_filesystem({config, system_clock(), stat, runner, statfs_or_hang});
  std::vector<collected_family> out;
  family_sink sink(out);
  const auto collect = [&] {
    sink.begin();
    sink.begin_collector(100);
    REQUIRE(filesystem->collect(sink));
    sink.finish();
    return values_of(out);
  };
  const std::string dead = R"({device="a:/x",fstype="nfs",mountpoint="/dead"})";
  for (int i = 0; i < 3; ++i) {
    const auto all = collect();
    CHECK(find(all, "node_filesystem_device_error" + dead) == 1);
    CHECK(find(all, "node_filesystem_size_bytes" + dead) == std::nullopt);
    CHECK(find(all, R"(node_filesystem_size_bytes{device="/dev/sda",fstype="ext4",mountpoint="/"})")
          == 40960);
    CHECK(find(all, R"(node_filesystem_readonly{device="/dev/sda",fstype="ext4",mountpoint="/"})") == 0);
    CHECK(find(all, R"(node_filesystem_readonly{device="/dev/sdb",fstype="xfs",mountpoint="/ro"})") == 1);
  }
  CHECK(asked->load() == 1);
  CHECK(runner.stuck() == 1);
  at->open();
  REQUIRE(becomes_true([&] { return runner.stuck() == 0; }));
  CHECK(find(collect(), "node_filesystem_device_error" + dead) == 0);
}
