#include "cloud/ingest/ingest.hpp"

#include "actors/base/log_limiter.hpp"
#include "actors/base/mirrored_counters.hpp"
#include "actors/delivery/reception_metrics.hpp"
#include "cloud/ingest/ingest_core.hpp"
#include "cloud/ingest/push_core.hpp"
#include "cloud/ingest/shard.hpp"

#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include <optional>

namespace skerry::cloud {

namespace {

constexpr std::chrono::seconds tick_interval{1};
constexpr int ticks_per_presences = 10; // what is kept of how edges stand may lag this many seconds
constexpr std::string_view presence_prefix = "link/0/"; // of tenant 0

// The totals of all shards; they count on their own threads.
class shard_metrics {
public:
  explicit shard_metrics(prometheus::Registry& registry)
      : totals_(registry, "skerry_shard_"),
        hosts_(prometheus::BuildGauge()
                   .Name("skerry_ingest_hosts")
                   .Help("Hosts that are known, of at most ingest.hosts_max.")
                   .Register(registry)
                   .Add({})) {
    totals_.add(&plain::records, "records_total", "Records stored.");
    totals_.add(&plain::samples, "samples_total", "Samples stored.");
    totals_.add(&plain::duplicates, "duplicate_records_total", "Records that a shard had stored already.");
    totals_.add(&plain::malformed, "malformed_records_total",
                "Records that do not decode: in the ledger as corrupt.");
    totals_.add(&plain::ahead, "future_records_total",
                "Records further ahead than ingest.future_max: tombstones.");
    totals_.add(&plain::host_limit, "host_limit_records_total",
                "Records of hosts beyond ingest.hosts_max or ingest.site_hosts_max: tombstones.");
    totals_.add(&plain::refused, "refused_parts_total", "Parts that the store did not take.");
    totals_.add(&plain::doubted, "doubted_parts_total",
                "Parts that were not taken because they are ahead of a clock that most edges contradict.");
    auto& of_kind =
        prometheus::BuildCounter()
            .Name("skerry_shard_kind_records_total")
            .Help("Records stored, by kind; unknown: of a kind that this version keeps and cannot read.")
            .Register(registry);
    for (std::size_t row = 0; row < kind_policies.size(); ++row)
      of_kind_[row] = &of_kind.Add({{"kind", std::string{kind_policies[row].name}}});
  }
  void update(const shard_counters& from, const host_admission& places) {
    for (std::size_t row = 0; row < of_kind_.size(); ++row)
      of_kind_[row]->Increment(static_cast<double>(from.of_kind[row]) - of_kind_[row]->Value());
    totals_.update({from.records, from.samples, from.duplicate_records, from.malformed_records,
                    from.ahead_records, from.host_limit_records, from.refused_parts, from.doubted_parts});
    hosts_.Set(static_cast<double>(places.size()));
  }

private:
  struct plain {
    std::uint64_t records, samples, duplicates, malformed, ahead, host_limit, refused, doubted;
  };
  mirrored_counters<plain> totals_;
  std::array<prometheus::Counter*, kind_policies.size()> of_kind_{};
  prometheus::Gauge& hosts_;
};

} // namespace

struct ingest_state {
  ingest_actor::pointer self = nullptr;
  ingest_config config;
  std::optional<delivery::registry_authority> keys;
  std::optional<ingest_core> core;
  std::optional<push_core> pushed;
  std::optional<delivery::reception> reception;
  std::optional<delivery::reception_metrics> metrics;
  std::optional<shard_metrics> of_shards;
  prometheus::Gauge* clock_trusted = nullptr;
  log_limiter doubt_lines{1};
  delivery::presence_book book;
  std::shared_ptr<shard_counters> counters = std::make_shared<shard_counters>();
  std::vector<shard_actor> shards{shard_count};
  int ticks = 0;
  bool advancing = false; // a pass over the streams is under way, and a turn to come

  void init(ingest_actor::pointer owner, ingest_config c) {
    self = owner;
    config = std::move(c);
    keys.emplace(*config.registry);
    ingest_core::outputs outputs;
    const auto to_shard = [this](shard_id id, std::shared_ptr<shard_part> part) {
      self->send(shard(id), std::move(part));
    };
    outputs.to_shard = to_shard;
    outputs.release = [this](shard_id id, const stream_release_ptr& over) { self->send(shard(id), over); };
    outputs.held = [to = ingest_actor{self}](std::uint64_t ticket, std::string failed) {
      caf::anon_send(to, held_atom_v, ticket, std::move(failed));
    };
    outputs.send = config.send;
    outputs.clock = [trust = config.trust](edge_id user, std::int64_t wall_ns) {
      trust->heard(user, wall_ns);
    };
    outputs.streams = config.streams;
    core.emplace(config.receiver, config.store, config.store, *keys, *config.clock, *config.random,
                 std::move(outputs));
    pushed.emplace(config.store, *config.clock, *config.random, to_shard, config.streams);
    reception.emplace(core->receiver(), *config.registry, *config.clock, *config.random,
                      config.message_bytes_max, config.receiver.credit_bytes, config.send);
    metrics.emplace(*config.metrics, "skerry_ingest_");
    of_shards.emplace(*config.metrics);
    const auto read =
        config.store->scan_state(presence_prefix, [this](std::string_view, std::string_view value) {
          if (auto kept = delivery::presence_from_text(value))
            book.restore(std::move(*kept));
        });
    if (!read)
      spdlog::error("ingest: how edges stood cannot be read: {}", read.error().message);
    clock_trusted =
        &prometheus::BuildGauge()
             .Name("skerry_ingest_clock_trusted")
             .Help("0 while most edges say that this node's clock is behind: what is ahead of it is "
                   "not taken then.")
             .Register(*config.metrics)
             .Add({});
  }

