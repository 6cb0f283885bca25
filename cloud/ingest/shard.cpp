#include "cloud/ingest/shard.hpp"

#include "schemas/model/frame.hpp"
#include "schemas/model/payload.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <deque>
#include <optional>
#include <unordered_map>

namespace skerry::cloud {

namespace {

std::string state_prefix(shard_id id) { return fmt::format("{}{:04}/", shard_state_prefix(), id); }

} // namespace

std::string shard_state_prefix() { return fmt::format("shard/{}/", tenant_default); }

std::string shard_state_key(shard_id shard, const stream_key& stream) {
  return state_prefix(shard) + to_string(stream);
}

struct shard_state {
  shard_config config;
  shard_actor self;
  value_decoder decoder;
  frame scratch;
  struct queued_part {
    shard_part_ptr part;
    caf::strong_actor_ptr listener;
  };
  // Of one stream: what is stored, and the parts that wait. One append at a time, because each writes the ranges
  // that are stored with it: a later one must not speak for an earlier one that fails.
  struct stream_state {
    range_set stored;
    std::deque<queued_part> queue; // the front is being appended
  };
  std::unordered_map<std::string, stream_state> streams;  // by state key
  std::unordered_map<std::uint64_t, std::string> waiting; // state key by ticket of what is being appended

  void init(shard_config c) {
    config = std::move(c);
    const auto scanned =
        config.store->scan_state(state_prefix(config.id), [&](std::string_view key, std::string_view value) {
          if (auto ranges = decode_ranges(as_bytes(value)))
            streams[std::string{key}].stored = std::move(ranges).value();
        });
    if (!scanned)
      spdlog::error("shard {}: what it stores cannot be listed: {}", config.id, scanned.error().message);
  }

  // Puts a tombstone in the record's place: its sequence stays explained.
  static record_view replace(const record_view& record, const stream_key& key, loss_cause cause,
                             std::vector<std::shared_ptr<byte_buffer>>& kept) {
    tombstone stone;
    stone.last = record.seq;
    stone.from_ns = stone.to_ns = record.time_ns;
    stone.bytes = record.bytes.size();
    stone.cause = cause;
    byte_buffer payload;
    encode_payload(stone, payload);
    auto bytes = std::make_shared<byte_buffer>();
    encode_record(record_kind::tombstone, key, record.seq, record.time_ns, record.host, payload, *bytes);
    kept.push_back(bytes);
    return decode_record(*bytes).value(); // it was just encoded
  }

  // What to store of one record, or why it is replaced by a tombstone.
  [[nodiscard]] std::optional<loss_cause> check(const record_view& record, std::int64_t latest_ns) {
    if (record.time_ns > latest_ns) {
      ++config.counters->ahead_records;
      return loss_cause::clock_ahead;
    }
    if (record.kind != record_kind::frame)
      return std::nullopt;
    if (const auto decoded = decode_frame(record.payload, decoder, scratch); !decoded) {
      ++config.counters->malformed_records;
      spdlog::warn(
          "shard {}: record {} of host '{}' does not decode and is written to the ledger as corrupt: {}",
          config.id, record.seq, record.host, decoded.error().message);
      return loss_cause::corrupt;
    }
    if (scratch.time_ns > latest_ns) {
      ++config.counters->ahead_records;
      return loss_cause::clock_ahead;
    }
    return std::nullopt;
  }

  void take(shard_part_ptr part, caf::strong_actor_ptr listener) {
    const auto name = shard_state_key(config.id, part->from.header.key);
    auto& stream = streams[name];
    stream.queue.push_back({std::move(part), std::move(listener)});
    if (stream.queue.size() == 1)
      append_front(name, stream);
  }

  void append_front(const std::string& name, stream_state& stream) {
    while (!stream.queue.empty()) {
      const auto part = stream.queue.front().part;
      auto request = make_request(name, stream, *part);
      if (!request.records.empty()) {
        const auto ticket = part->ticket;
        waiting[ticket] = name;
        config.store->append(std::move(request), [to = self, ticket](result<void> done) {
          caf::anon_send(to, stored_atom_v, ticket, done ? std::string{} : done.error().message);
        });
        return;
      }
      answer(stream.queue.front().listener, part->ticket, {});
      stream.queue.pop_front();
    }
  }

