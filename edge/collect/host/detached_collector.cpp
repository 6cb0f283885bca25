#include "edge/collect/host/detached_collector.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <exception>
#include <optional>
#include <vector>

namespace skerry::edge::host {

result<void> collect_caught(collector& from, family_sink& sink) noexcept {
  try {
    return from.collect(sink);
  } catch (const std::exception& e) {
    return fail(errc::io, e.what());
  } catch (...) {
    return fail(errc::io, "an unknown exception");
  }
}

struct detached_collector::work {
  explicit work(const host_config& c) : config(c) {}

  host_config config;
  std::unique_ptr<collector> from;
  std::vector<collected_family> families;
  std::optional<result<void>> outcome;
  std::size_t dropped = 0;
};

detached_collector::detached_collector(
    const host_config& config, const std::function<std::unique_ptr<collector>(const host_config&)>& make)
    : work_(std::make_shared<work>(config)) {
  work_->from = make(work_->config);
}

result<void> detached_collector::collect(family_sink& sink, deadline_runner& runner, std::size_t& dropped) {
  if (unfinished_) {
    if (!unfinished_->finished.load())
      return fail(errc::timeout, "an earlier call has still not returned; a driver or device hangs");
    unfinished_.reset();
  }
  auto job = std::make_shared<deadline_runner::job>();
  work_->outcome.reset();
  job->work = [w = work_] {
    family_sink own(w->families);
    own.begin();
    own.begin_collector(w->config.series_max);
    auto outcome = collect_caught(*w->from, own);
    own.finish();
    w->dropped = own.dropped();
    w->outcome = std::move(outcome);
  };
  const auto time_max = work_->config.time_max;
  switch (runner.run(job, time_max)) {
  case deadline_runner::outcome::done: break;
  case deadline_runner::outcome::late:
    unfinished_ = std::move(job);
    return fail(errc::timeout, fmt::format("no answer within {}; a driver or device hangs",
                                           std::chrono::duration_cast<std::chrono::milliseconds>(time_max)));
  case deadline_runner::outcome::refused:
    return fail(errc::exhausted, "too many calls into mounts or hardware hang already");
  }
  sink.append(work_->families);
  dropped += work_->dropped;
  if (!work_->outcome)
    return fail(errc::io, "memory is short");
  return *work_->outcome;
}

} // namespace skerry::edge::host
