#pragma once

// Runs queries on a few threads, with a bounded queue before them, a deadline each, and an eye on whether
// anyone still waits for the answer.
//
// The pool owns its threads: `threads` workers and one watchdog, which raises a query's `cancelled` flag when
// its time is over (waiting in the queue counts), when its client went away, or when the pool ends. A job
// always runs, so it can always answer; one whose flag is up already answers at once.

#include "schemas/error.hpp"
#include "schemas/principal.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

namespace prometheus {
class Registry;
}

namespace skerry::api {

enum class stop_reason : std::uint8_t { none, timeout, client_gone, shutdown };

// What a running query knows of its own fate, and for whom it runs. Any thread may read.
class query_ticket {
public:
  [[nodiscard]] const std::atomic<bool>& cancelled() const noexcept { return cancelled_; }
  [[nodiscard]] stop_reason reason() const noexcept { return reason_.load(); } // set before `cancelled`
  [[nodiscard]] const principal& who() const noexcept { return who_; }
  // It was ended by a bound on samples or memory: for the pool's counter.
  void note_bound() const noexcept { bound_.store(true); }

private:
  friend class query_pool;
  void stop(stop_reason why) noexcept;
  principal who_; // set before it runs
  std::atomic<bool> cancelled_{false};
  std::atomic<stop_reason> reason_{stop_reason::none};
  mutable std::atomic<bool> bound_{false};
};

struct query_pool_config {
  std::size_t threads = 2;
  std::size_t queue_max = 128; // waiting, beyond those that run
  std::chrono::milliseconds timeout_max{120'000};
  std::chrono::milliseconds client_check_interval{100};

  [[nodiscard]] result<void> validate() const;
};

class query_pool {
public:
  using job = std::function<void(const query_ticket&)>;

  query_pool(query_pool_config config, prometheus::Registry& metrics);
  ~query_pool(); // cancels what runs and waits, runs it to its end, joins
  query_pool(const query_pool&) = delete;
  query_pool& operator=(const query_pool&) = delete;

  // exhausted: the queue is full, `work` was not kept. `timeout` is cut to timeout_max; zero means
  // timeout_max. `client_gone` is called from the watchdog; may be empty. Any thread.
  [[nodiscard]] result<void> submit(job work, std::chrono::nanoseconds timeout = {},
                                    std::function<bool()> client_gone = {}, principal who = {});

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace skerry::api