  append_request make_request(const std::string& name, const stream_state& stream, const shard_part& part) {
    const auto& key = part.from.header.key;
    append_request request;
    request.fence = config.fence;
    request.shard = config.id;
    request.site = part.site;
    request.origin = key;
    request.ranges = part.ranges;
    std::vector<std::shared_ptr<byte_buffer>> replaced;
    const auto latest_ns = config.clock->wall_ns() + config.future_max.count();
    for (const auto& record : part.records) {
      if (stream.stored.contains(record.seq)) {
        ++config.counters->duplicate_records;
        continue;
      }
      const auto cause = check(record, latest_ns);
      request.records.push_back(cause ? replace(record, key, *cause, replaced) : record);
      if (cause)
        continue;
      if (record.kind == record_kind::frame)
        on_frame(part.site, key.edge, record);
      if (record.kind == record_kind::watermark || (record.flags & flag_watermark) != 0)
        config.hosts->on_watermark(part.site, record.host, key, record.seq, record.time_ns);
    }
    config.counters->records += request.records.size();
    byte_buffer value;
    encode_ranges(ranges_with(stream, part), value);
    request.state.push_back({name, std::string{as_text(value)}});
    request.sets = part.sets;
    struct kept_bytes {
      std::shared_ptr<const void> run;
      std::vector<std::shared_ptr<byte_buffer>> replaced;
    };
    request.owner =
        std::make_shared<const kept_bytes>(kept_bytes{part.from.bytes.owner, std::move(replaced)});
    return request;
  }

  void on_frame(const std::string& site, edge_id edge, const record_view& record) {
    std::uint64_t source = 0;
    if (!scratch.sections.empty())
      std::memcpy(&source, scratch.sections.front().set.bytes.data(), sizeof source);
    config.counters->samples += scratch.values.size();
    config.hosts->on_frame(site, record.host, edge, source, scratch.values.size(), scratch.time_ns);
  }

  static range_set ranges_with(const stream_state& stream, const shard_part& part) {
    auto all = stream.stored;
    all.add(part.ranges);
    if (part.held_through != 0)
      all.add({1, part.held_through});
    return all;
  }

  void on_stored(std::uint64_t ticket, const std::string& failed) {
    const auto it = waiting.find(ticket);
    if (it == waiting.end())
      return;
    const auto name = std::move(it->second);
    waiting.erase(it);
    auto& stream = streams[name];
    const auto done = std::move(stream.queue.front());
    stream.queue.pop_front();
    if (failed.empty())
      stream.stored = ranges_with(stream, *done.part);
    else
      ++config.counters->refused_parts;
    answer(done.listener, ticket, failed);
    append_front(name, stream);
  }

  void forget(const stream_key& key) {
    const auto it = streams.find(shard_state_key(config.id, key));
    if (it != streams.end() && it->second.queue.empty())
      streams.erase(it);
  }

  static void answer(const caf::strong_actor_ptr& to, std::uint64_t ticket, std::string failed) {
    if (auto listener = caf::actor_cast<listener_actor>(to))
      caf::anon_send(listener, stored_atom_v, ticket, std::move(failed));
  }
};

namespace {

shard_actor::behavior_type shard(shard_actor::stateful_pointer<shard_state> self, shard_config config) {
  self->state.self = caf::actor_cast<shard_actor>(self);
  self->state.init(std::move(config));
  return {
      [self](shard_part_ptr& part) { self->state.take(std::move(part), self->current_sender()); },
      [self](stored_atom, std::uint64_t ticket, const std::string& failed) {
        self->state.on_stored(ticket, failed);
      },
      [self](const stream_key_ptr& key) { self->state.forget(*key); },
      [self](stop_atom) {
        self->state.self = nullptr; // it would keep itself alive
        self->state.streams.clear();
        self->quit();
      },
  };
}

} // namespace

shard_actor spawn_shard(caf::actor_system& system, shard_config config) {
  return system.spawn(shard, std::move(config));
}

} // namespace skerry::cloud
