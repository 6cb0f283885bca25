#include "edge/gateway/gateway.hpp"

#include "actors/delivery/receiver.hpp"
#include "actors/delivery/sender.hpp"
#include "edge/collect/source.hpp"
#include "edge/gateway/opening_records.hpp"
#include "schemas/model/payload.hpp"

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <deque>
#include <fstream>

namespace skerry::edge {

namespace {

constexpr std::uint64_t group_bytes_refused = 32 << 10;
constexpr std::chrono::seconds repair_interval{10};

std::uint64_t size_of(const collection& c) noexcept {
  std::uint64_t bytes = 0;
  for (const auto& record : c.records)
    bytes += record_header_bytes + record.host.size() + record.payload.size();
  return bytes;
}

} // namespace

result<void> gateway_config::validate() const {
  if (commit_interval < std::chrono::milliseconds{1} || commit_interval > std::chrono::seconds{1})
    return fail(errc::invalid_argument, "spool.commit_interval must lie between 1ms and 1s");
  return ok();
}

struct gateway_state {
  gateway_config config;
  uplink_actor uplink;
  std::deque<collection> queue;
  std::uint64_t queue_bytes = 0;
  bool commit_due = false;
  bool refused = false; // the last commit failed
  std::string refusal;  // and why, as logged
  // What was dropped because the spool took nothing: told with the first commit that works again.
  std::int64_t dropped_from_ns = 0;
  std::int64_t dropped_to_ns = 0;
  std::int64_t wall_offset_ns = 0; // as the last clock note said
  std::ofstream journal;
  prometheus::Counter* samples = nullptr;
  prometheus::Counter* dropped = nullptr;
  prometheus::Counter* commit_failures = nullptr;

  void init(gateway_config c, uplink_actor u) {
    config = std::move(c);
    uplink = std::move(u);
    if (!config.journal.empty())
      journal.open(config.journal, std::ios::app);
    auto& registry = *config.metrics;
    samples = &prometheus::BuildCounter()
                   .Name("skerry_gateway_samples_committed_total")
                   .Help("Samples that were committed to the spool.")
                   .Register(registry)
                   .Add({});
    dropped =
        &prometheus::BuildCounter()
             .Name("skerry_gateway_samples_dropped_total")
             .Help("Samples that were never numbered because the spool took nothing for too long; their time "
                   "range is reported as not collected.")
             .Register(registry)
             .Add({});
    commit_failures = &prometheus::BuildCounter()
                           .Name("skerry_gateway_commit_failures_total")
                           .Help("Commits that the spool refused; they are tried again.")
                           .Register(registry)
                           .Add({});
  }

  void hand_over(std::vector<run> runs, link::lane lane = link::lane::live) {
    caf::anon_send(uplink, std::make_shared<const delivery::committed_runs>(
                               delivery::committed_runs{std::move(runs), lane}));
  }

  void note_dropped(std::uint64_t samples_lost, std::int64_t from_ns, std::int64_t to_ns) {
    dropped_from_ns = dropped_from_ns == 0 ? from_ns : std::min(dropped_from_ns, from_ns);
    dropped_to_ns = std::max(dropped_to_ns, to_ns);
    dropped->Increment(static_cast<double>(samples_lost));
  }

  void take_inbox() {
    auto waiting = config.inbox->take();
    for (auto& from : waiting)
      take(std::move(from));
    const auto overflow = config.inbox->take_overflow();
    if (overflow.to_ns != 0)
      note_dropped(overflow.samples, overflow.from_ns, overflow.to_ns);
  }

  void take(collection from) {
    queue_bytes += size_of(from);
    queue.push_back(std::move(from));
    while (queue_bytes > config.queue_bytes_max && queue.size() > 1) {
      // What tells of this opening and of losses is small and is never dropped.
      const auto oldest =
          std::find_if(queue.begin(), queue.end(), [](const auto& c) { return c.samples != 0; });
      if (oldest == queue.end())
        return;
      for (const auto& record : oldest->records)
        note_dropped(0, record.time_ns, record.time_ns);
      dropped->Increment(static_cast<double>(oldest->samples));
      queue_bytes -= size_of(*oldest);
      queue.erase(oldest);
    }
  }

  // Commits as much of the queue as fits one group. False: the spool took nothing.
  bool commit_group() {
    std::vector<pending_record> records;
    std::vector<series_set_ptr> sets;
    std::uint64_t bytes = 0, group_samples = 0;
    if (auto note = clock_note_if_moved(*config.clock, wall_offset_ns))
      records.push_back(std::move(*note));
    if (dropped_to_ns != 0)
      records.push_back(not_collected_record(dropped_from_ns, dropped_to_ns, loss_cause::spool_disk,
                                             "the spool had no room and took nothing"));
    const auto extra = records.size();
    std::size_t taken = 0;
    // Where the spool refused, little goes at a time: the reserve lets small commits through.
    const auto bytes_max = refused ? group_bytes_refused : config.group_bytes_max;
    while (taken < queue.size() && (taken == 0 || bytes < bytes_max)
           && records.size() + queue[taken].records.size() <= run_records_max) {
      auto& c = queue[taken++];
      bytes += size_of(c);
      group_samples += c.samples;
      std::move(c.records.begin(), c.records.end(), std::back_inserter(records));
      sets.insert(sets.end(), c.sets.begin(), c.sets.end());
    }
    std::sort(sets.begin(), sets.end());
    sets.erase(std::unique(sets.begin(), sets.end()), sets.end());
    auto committed = config.store->commit(stream_id::telemetry, records, sets);
    if (!committed) {
      commit_failures->Increment();
      refused = true;
      // The records go back to where they came from, for the next try.
      auto from = records.begin() + static_cast<std::ptrdiff_t>(extra);
      for (std::size_t i = 0; i < taken; ++i)
        for (auto& record : queue[i].records)
          record = std::move(*from++);
      const auto before = std::exchange(refusal, committed.error().message);
      if (before != refusal)
        spdlog::error("gateway: nothing was committed, {} collections wait in memory and are tried again: {}",
                      queue.size(), refusal);
      return false;
    }
    dropped_from_ns = dropped_to_ns = 0;
    if (!std::exchange(refusal, {}).empty())
      spdlog::info("gateway: the spool takes records again");
    refused = !queue.empty() && refused && taken < queue.size();
    samples->Increment(static_cast<double>(group_samples));
    queue.erase(queue.begin(), queue.begin() + static_cast<std::ptrdiff_t>(taken));
    queue_bytes = 0;
    for (const auto& c : queue)
      queue_bytes += size_of(c);
    note(committed.value().header);
    std::vector<run> runs;
    runs.push_back(std::move(committed).value());
    hand_over(std::move(runs));
    return true;
  }

