#include "cloud/ingest/ingest.hpp"

#include "actors/delivery/reception_metrics.hpp"
#include "actors/link/registry.hpp"
#include "actors/node/mirrored_counters.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <map>
#include <optional>
#include <set>
#include <unordered_map>

namespace skerry::cloud {

namespace {

constexpr std::chrono::seconds tick_interval{1};
constexpr std::string_view held_prefix = "held/0/"; // of tenant 0
constexpr int ticks_per_host_state = 10; // watermarks that survive a restart may lag this many seconds
constexpr int ticks_per_cleaning = 600;

// "held/<tenant>/<edge>/<boot counter>/<random>/<stream>", as text that sorts by edge.
std::string held_key(const stream_key& key) {
  return fmt::format("{}{}/{}/{:02x}/{}", held_prefix, to_string(key.edge), key.epoch.boot_counter,
                     fmt::join(key.epoch.random, ""), static_cast<unsigned>(key.stream));
}

std::optional<stream_key> parse_held_key(std::string_view text) {
  stream_key key;
  text.remove_prefix(held_prefix.size());
  const auto next = [&text]() {
    const auto end = text.find('/');
    const auto part = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    return std::string{part};
  };
  const auto edge = parse_edge_id(next());
  const auto counter = next();
  const auto random = next();
  const auto stream = next();
  if (!edge || random.size() != 32 || stream.size() != 1)
    return std::nullopt;
  key.edge = edge.value();
  key.epoch.boot_counter = std::strtoull(counter.c_str(), nullptr, 10);
  for (std::size_t i = 0; i < 16; ++i)
    key.epoch.random[i] =
        static_cast<std::uint8_t>(std::strtoul(random.substr(2 * i, 2).c_str(), nullptr, 16));
  key.stream = stream_id{static_cast<std::uint8_t>(stream[0] - '0')};
  return key;
}

// Its value: the newest event time, then the ranges.
void encode_held(const delivery::held_stream& from, byte_buffer& out) {
  byte_writer{out}.fixed(from.newest_ns);
  encode_ranges(from.ranges, out);
}

std::optional<delivery::held_stream> decode_held(bytes_view from) {
  delivery::held_stream held;
  if (from.size() < sizeof held.newest_ns)
    return std::nullopt;
  held.newest_ns = byte_reader{from}.fixed<std::int64_t>();
  auto ranges = decode_ranges(from.subspan(sizeof held.newest_ns));
  if (!ranges)
    return std::nullopt;
  held.ranges = std::move(ranges).value();
  return held;
}

// The totals of all shards; they count on their own threads.
class shard_metrics {
public:
  explicit shard_metrics(prometheus::Registry& registry) : totals_(registry, "skerry_shard_") {
    totals_.add(&plain::records, "records_total", "Records handed to the store.");
    totals_.add(&plain::samples, "samples_total", "Samples handed to the store.");
    totals_.add(&plain::duplicates, "duplicate_records_total", "Records that a shard had stored already.");
    totals_.add(&plain::malformed, "malformed_records_total",
                "Records that do not decode: in the ledger as corrupt.");
    totals_.add(&plain::ahead, "future_records_total",
                "Records further ahead than ingest.future_max: tombstones.");
    totals_.add(&plain::refused, "refused_parts_total", "Parts that the store did not take.");
  }
  void update(const shard_counters& from) {
    totals_.update({from.records, from.samples, from.duplicate_records, from.malformed_records,
                    from.ahead_records, from.refused_parts});
  }

private:
  struct plain {
    std::uint64_t records, samples, duplicates, malformed, ahead, refused;
  };
  mirrored_counters<plain> totals_;
};

} // namespace

struct ingest_state : delivery::receiver_backend {
  listener_actor::pointer self = nullptr;
  ingest_config config;
  std::optional<delivery::receiver> receiver;
  std::optional<delivery::reception> reception;
  std::optional<delivery::reception_metrics> metrics;
  std::optional<shard_metrics> of_shards;
  std::shared_ptr<shard_counters> counters = std::make_shared<shard_counters>();
  std::vector<shard_actor> shards{shard_count};
  struct open_job {
    stream_key key;
    std::size_t parts = 0; // not answered yet
    std::string failed;
  };
  std::unordered_map<std::uint64_t, open_job> jobs; // by ticket
  std::map<stream_key, std::set<shard_id>>
      open_streams; // held, and more may come; which shards keep some of it
  int ticks = 0;

