// The sealer's thread: closed logs become partitions; retention.

#include "cloud/store/embedded_engine.hpp"
#include "cloud/store/sealer.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace skerry::cloud {

namespace {

constexpr int sealer_niceness = 10;
constexpr auto retention_check = std::chrono::minutes{1};
constexpr auto retry_max = std::chrono::seconds{30};

std::string utc_text(std::int64_t time_ns) {
  return fmt::format("{:%FT%TZ}", fmt::gmtime(static_cast<std::time_t>(time_ns / 1'000'000'000)));
}

} // namespace

std::shared_ptr<log_env> embedded_engine::oldest_closed() const {
  const std::lock_guard lock{logs_mutex_};
  return logs_.size() > 1 ? logs_.front() : nullptr;
}

void embedded_engine::seal_loop() {
  // This thread alone gives way to the others.
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), sealer_niceness);
  const auto stopping = [this] {
    const std::lock_guard lock{logs_mutex_};
    return stop_sealing_;
  };
  newest_sealed_ns_ = partitions_.newest_ns();
  auto retry = std::chrono::seconds{1};
  while (!stopping()) {
    if (const auto log = oldest_closed()) {
      auto sealed = seal(log);
      std::unique_lock lock{logs_mutex_};
      if (sealed) {
        retry = std::chrono::seconds{1};
        continue;
      }
      ++seal_failures_;
      logs_changed_.notify_all();
      metrics_.seal_failures.Increment();
      if (seal_lines_.allow())
        spdlog::error("store: sealing log {} failed, trying again until it goes: {}", log->number(),
                      sealed.error().message);
      logs_changed_.wait_for(lock, retry, [&] { return stop_sealing_; });
      retry = std::min(retry * 2, std::chrono::seconds{retry_max});
      continue;
    }
    expire();
    std::unique_lock lock{logs_mutex_};
    logs_changed_.wait_for(lock, retention_check, [&] { return stop_sealing_ || logs_.size() > 1; });
  }
}

std::int64_t embedded_engine::oldest_to_keep_ns() {
  auto newest_ns = newest_sealed_ns_;
  for (const auto& log : logs())
    newest_ns = std::max(newest_ns, log->with_index([](const log_index& index) { return index.time_max; }));
  kept_from_ns_ = retention_.oldest_ns(hooks_.clock->wall_ns(), hooks_.clock->monotonic_ns(), newest_ns);
  return kept_from_ns_;
}

void embedded_engine::expire() {
  const auto oldest_ns = oldest_to_keep_ns();
  damages_.forget_before(oldest_ns);
  const auto gone = partitions_.ending_before(oldest_ns);
  if (gone.empty())
    return;
  retention::gone all;
  for (const auto& each : gone)
    all.add({each.id.first_ns(), each.id.last_ns(), each.samples});
  retention_.note(all);
  for (const auto& each : gone) {
    spdlog::info(
        "store: partition {} with {} samples, of {} to {}, is past the retention of {} h and deleted",
        to_string(each.id), each.samples, utc_text(each.id.first_ns()), utc_text(each.id.last_ns()),
        std::chrono::duration_cast<std::chrono::hours>(config_.retention).count());
    partitions_.expire(each.id);
  }
}

result<void> embedded_engine::seal(const std::shared_ptr<log_env>& log) {
  std::set<std::uint64_t> live;
  for (const auto& each : logs())
    live.insert(each->id());
  seal_settings settings;
  settings.plan = {hooks_.clock->wall_ns(),
                   std::chrono::duration_cast<std::chrono::seconds>(config_.partition_span).count()};
  settings.oldest_ns = oldest_to_keep_ns();
  settings.expiring = [this](std::int64_t from_ns, std::int64_t to_ns, std::uint64_t samples) {
    retention_.note({from_ns, to_ns, samples});
  };
  settings.step_pages = hooks_.seal_step_pages;
  settings.hook = hooks_.seal_step;
  BOOST_OUTCOME_TRYV(seal_log(*log, partitions_, metrics_, live, settings));
  if (settings.hook)
    settings.hook("log sealed");
  newest_sealed_ns_ =
      std::max(newest_sealed_ns_, log->with_index([](const log_index& index) { return index.time_max; }));
  // Its partitions answer for it from here on.
  {
    const std::lock_guard lock{logs_mutex_};
    std::erase(logs_, log);
    metrics_.log_environments.Set(static_cast<double>(logs_.size()));
  }
  changes().note_all(); // what was past retention or damaged in the log is not in the partitions
  remove_directory(log->directory());
  if (settings.hook)
    settings.hook("log deleted");
  metrics_.log_bytes.Set(static_cast<double>(total_log_bytes()));
  logs_changed_.notify_all();
  return ok();
}

void embedded_engine::flush() {
  std::uint64_t through = 0;
  std::uint64_t failures = 0;
  {
    // Behind everything that is queued.
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
    queued marker;
    marker.rotate = true;
    marker.done = [&](const result<void>&) {
      const std::lock_guard lock{mutex};
      done = true;
      changed.notify_all();
    };
    {
      const std::lock_guard logs{logs_mutex_};
      failures = seal_failures_;
    }
    enqueue(std::move(marker), false);
    std::unique_lock lock{mutex};
    changed.wait(lock, [&] { return done; });
  }
  std::unique_lock lock{logs_mutex_};
  through = logs_.back()->number();
  logs_changed_.wait(lock, [&] {
    return stop_sealing_ || logs_.front()->number() >= through || seal_failures_ != failures;
  });
}

} // namespace skerry::cloud