  shard_actor& shard(shard_id id) {
    if (!shards[id]) {
      shard_config settings;
      settings.id = id;
      settings.store = config.store;
      settings.state = config.store;
      settings.places = config.places;
      settings.subscribers = config.subscribers;
      settings.counters = counters;
      settings.clock_owner = config.held;
      settings.clock = config.held.get();
      settings.trust = config.trust;
      settings.future_max = config.future_max;
      shards[id] = spawn_shard(self->system(), std::move(settings));
    }
    return shards[id];
  }

  // In one transaction with what else is kept then, whatever has happened since the last time.
  void keep_presences(bool every_time) {
    std::vector<state_update> updates;
    for (const auto& one : book.take_changes(every_time))
      updates.push_back({std::string{presence_prefix} + to_string(one.edge), delivery::to_text(one)});
    core->put_quietly(std::move(updates));
  }

  // Some of what waits; true: there is more.
  bool take_turn() {
    const bool more = reception->take_some();
    advancing = advancing && core->advance_completeness();
    return more || advancing;
  }

  void tick() {
    const bool turn_comes = advancing;
    advancing = core->advance_completeness();
    if (advancing && !turn_comes)
      self->send(self, turn_atom_v);
    auto edges = core->receiver().edges();
    book.update(edges, config.clock->wall_ns());
    metrics->update(core->receiver(), *reception, book.all());
    of_shards->update(*counters, *config.places);
    const auto doubt = doubt_of(config.trust->judge());
    clock_trusted->Set(doubt.empty() ? 1 : 0);
    if (!doubt.empty() && doubt_lines.allow())
      spdlog::error("ingest: {}", doubt);
    config.publish(std::move(edges), book.all());
    if (++ticks % ticks_per_presences == 0)
      keep_presences(false);
    else if (ticks == 1) // for a node that is killed soon
      core->put_quietly({config.held->note()});
  }
};

namespace {

ingest_actor::behavior_type ingest(ingest_actor::stateful_pointer<ingest_state> self, ingest_config config) {
  self->state.init(self, std::move(config));
  caf::anon_send(ingest_actor{self}, tick_atom_v); // what was kept is shown at once
  return {
      [self](inbound_ptr& inbound) {
        if (self->state.reception->arrived({std::move(inbound->from), std::move(inbound->user_id),
                                            std::move(inbound->parts), std::move(inbound->share)}))
          self->send(self, turn_atom_v);
      },
      [self](stored_atom, std::uint64_t ticket, const std::string& failed) {
        if (push_core::owns(ticket))
          self->state.pushed->on_part_stored(ticket, failed);
        else
          self->state.core->on_part_stored(ticket, failed);
      },
      [self](held_atom, std::uint64_t ticket, const std::string& failed) {
        self->state.core->receiver().on_held_durable(ticket, failed);
      },
      [self](down_atom, const std::string& peer, const std::string& user_id) {
        if (self->state.reception->arrived({peer, user_id, {}, {}, true}))
          self->send(self, turn_atom_v);
      },
      [self](turn_atom) {
        if (self->state.take_turn())
          self->send(self, turn_atom_v);
      },
      [self](revoked_atom, std::uint64_t edge) { self->state.core->receiver().on_revoked(edge_id{edge}); },
      [self](tick_atom) {
        caf::delayed_anon_send(ingest_actor{self}, tick_interval, tick_atom_v);
        self->state.tick();
      },
      [self](released_atom, std::uint64_t shard, const stream_release_ptr& over, bool dropped) {
        self->state.core->on_released(static_cast<shard_id>(shard), over, dropped);
      },
      [self](push_job_ptr& job) { self->state.pushed->take(std::move(*job)); },
      [self](stop_atom) {
        auto& state = self->state;
        state.pushed->refuse_all("the node is stopping");
        state.book.update(state.core->receiver().edges(), state.config.clock->wall_ns());
        state.keep_presences(true);
        state.core->receiver().say_bye();
        for (auto& shard : state.shards)
          if (shard)
            caf::anon_send(shard, stop_atom_v);
        state.shards.clear();
        self->quit();
      },
  };
}

} // namespace

ingest_actor spawn_ingest(caf::actor_system& system, ingest_config config) {
  return system.spawn<caf::detached>(ingest, std::move(config));
}

} // namespace skerry::cloud
