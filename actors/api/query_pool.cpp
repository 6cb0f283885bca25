#include "actors/api/query_pool.hpp"

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

namespace skerry::api {

using steady = std::chrono::steady_clock;

namespace {
// At every client_check_interval. While queries come one after the other none pays for waking the watchdog, which takes
// about as long as a short one.
constexpr std::size_t looks_before_sleep = 10;
} // namespace

void query_ticket::stop(stop_reason why) noexcept {
  auto none = stop_reason::none;
  if (reason_.compare_exchange_strong(none, why))
    cancelled_.store(true);
}

result<void> query_pool_config::validate() const {
  constexpr std::size_t threads_max = 256;
  if (threads == 0 || threads > threads_max)
    return fail(errc::invalid_argument,
                fmt::format("query: threads is {}; it must be 1 to {}", threads, threads_max));
  if (timeout_max <= std::chrono::milliseconds::zero())
    return fail(errc::invalid_argument, "query: timeout must be above 0");
  if (client_check_interval <= std::chrono::milliseconds::zero())
    return fail(errc::invalid_argument, "query: client_check_interval must be above 0");
  return ok();
}

struct query_pool::impl {
  struct entry {
    query_ticket ticket;
    job work;
    std::function<bool()> client_gone;
    steady::time_point accepted;
    steady::time_point deadline;
  };
  using entry_ptr = std::shared_ptr<entry>;

  impl(query_pool_config c, prometheus::Registry& metrics)
      : config(c),
        refused(prometheus::BuildCounter()
                    .Name("skerry_query_refused_total")
                    .Help("Queries refused because the queue was full.")
                    .Register(metrics)
                    .Add({})),
        running(prometheus::BuildGauge()
                    .Name("skerry_query_running")
                    .Help("Queries that run now.")
                    .Register(metrics)
                    .Add({})),
        queued(prometheus::BuildGauge()
                   .Name("skerry_query_queued")
                   .Help("Queries that wait for a thread.")
                   .Register(metrics)
                   .Add({})),
        duration(
            prometheus::BuildHistogram()
                .Name("skerry_query_duration_seconds")
                .Help("From when a query was accepted to its end, waiting included.")
                .Register(metrics)
                .Add({}, prometheus::Histogram::BucketBoundaries{0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60})) {
    auto& stops = prometheus::BuildCounter()
                      .Name("skerry_query_stopped_total")
                      .Help("Queries that were stopped before their end.")
                      .Register(metrics);
    timed_out = &stops.Add({{"reason", "timeout"}});
    abandoned = &stops.Add({{"reason", "client_gone"}});
    bound = &stops.Add({{"reason", "bound"}});
  }

  void work() {
    std::unique_lock lock{mutex};
    for (;;) {
      wake_worker.wait(lock, [&] { return ending || !waiting.empty(); });
      if (waiting.empty())
        return;
      auto next = std::move(waiting.front());
      waiting.pop_front();
      queued.Decrement();
      running.Increment();
      lock.unlock();
      run(*next);
      lock.lock();
      running.Decrement();
      active.remove(next);
    }
  }

  void run(entry& e) noexcept {
    try {
      e.work(e.ticket);
    } catch (const std::exception& failure) { // a bug, but one query's bug must not end the node
      spdlog::error("query: a query of {} ended in an exception: {}", e.ticket.who().subject, failure.what());
    }
    if (e.ticket.bound_.load())
      bound->Increment();
    e.work = {}; // what it holds (the client's connection) goes now
    duration.Observe(std::chrono::duration<double>(steady::now() - e.accepted).count());
  }

  void watch() {
    std::unique_lock lock{mutex};
    std::size_t empty_looks = 0;
    while (!ending) {
      if (!active.empty()) {
        empty_looks = 0;
      } else if (++empty_looks > looks_before_sleep) {
        next_look = steady::time_point::max();
        wake_watchdog.wait(lock);
        empty_looks = 0;
        continue;
      }
      const auto now = steady::now();
      auto wake = now + config.client_check_interval;
      for (const auto& e : active) {
        if (e->ticket.cancelled().load())
          continue;
        if (now >= e->deadline) {
          e->ticket.stop(stop_reason::timeout);
          timed_out->Increment();
        } else if (e->client_gone && e->client_gone()) {
          e->ticket.stop(stop_reason::client_gone);
          abandoned->Increment();
        } else {
          wake = std::min(wake, e->deadline);
        }
      }
      next_look = wake;
      wake_watchdog.wait_until(lock, wake);
    }
  }

  query_pool_config config;
  prometheus::Counter& refused;
  prometheus::Gauge& running;
  prometheus::Gauge& queued;
  prometheus::Histogram& duration;
  prometheus::Counter* timed_out = nullptr;
  prometheus::Counter* abandoned = nullptr;
  prometheus::Counter* bound = nullptr; // by samples or memory

  std::mutex mutex; // guards what follows
  std::condition_variable wake_worker;
  std::condition_variable wake_watchdog;
  std::deque<entry_ptr> waiting;
  std::list<entry_ptr> active; // waiting or running; at most queue_max + threads
  bool ending = false;
  steady::time_point next_look = steady::time_point::max(); // of the watchdog; max: it waits to be woken

  std::vector<std::thread> threads;
};

query_pool::query_pool(query_pool_config config, prometheus::Registry& metrics)
    : impl_(std::make_unique<impl>(config, metrics)) {
  for (std::size_t i = 0; i < std::max<std::size_t>(config.threads, 1); ++i)
    impl_->threads.emplace_back([this] { impl_->work(); });
  impl_->threads.emplace_back([this] { impl_->watch(); });
}

query_pool::~query_pool() {
  {
    const std::lock_guard lock{impl_->mutex};
    impl_->ending = true;
    for (const auto& e : impl_->active)
      e->ticket.stop(stop_reason::shutdown);
  }
  impl_->wake_worker.notify_all();
  impl_->wake_watchdog.notify_all();
  for (auto& t : impl_->threads)
    t.join();
}

result<void> query_pool::submit(job work, std::chrono::nanoseconds timeout, std::function<bool()> client_gone,
                                principal who) {
  const auto limit = std::chrono::nanoseconds{impl_->config.timeout_max};
  if (timeout <= std::chrono::nanoseconds::zero() || timeout > limit)
    timeout = limit;
  auto made = std::make_shared<impl::entry>();
  made->work = std::move(work);
  made->client_gone = std::move(client_gone);
  made->ticket.who_ = std::move(who);
  made->accepted = steady::now();
  const auto deadline = made->deadline = made->accepted + timeout;
  bool look_now = false;
  {
    const std::lock_guard lock{impl_->mutex};
    const auto bound = impl_->config.queue_max + impl_->config.threads;
    if (impl_->ending || impl_->active.size() >= bound) {
      impl_->refused.Increment();
      return fail(errc::exhausted, fmt::format("{} queries run or wait already; try again later", bound));
    }
    impl_->active.push_back(made);
    impl_->waiting.push_back(std::move(made));
    impl_->queued.Increment();
    look_now = deadline < impl_->next_look;
  }
  impl_->wake_worker.notify_one();
  if (look_now)
    impl_->wake_watchdog.notify_one();
  return ok();
}

} // namespace skerry::api