  // What damage took from the spool is named upstream: a tombstone over the same sequences, which the spool keeps and
  // delivers like data.
  void replace_lost() {
    for (const auto& stream : config.store->streams()) {
      for (const auto& range : stream.lost.ranges()) {
        tombstone stone;
        stone.last = range.last;
        // It happened between the records around it, where those are still here.
        stone.from_ns = time_of(stream, range.first - 1).value_or(0);
        stone.to_ns = time_of(stream, range.last + 1).value_or(config.clock->wall_ns());
        stone.cause = loss_cause::corrupt;
        byte_buffer payload;
        encode_payload(stone, payload);
        run_builder builder{stream.key, range.first};
        builder.append(record_kind::tombstone, stone.to_ns, {}, payload, range.last - range.first + 1);
        std::vector<run> runs;
        runs.push_back(std::move(builder).finish());
        if (const auto adopted = config.store->adopt(runs, {}); !adopted) {
          spdlog::error("gateway: records {} to {} of {} are lost, and that cannot be noted yet: {}",
                        range.first, range.last, to_string(stream.key), adopted.error().message);
          return;
        }
        spdlog::warn("gateway: records {} to {} of {} were damaged on disk: a tombstone stands for them",
                     range.first, range.last, to_string(stream.key));
        hand_over(std::move(runs));
      }
    }
  }

  std::optional<std::int64_t> time_of(const stream_state& stream, sequence seq) {
    if (!stream.held.contains(seq))
      return std::nullopt;
    const auto read = config.store->read(stream.key, seq, 1);
    if (!read || !read.value() || read.value()->header.first != seq)
      return std::nullopt;
    const auto record = decode_record(read.value()->records());
    return record ? std::optional{record.value().time_ns} : std::nullopt;
  }

  void note(const run_header& header) {
    if (journal.is_open())
      journal << fmt::format("{} {} {} {} {}\n", to_string(header.key.edge), to_string(header.key.epoch),
                             to_string(header.key.stream), header.first, header.last())
              << std::flush;
  }

  std::string adopt(const delivery::delivery_job& job) {
    std::vector<spool::adopted_set> sets;
    for (const auto& set : job.sets)
      sets.push_back({job.from.header.key.edge, set});
    const std::vector<run> runs{job.from};
    if (const auto adopted = config.store->adopt(runs, sets); !adopted)
      return adopted.error().message.empty() ? "the spool refused" : adopted.error().message;
    hand_over(runs, job.lane);
    return {};
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
  // What this opening found goes first: clock, and what was not collected while the node was off.
  collection opening;
  opening.records = opening_records(self->state.config.store->report(), *self->state.config.clock,
                                    self->state.config.commit_interval, self->state.wall_offset_ns);
  self->state.take(std::move(opening));
  arm(std::chrono::milliseconds{0});
  caf::delayed_anon_send(caf::actor_cast<gateway_actor>(self), std::chrono::milliseconds{0}, tick_atom_v);
  return {
      [self](tick_atom) {
        caf::delayed_anon_send(caf::actor_cast<gateway_actor>(self), repair_interval, tick_atom_v);
        self->state.replace_lost();
      },
      [self, arm](commit_atom) {
        auto& state = self->state;
        state.commit_due = false;
        state.take_inbox();
        while (!state.queue.empty()) {
          if (!state.commit_group()) {
            arm(std::chrono::seconds{1});
            return;
          }
        }
      },
      [self](job_ptr& job) {
        auto failed = self->state.adopt(*job);
        if (auto to = caf::actor_cast<listener_actor>(self->current_sender()))
          caf::anon_send(to, stored_atom_v, job->ticket, std::move(failed));
      },
      [self](const release_ptr& release) {
        if (const auto done = self->state.config.store->release(release->key, release->ranges); !done)
          spdlog::error("gateway: a release was not recorded: {}", done.error().message);
      },
      [self](stop_atom) {
        auto& state = self->state;
        state.take_inbox();
        while (!state.queue.empty() && state.commit_group()) {
        }
        if (const auto closed = state.config.store->close(); !closed)
          spdlog::error("gateway: the spool did not close in order: {}", closed.error().message);
        state.config.store.reset();
        self->quit();
      },
  };
}

} // namespace

gateway_actor spawn_gateway(caf::actor_system& system, gateway_config config, uplink_actor uplink) {
  return system.spawn<caf::detached>(gateway, std::move(config), std::move(uplink));
}

} // namespace skerry::edge
