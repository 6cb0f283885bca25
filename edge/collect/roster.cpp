#include "edge/collect/roster.hpp"

#include "edge/collect/collect_settings.hpp"
#include "edge/collect/local_source.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <map>
#include <optional>

namespace skerry::edge {

namespace {

constexpr std::chrono::seconds tick_interval{1};

} // namespace

struct roster_state {
  roster_actor::pointer self = nullptr;
  roster_config config;
  std::optional<scrape_metrics> metrics;
  std::optional<target_manager> manager;
  std::map<std::string, agent_actor> agents; // by host
  std::string local_host;
  // Started with the first target: libcurl and its TLS library take megabytes that a node without targets can spare.
  std::shared_ptr<fetcher> pages;
  page_reader_actor reader; // with it
  std::shared_ptr<std::atomic<bool>> stopping = std::make_shared<std::atomic<bool>>(false);
  std::size_t pages_bytes_max = pages_bytes_max_default;
  std::size_t ending = 0; // agents and the reader that were told to stop
  prometheus::Gauge* targets = nullptr;
  prometheus::Counter* missed = nullptr;

  void init(roster_actor::pointer owner, roster_config c) {
    self = owner;
    config = std::move(c);
    metrics.emplace(*config.metrics);
    static_cast<void>(fetch_metrics{*config.metrics}); // before there is anything to fetch
    manager.emplace(config.seed, *metrics);
    targets = &prometheus::BuildGauge()
                   .Name("skerry_scrape_targets")
                   .Help("Targets that are scraped.")
                   .Register(*config.metrics)
                   .Add({});
    missed = &prometheus::BuildCounter()
                  .Name("skerry_collect_missed_total")
                  .Help("Collections of the machine's own values and of targets that were due and did not "
                        "happen; their time is reported as not collected.")
                  .Register(*config.metrics)
                  .Add({});
  }

  agent_actor& agent_of(const std::string& host, std::shared_ptr<local_collection> local) {
    auto& found = agents[host];
    if (!found)
      found = spawn_agent(self->system(), agent_config{host, config.gateway, config.inbox, config.clock,
                                                       std::move(local), missed});
    return found;
  }

  void apply(const collect_settings& settings) {
    if (settings.host_metrics && local_host.empty()) {
      auto collectors = host_collectors::make(settings.collectors, *config.clock, *config.metrics);
      if (collectors) {
        local_host = settings.host;
        auto& dropped =
            prometheus::BuildCounter()
                .Name("skerry_collect_dropped_total")
                .Help("Samples of the machine's own that were not kept: their series was there twice "
                      "in a collection, or is over a bound.")
                .Register(*config.metrics)
                .Add({});
        auto source = std::make_shared<local_source>(std::move(collectors).value(), settings.job,
                                                     settings.host, dropped);
        auto local = std::make_shared<local_collection>();
        local->collect = [source](std::int64_t time_ns, std::int64_t monotonic_ns, std::string_view host) {
          return source->collect(time_ns, monotonic_ns, host);
        };
        local->interval = settings.interval;
        local->watch = std::make_shared<due_watch>(local->interval.count());
        if (config.publish_host)
          config.publish_host(local->watch);
        agent_of(local_host, std::move(local));
      } else {
        spdlog::error("collect: this machine's metrics are not collected: {}", collectors.error().message);
      }
    }
    pages_bytes_max = settings.pages_bytes_max;
    manager->apply(settings.scrape);
    assign();
  }

  void start_fetcher() {
    auto started = fetcher::start(*config.metrics, pages_bytes_max);
    if (!started) {
      spdlog::error("collect: targets cannot be scraped: {}", started.error().message);
      return;
    }
    pages = std::move(started).value();
    page_reader_config reads;
    reads.gateway = config.gateway;
    reads.inbox = config.inbox;
    reads.stopping = stopping;
    reader = spawn_page_reader(self->system(), std::move(reads));
  }

  // Ends after its agents and the page reader: what they have made is in the inbox then.
  void stop() {
    const auto end = [this](const auto& actor) {
      ++ending;
      self->monitor(actor);
      caf::anon_send(actor, stop_atom_v);
    };
    self->set_down_handler([this](const caf::down_msg&) {
      if (--ending == 0)
        self->quit();
    });
    for (const auto& [host, agent] : agents)
      end(agent);
    agents.clear();
    *stopping = true;
    if (reader)
      end(reader);
    reader = nullptr;
    config.gateway = nullptr;
    pages.reset();
    if (ending == 0)
      self->quit();
  }

  // Every agent gets its list: what it no longer has ends there, with stale markers.
  void assign() {
    if (!pages && !manager->targets().empty())
      start_fetcher();
    std::map<std::string, target_assignment> by_host;
    for (const auto& [host, agent] : agents)
      by_host[host];
    for (const auto& managed : manager->targets())
      if (pages)
        by_host[managed.target->host()].targets.push_back(managed);
    targets->Set(static_cast<double>(manager->targets().size()));
    if (config.publish) {
      std::vector<scrape_target_ptr> all;
      for (const auto& managed : manager->targets())
        all.push_back(managed.target);
      config.publish(std::move(all));
    }
    for (auto& [host, assignment] : by_host) {
      assignment.pages = pages;
      assignment.reader = reader;
      const bool idle = assignment.targets.empty() && host != local_host;
      caf::anon_send(agent_of(host, nullptr),
                     std::make_shared<const target_assignment>(std::move(assignment)));
      if (idle) {
        caf::anon_send(agents[host], stop_atom_v);
        agents.erase(host);
      }
    }
  }
};

namespace {

roster_actor::behavior_type roster(roster_actor::stateful_pointer<roster_state> self, roster_config config) {
  self->state.init(self, std::move(config));
  caf::delayed_anon_send(roster_actor{self}, tick_interval, tick_atom_v);
  return {
      [self](tick_atom) {
        auto& state = self->state;
        if (*state.stopping)
          return;
        caf::delayed_anon_send(roster_actor{self}, tick_interval, tick_atom_v);
        const auto before = state.manager->version();
        state.manager->refresh(state.config.clock->monotonic_ns());
        if (state.manager->version() != before)
          state.assign();
      },
      [self](const collect_settings_ptr& settings) {
        if (!*self->state.stopping)
          self->state.apply(*settings);
      },
      [self](stop_atom) { self->state.stop(); },
  };
}

} // namespace

roster_actor spawn_roster(caf::actor_system& system, roster_config config) {
  return system.spawn(roster, std::move(config));
}

} // namespace skerry::edge