  void init(listener_actor::pointer owner, ingest_config c) {
    self = owner;
    config = std::move(c);
    receiver.emplace(config.receiver, *config.clock, *config.random, *this);
    reception.emplace(
        *receiver, *config.registry, *config.clock, *config.random, config.message_bytes_max,
        [this](const link::peer_id& to, link::message message) { send(to, std::move(message)); });
    metrics.emplace(*config.metrics, "skerry_ingest_");
    of_shards.emplace(*config.metrics);
    std::map<std::string, stream_key, std::less<>> names;
    auto restored = config.store->scan_state(held_prefix, [&](std::string_view key, std::string_view value) {
      const auto name = parse_held_key(key);
      auto held = decode_held(as_bytes(value));
      if (!name || !held) {
        spdlog::error("ingest: what is held under '{}' does not decode and is ignored", key);
        return;
      }
      open_streams[*name];
      names.emplace(to_string(*name), *name);
      receiver->restore_held(*name, std::move(*held));
    });
    if (restored) {
      const auto prefix = shard_state_prefix();
      restored = config.store->scan_state(prefix, [&](std::string_view key, std::string_view) {
        key.remove_prefix(prefix.size());
        const auto slash = key.find('/');
        if (const auto it = names.find(key.substr(slash + 1));
            slash != std::string_view::npos && it != names.end())
          open_streams[it->second].insert(
              static_cast<shard_id>(std::strtoul(std::string{key.substr(0, slash)}.c_str(), nullptr, 10)));
      });
    }
    if (!restored)
      spdlog::error("ingest: what is held cannot be listed: {}", restored.error().message);
  }

