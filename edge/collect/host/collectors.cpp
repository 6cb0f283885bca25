#include "edge/collect/host/collectors.hpp"

#include "edge/collect/host/collector.hpp"
#include "edge/collect/host/detached_collector.hpp"

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

namespace skerry::edge {

namespace {

using host::collector;
using host::collector_context;
using host::collector_entry;
using host::deadline_runner;
using host::detached_collector;
using host::family_sink;

constexpr std::int64_t log_again_ns = std::int64_t{600} * 1'000'000'000; // one collector's failures

struct slot {
  const collector_entry* entry = nullptr;
  std::unique_ptr<collector> here;           // runs on the calling thread ...
  std::unique_ptr<detached_collector> there; // ... or on the helper, where it may block
  prometheus::Counter* failures = nullptr;
  prometheus::Counter* dropped = nullptr;
  bool failing_aloud = false;                    // the present failure was logged
  std::optional<std::int64_t> failure_logged_ns; // monotonic; when last
};

} // namespace

struct host_collectors::impl {
  impl(host_config c, clock_source& t, prometheus::Registry& registry);

  result<void> run(slot& s, family_sink& sink);
  void note(slot& s, const result<void>& outcome);
  void collect(std::vector<collected_family>& out);

  host_config config;
  clock_source& clock;
  host::stat_file stat;
  deadline_runner runner;
  std::vector<slot> slots;
  std::vector<std::pair<double, bool>> timings; // seconds and success of each slot
  prometheus::Counter* collections = nullptr;
  prometheus::Gauge* stuck = nullptr;
};

host_collectors::impl::impl(host_config c, clock_source& t, prometheus::Registry& registry)
    : config(std::move(c)), clock(t), stat(config.proc) {
  auto& failures =
      prometheus::BuildCounter()
          .Name("skerry_collect_host_failures_total")
          .Help("Collections of a host collector that failed; node_scrape_collector_success was 0.")
          .Register(registry);
  auto& dropped = prometheus::BuildCounter()
                      .Name("skerry_collect_host_series_dropped_total")
                      .Help("Samples of a host collector beyond its series_max.")
                      .Register(registry);
  collections = &prometheus::BuildCounter()
                     .Name("skerry_collect_host_collections_total")
                     .Help("Times that the host collectors ran.")
                     .Register(registry)
                     .Add({});
  stuck = &prometheus::BuildGauge()
               .Name("skerry_collect_host_stuck_calls")
               .Help("Calls into mounts or hardware that have not returned in time and are still waited for.")
               .Register(registry)
               .Add({});
  const auto named = [](const std::vector<std::string>& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  for (const auto& entry : host::collector_table()) {
    const bool wanted = config.enabled.empty() ? entry.on_by_default : named(config.enabled, entry.name);
    if (!wanted || named(config.disabled, entry.name))
      continue;
    slot s;
    s.entry = &entry;
    if (entry.may_block)
      s.there = std::make_unique<detached_collector>(config, [&](const host_config& own) {
        return entry.make({own, clock, stat, runner});
      });
    else
      s.here = entry.make({config, clock, stat, runner});
    s.failures = &failures.Add({{"collector", std::string(entry.name)}});
    s.dropped = &dropped.Add({{"collector", std::string(entry.name)}});
    slots.push_back(std::move(s));
  }
  timings.resize(slots.size());
}

result<void> host_collectors::impl::run(slot& s, family_sink& sink) {
  sink.begin_collector(config.series_max);
  std::size_t lost = 0;
  auto outcome = s.there ? s.there->collect(sink, runner, lost) : host::collect_caught(*s.here, sink);
  lost += sink.dropped();
  if (lost == 0)
    return outcome;
  s.dropped->Increment(static_cast<double>(lost));
  if (!outcome)
    return outcome;
  return fail(errc::exhausted,
              fmt::format("{} samples beyond series_max = {} were dropped; exclude devices or raise it", lost,
                          config.series_max));
}

void host_collectors::impl::note(slot& s, const result<void>& outcome) {
  if (outcome) {
    if (std::exchange(s.failing_aloud, false))
      spdlog::info("host collectors: {} works again", s.entry->name);
    return;
  }
  if (outcome.error().code == errc::not_found)
    return; // nothing of the kind here
  s.failures->Increment();
  const std::int64_t now = clock.monotonic_ns();
  if (s.failure_logged_ns && now - *s.failure_logged_ns < log_again_ns)
    return;
  s.failure_logged_ns = now;
  s.failing_aloud = true;
  spdlog::warn("host collectors: {}: {}", s.entry->name, outcome.error().message);
}

void host_collectors::impl::collect(std::vector<collected_family>& out) {
  collections->Increment();
  stat.forget();
  family_sink sink(out);
  sink.begin();
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const std::int64_t begin = clock.monotonic_ns();
    const auto outcome = run(slots[i], sink);
    timings[i] = {static_cast<double>(clock.monotonic_ns() - begin) * 1e-9, outcome.has_value()};
    note(slots[i], outcome);
  }
  sink.begin_collector(2 * slots.size());
  host::open_family seconds{"node_scrape_collector_duration_seconds", metric_type::gauge,
                            "How long each collector took this time."};
  host::open_family success{"node_scrape_collector_success", metric_type::gauge,
                            "1 where the collector succeeded this time."};
  for (std::size_t i = 0; i < slots.size(); ++i)
    sink.add(seconds, timings[i].first, {{"collector", slots[i].entry->name}});
  for (std::size_t i = 0; i < slots.size(); ++i)
    sink.add(success, timings[i].second ? 1 : 0, {{"collector", slots[i].entry->name}});
  sink.finish();
  stuck->Set(static_cast<double>(runner.stuck()));
}

host_collectors::host_collectors(std::unique_ptr<impl> state) : impl_(std::move(state)) {}
host_collectors::~host_collectors() = default;

result<std::unique_ptr<host_collectors>> host_collectors::make(host_config config, clock_source& clock,
                                                               prometheus::Registry& registry) {
  BOOST_OUTCOME_TRYV(config.validate());
  try {
    return std::unique_ptr<host_collectors>(
        new host_collectors(std::make_unique<impl>(std::move(config), clock, registry)));
  } catch (
      const std::exception& e) { // the registry refuses a metric that something else registered differently
    return fail(errc::invalid_argument, fmt::format("host collectors: {}", e.what()));
  }
}

void host_collectors::collect(std::vector<collected_family>& out) noexcept {
  try {
    impl_->collect(out);
  } catch (const std::exception& e) { // memory is short: no samples this time
    out.clear();
    spdlog::error("host collectors: this collection is lost: {}", e.what());
  }
}

std::vector<std::string_view> host_collectors::names() const {
  std::vector<std::string_view> all;
  for (const auto& s : impl_->slots)
    all.push_back(s.entry->name);
  return all;
}

} // namespace skerry::edge
