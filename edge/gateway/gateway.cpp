#include "edge/gateway/gateway.hpp"

#include "actors/base/mirrored_counters.hpp"
#include "edge/gateway/gateway_core.hpp"

#include <fmt/format.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include <deque>
#include <fstream>
#include <optional>

namespace skerry::edge {

namespace {

constexpr std::chrono::seconds repair_interval{10};
constexpr std::chrono::seconds retry_interval{1};
constexpr std::size_t adopt_bytes_max = 4 << 20; // of runs in one transaction

} // namespace

result<void> gateway_settings::validate() const {
  if (commit_interval < std::chrono::milliseconds{1} || commit_interval > std::chrono::seconds{1})
    return fail(errc::invalid_argument, "spool.commit_interval must lie between 1ms and 1s");
  return limits.validate();
}

struct gateway_state {
  std::shared_ptr<gateway_inbox> inbox;
  uplink_actor uplink;
  std::optional<gateway_core> core;
  std::optional<mirrored_counters<gateway_counters>> totals;
  bool commit_due = false;
  std::function<void(const std::string&)> publish;
  std::string published; // last
  std::ofstream journal;
  struct waiting_job {
    job_ptr job;
    listener_actor from; // none: nobody waits
  };
  std::deque<waiting_job> jobs;

  void init(gateway_config config, uplink_actor to) {
    inbox = std::move(config.inbox);
    publish = std::move(config.publish);
    uplink = std::move(to);
    gateway_core::outputs outputs;
    if (!config.journal.empty()) {
      journal.open(config.journal, std::ios::app);
      outputs.committed = [this](const run_header& header) { note(header); };
    }
    outputs.hand_over = [this](delivery::committed_runs runs) {
      caf::anon_send(uplink, std::make_shared<const delivery::committed_runs>(std::move(runs)));
    };
    totals.emplace(*config.metrics, "skerry_gateway_");
    totals->add(&gateway_counters::samples, "samples_committed_total",
                "Samples that were committed to the spool.");
    totals->add(&gateway_counters::dropped, "samples_dropped_total",
                "Samples that were never numbered because the spool took nothing for too long; their time "
                "range is reported as not collected.");
    totals->add(&gateway_counters::alerts, "alerts_committed_total",
                "Records of the alert stream that were committed to the spool.");
    totals->add(&gateway_counters::alerts_refused, "alerts_refused_total",
                "Records of the alert stream that were not taken because too many waited for the spool.");
    totals->add(&gateway_counters::commit_failures, "commit_failures_total",
                "Commits that the spool refused; they are tried again.");
    totals->add(&gateway_counters::dropped_records, "records_dropped_total",
                "Records that the spool's limits forced out: in the loss ledger.");
    totals->add(&gateway_counters::thinned_records, "records_thinned_total",
                "Records that were thinned out of the spool: in the loss ledger.");
    totals->add(&gateway_counters::lost_samples, "samples_forced_out_total",
                "Samples in records that were dropped or thinned out.");
    core.emplace(gateway_core_config{.commit_interval = config.commit_interval,
                                     .group_bytes_max = config.group_bytes_max,
                                     .queue_bytes_max = config.queue_bytes_max,
                                     .limits = config.limits,
                                     .under_way = config.under_way,
                                     .free_disk = config.free_disk},
                 std::move(config.store), *config.clock, std::move(outputs));
  }

  // Those that have come, as one transaction holds. True: there are more.
  bool adopt() {
    std::vector<const delivery::delivery_job*> group;
    std::size_t bytes = 0;
    for (const auto& one : jobs) {
      bytes += one.job->from.bytes.view.size();
      if (!group.empty() && bytes > adopt_bytes_max)
        break;
      group.push_back(one.job.get());
    }
    auto failed = core->adopt(group);
    for (auto& why : failed) {
      if (jobs.front().from)
        caf::anon_send(jobs.front().from, stored_atom_v, jobs.front().job->ticket, std::move(why));
      jobs.pop_front();
    }
    return !jobs.empty();
  }

  void take_inbox() {
    for (auto& from : inbox->take())
      core->take(std::move(from));
    const auto overflow = inbox->take_overflow();
    core->note_alerts_refused(overflow.alerts);
    if (overflow.to_ns != 0)
      core->note_dropped(overflow.samples, overflow.from_ns, overflow.to_ns);
  }

  void publish_refusal() {
    if (!publish || core->refusal() == published)
      return;
    published = core->refusal();
    publish(published);
  }

  void note(const run_header& header) {
    if (journal.is_open())
      journal << fmt::format("{} {} {} {} {}\n", to_string(header.key.edge), to_string(header.key.epoch),
                             to_string(header.key.stream), header.first, header.last())
              << std::flush;
  }
};

namespace {

gateway_actor::behavior_type gateway(gateway_actor::stateful_pointer<gateway_state> self,
                                     gateway_config config, uplink_actor uplink) {
  self->state.init(std::move(config), std::move(uplink));
  auto arm = [self](std::chrono::milliseconds after) {
    if (!self->state.commit_due) {
      self->state.commit_due = true;
      caf::delayed_anon_send(caf::actor_cast<gateway_actor>(self), after, commit_atom_v);
    }
  };
  caf::anon_send(self->state.uplink, gateway_atom_v, caf::actor_cast<caf::strong_actor_ptr>(self));
  self->state.core->open();
  arm(std::chrono::milliseconds{0});
  caf::delayed_anon_send(caf::actor_cast<gateway_actor>(self), std::chrono::milliseconds{0}, tick_atom_v);
  return {
      [self](tick_atom) {
        caf::delayed_anon_send(caf::actor_cast<gateway_actor>(self), repair_interval, tick_atom_v);
        self->state.core->replace_lost();
        self->state.core->enforce_limits();
      },
      [self, arm](commit_atom) {
        auto& state = self->state;
        state.commit_due = false;
        state.take_inbox();
        if (!state.core->commit())
          arm(retry_interval);
        state.publish_refusal();
        state.totals->update(state.core->counters());
      },
      [self](job_ptr& job) {
        if (self->state.jobs.empty())
          self->send(caf::actor_cast<gateway_actor>(self), turn_atom_v);
        self->state.jobs.push_back({std::move(job), caf::actor_cast<listener_actor>(self->current_sender())});
      },
      [self](turn_atom) {
        if (self->state.adopt())
          self->send(caf::actor_cast<gateway_actor>(self), turn_atom_v);
      },
      [self](const release_ptr& release) { self->state.core->release(release->key, release->ranges); },
      [self](stop_atom) {
        auto& state = self->state;
        state.take_inbox();
        state.core->close();
        state.totals->update(state.core->counters());
        self->quit();
      },
  };
}

} // namespace

gateway_actor spawn_gateway(caf::actor_system& system, gateway_config config, uplink_actor uplink) {
  if (!config.detached)
    return system.spawn(gateway, std::move(config), std::move(uplink));
  return system.spawn<caf::detached>(gateway, std::move(config), std::move(uplink));
}

} // namespace skerry::edge
