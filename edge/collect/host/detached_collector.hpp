#pragma once

// A collector that can hang: each of its collections runs on the helper thread, against a deadline. One that
// is late is left behind with the collector; until it has returned, further collections fail at once. Belongs
// to one thread.

#include "edge/collect/host/collector.hpp"

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

namespace skerry::edge::host {

class detached_collector {
public:
  // `make` gets a copy of the configuration that lives as long as the collector.
  detached_collector(const host_config& config,
                     const std::function<std::unique_ptr<collector>(const host_config&)>& make);

  // timeout: no answer in time, or none yet from an earlier collection; exhausted: too much hangs already;
  // else as the collector says. Samples of a collection that was late are never reported.
  // `dropped` grows by the samples beyond series_max.
  [[nodiscard]] result<void> collect(family_sink& sink, deadline_runner& runner, std::size_t& dropped);

private:
  struct work;
  std::shared_ptr<work> work_;                       // owned by the running job too
  std::shared_ptr<deadline_runner::job> unfinished_; // the job that was left behind
};

// collect() of any collector, with every exception made an error.
[[nodiscard]] result<void> collect_caught(collector& from, family_sink& sink) noexcept;

} // namespace skerry::edge::host