  // receiver_backend
  std::optional<std::string> site_of(edge_id edge) override {
    if (!config.registry->may_speak(edge, edge))
      return std::nullopt;
    auto site = config.registry->site_of(edge);
    return site ? std::optional{std::move(site).value()} : std::nullopt;
  }
  bool may_speak(edge_id user, edge_id origin) override { return config.registry->may_speak(user, origin); }
  bool register_origin(edge_id user, edge_id origin) override {
    if (config.registry->may_speak(user, origin))
      return true;
    const auto done = config.registry->register_origin(user, origin, config.clock->wall_ns() / 1'000'000'000);
    if (!done)
      spdlog::warn("ingest: edge {} may not speak for {}: {}", to_string(user), to_string(origin),
                   done.error().message);
    return done.has_value();
  }
  std::optional<std::size_t> series_in_set(edge_id edge, const set_hash& hash) override {
    return config.store->series_in_set(edge, hash);
  }
  void send(const link::peer_id& to, link::message message) override { config.send(to, std::move(message)); }

  void store(delivery::delivery_job job) override {
    std::map<shard_id, shard_part_ptr> parts;
    const auto& key = job.from.header.key;
    const auto* held = receiver->held().held(key);
    for (const auto& record : job.records) {
      const auto id = shard_of(make_host_id(tenant_default, job.site, record.host));
      auto& part = parts[id];
      if (!part) {
        part = std::make_shared<shard_part>();
        part->ticket = job.ticket;
        part->site = job.site;
        part->from = job.from;
        part->ranges = job.ranges;
        part->held_through = held != nullptr ? held->contiguous_through() : 0;
        part->sets = job.sets;
      }
      part->records.push_back(record);
    }
    jobs[job.ticket] = {key, parts.size(), {}};
    auto& holders = open_streams[key];
    for (const auto& [id, part] : parts)
      holders.insert(id);
    for (auto& [id, part] : parts) {
      if (!shards[id]) {
        shard_config shard_settings;
        shard_settings.id = id;
        shard_settings.store = config.store;
        shard_settings.hosts = config.hosts;
        shard_settings.counters = counters;
        shard_settings.clock = config.clock;
        shard_settings.future_max = config.future_max;
        shards[id] = spawn_shard(self->system(), std::move(shard_settings));
      }
      self->send(shards[id], std::move(part));
    }
  }

  void keep_held(std::uint64_t ticket, const stream_key& key, const delivery::held_stream& held) override {
    byte_buffer value;
    encode_held(held, value);
    config.store->put_state({{held_key(key), std::string{as_text(value)}}}, [to = listener_actor{self},
                                                                             ticket](result<void> done) {
      caf::anon_send(to, held_atom_v, ticket, done ? std::string{} : done.error().message);
    });
  }

  void on_part_stored(std::uint64_t ticket, const std::string& failed) {
    const auto it = jobs.find(ticket);
    if (it == jobs.end())
      return;
    auto& job = it->second;
    if (!failed.empty())
      job.failed = failed;
    if (--job.parts > 0)
      return;
    const auto done = std::move(job);
    jobs.erase(it);
    receiver->on_stored(ticket, done.failed);
  }

  void forget(const stream_key& key) override {
    const auto it = open_streams.find(key);
    auto updates = it == open_streams.end() ? std::vector<state_update>{} : release_shards(key, it->second);
    if (it != open_streams.end())
      open_streams.erase(it);
    updates.push_back({held_key(key), {}});
    put_quietly(std::move(updates));
  }

  // Shards need not know which parts of a stream they have once nothing of it can come again. Gives what they kept.
  std::vector<state_update> release_shards(const stream_key& key, const std::set<shard_id>& holders) {
    std::vector<state_update> updates;
    const auto shared = std::make_shared<const stream_key>(key);
    for (const auto id : holders) {
      updates.push_back({shard_state_key(id, key), {}});
      if (shards[id])
        self->send(shards[id], shared);
    }
    return updates;
  }

  void put_quietly(std::vector<state_update> updates) {
    if (updates.empty())
      return;
    config.store->put_state(std::move(updates), [](result<void> done) {
      if (!done)
        spdlog::warn("ingest: what is known of hosts and streams was not kept: {}", done.error().message);
    });
  }

  // The complete watermark moves as holes are filled: looked at once a tick, for streams that can still change.
  void advance_completeness() {
    const auto& holdings = receiver->held();
    std::vector<state_update> updates;
    auto edge = edge_id::none;
    std::map<stream_id, std::uint64_t> incomplete; // of the edge at hand: its oldest epoch with holes
    for (auto it = open_streams.begin(); it != open_streams.end();) {
      const auto& [key, holders] = *it;
      if (edge != key.edge)
        incomplete.clear();
      edge = key.edge;
      auto [oldest, missing] = incomplete.try_emplace(key.stream);
      if (missing)
        oldest->second = holdings.first_incomplete(key.edge, key.stream);
      const auto* held = holdings.held(key);
      const bool quiet =
          held == nullptr
          || config.hosts->on_held(key, held->contiguous_through(), key.epoch.boot_counter <= oldest->second);
      if (quiet && holdings.complete(key)) {
        auto done = release_shards(key, holders);
        std::move(done.begin(), done.end(), std::back_inserter(updates));
        it = open_streams.erase(it);
      } else {
        ++it;
      }
    }
    put_quietly(std::move(updates));
  }

  void tick() {
    advance_completeness();
    auto edges = receiver->edges();
    metrics->update(*receiver, *reception, edges);
    of_shards->update(*counters);
    config.board->publish(std::move(edges));
    if (++ticks % ticks_per_cleaning == 0 && config.retention.count() > 0)
      config.hosts->forget_before(config.clock->wall_ns() - config.retention.count());
    if (ticks % ticks_per_host_state == 0)
      keep_host_state();
  }

  void keep_host_state() {
    std::vector<state_update> updates;
    for (auto& [key, value] : config.hosts->take_changes())
      updates.push_back({std::move(key), std::move(value)});
    put_quietly(std::move(updates));
  }
};

namespace {

listener_actor::behavior_type ingest(listener_actor::stateful_pointer<ingest_state> self,
                                     ingest_config config) {
  self->state.init(self, std::move(config));
  caf::delayed_anon_send(listener_actor{self}, tick_interval, tick_atom_v);
  return {
      [self](inbound_ptr& inbound) {
        self->state.reception->on_message(inbound->from, inbound->user_id, inbound->parts);
      },
      [self](stored_atom, std::uint64_t ticket, const std::string& failed) {
        self->state.on_part_stored(ticket, failed);
      },
      [self](held_atom, std::uint64_t ticket, const std::string& failed) {
        self->state.receiver->on_held_durable(ticket, failed);
      },
      [self](revoked_atom, std::uint64_t edge) { self->state.receiver->on_revoked(edge_id{edge}); },
      [self](tick_atom) {
        caf::delayed_anon_send(listener_actor{self}, tick_interval, tick_atom_v);
        self->state.tick();
      },
      [self](stop_atom) {
        auto& state = self->state;
        state.receiver->say_bye();
        state.keep_host_state();
        for (auto& shard : state.shards)
          if (shard)
            caf::anon_send(shard, stop_atom_v);
        state.shards.clear();
        self->quit();
      },
  };
}

} // namespace

listener_actor spawn_ingest(caf::actor_system& system, ingest_config config) {
  return system.spawn(ingest, std::move(config));
}

} // namespace skerry::cloud
