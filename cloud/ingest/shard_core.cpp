#include "cloud/ingest/shard_core.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cstring>

namespace skerry::cloud {

namespace {

std::string state_prefix(shard_id id) { return fmt::format("{}{:04}/", shard_state_prefix(), id); }

// Puts a tombstone in the record's place: its sequence stays explained.
record_view replace(const record_view& record, const stream_key& key, loss_cause cause,
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

// What of a tombstone is not stored yet: limits may have made one of it and its neighbours since a part of it came.
record_view clip(const record_view& record, const stream_key& key, const tombstone& whole,
                 sequence_range part, std::vector<std::shared_ptr<byte_buffer>>& kept) {
  byte_buffer payload;
  encode_payload(part_of(whole, record.seq, part.first, part.last), payload);
  auto bytes = std::make_shared<byte_buffer>();
  encode_record(record_kind::tombstone, key, part.first, record.time_ns, record.host, payload, *bytes,
                record.flags);
  kept.push_back(bytes);
  return decode_record(*bytes).value(); // it was just encoded
}

shard_ranges ranges_with(shard_ranges all, const shard_part& part) {
  all.stored.add(part.ranges);
  for (const auto& record : part.records)
    if (record.kind == record_kind::tombstone)
      if (const auto sequences = sequences_of(record))
        all.stones.add({record.seq, record.seq + sequences.value() - 1});
  if (part.held_through != 0) {
    all.stored.add({1, part.held_through});
    all.stones.remove({1, part.held_through});
  }
  return all;
}

} // namespace

std::string shard_state_prefix() { return fmt::format("shard/{}/", tenant_default); }

std::string shard_state_key(shard_id shard, const stream_key& stream) {
  return state_prefix(shard) + to_string(stream);
}

void encode_shard_ranges(const shard_ranges& from, byte_buffer& out) {
  encode_ranges(from.stored, out);
  if (!from.stones.empty())
    encode_ranges(from.stones, out);
}

result<shard_ranges> decode_shard_ranges(bytes_view from) {
  byte_reader r{from};
  shard_ranges out;
  BOOST_OUTCOME_TRY(stored, decode_ranges(r));
  out.stored = std::move(stored);
  if (r.remaining() != 0) {
    BOOST_OUTCOME_TRY(stones, decode_ranges(r.rest()));
    out.stones = std::move(stones);
  }
  return out;
}

shard_core::shard_core(shard_config config, answer_function appended)
    : config_(std::move(config)), appended_(std::move(appended)) {
  const auto scanned =
      config_.store->scan_state(state_prefix(config_.id), [&](std::string_view key, std::string_view value) {
        if (auto ranges = decode_shard_ranges(as_bytes(value)))
          streams_[std::string{key}].kept = std::move(ranges).value();
      });
  if (!scanned)
    spdlog::error("shard {}: what it stores cannot be listed: {}", config_.id, scanned.error().message);
}

// What to store of one record, or why it is replaced by a tombstone.
std::optional<loss_cause> shard_core::check(const record_view& record, std::int64_t latest_ns,
                                            effects& then) {
  if (record.time_ns > latest_ns) {
    ++then.ahead;
    return loss_cause::clock_ahead;
  }
  if (record.kind != record_kind::frame)
    return std::nullopt;
  if (const auto decoded = decode_frame(record.payload, decoder_, scratch_); !decoded) {
    ++then.malformed;
    spdlog::warn(
        "shard {}: record {} of host '{}' does not decode and is written to the ledger as corrupt: {}",
        config_.id, record.seq, record.host, decoded.error().message);
    return loss_cause::corrupt;
  }
  if (scratch_.time_ns > latest_ns) {
    ++then.ahead;
    return loss_cause::clock_ahead;
  }
  return std::nullopt;
}

void shard_core::take(std::shared_ptr<const shard_part> part, answer_function answer) {
  const auto name = shard_state_key(config_.id, part->from.header.key);
  auto& stream = streams_[name];
  stream.queue.push_back({std::move(part), std::move(answer)});
  if (stream.queue.size() == 1)
    append_front(name, stream);
}

void shard_core::append_front(const std::string& name, stream_state& stream) {
  while (!stream.queue.empty()) {
    const auto part = stream.queue.front().part;
    auto request = make_request(name, stream, *part);
    if (!request.records.empty()) {
      const auto ticket = part->ticket;
      waiting_[ticket] = name;
      config_.store->append(std::move(request), [appended = appended_, ticket](result<void> done) {
        appended(ticket, done ? std::string{} : done.error().message);
      });
      return;
    }
    apply(stream.then, *part);
    const auto done = std::move(stream.queue.front());
    stream.queue.pop_front();
    done.answer(part->ticket, {});
  }
}

append_request shard_core::make_request(const std::string& name, stream_state& stream,
                                        const shard_part& part) {
  auto& then = stream.then = {};
  const auto& key = part.from.header.key;
  append_request request;
  request.fence = config_.fence;
  request.shard = config_.id;
  request.site = part.site;
  request.origin = key;
  request.ranges = part.ranges;
  std::vector<std::shared_ptr<byte_buffer>> replaced;
  const bool whole = planted(config_.planted, planted_fault::merged_range_doubled) && !part.records.empty()
                     && !stream.kept.stored.contains(part.records.back().seq);
  const auto latest_ns = config_.clock->wall_ns() + config_.future_max.count();
  for (const auto& record : part.records) {
    const bool is_stone = record.kind == record_kind::tombstone;
    const bool alike = planted(config_.planted, planted_fault::tombstone_trimmed_as_data);
    const auto& known = is_stone && !alike ? stream.kept.stones : stream.kept.stored;
    const auto sequences = sequences_of(record);
    if (!whole && sequences
        && known.contains(sequence_range{record.seq, record.seq + sequences.value() - 1})) {
      ++then.duplicates;
      continue;
    }
    if (is_stone && !whole && sequences && !alike) {
      const sequence_range range{record.seq, record.seq + sequences.value() - 1};
      if (const auto missing = known.missing_in(range); missing.ranges().front() != range) {
        const auto stone = decode_tombstone(record.payload).value(); // sequences_of read it
        for (const auto& one : missing.ranges())
          request.records.push_back(clip(record, key, stone, one, replaced));
        continue;
      }
    }
    // A tombstone stays what it is: it brings no samples that could be ahead.
    const auto cause = is_stone ? std::nullopt : check(record, latest_ns, then);
    request.records.push_back(cause ? replace(record, key, *cause, replaced) : record);
    if (cause)
      continue;
    if (record.kind == record_kind::frame)
      then.frames.push_back(frame_seen(record));
    if (record.kind == record_kind::watermark || (record.flags & flag_watermark) != 0)
      then.watermarks.push_back(record);
  }
  then.records = request.records.size();
  byte_buffer value;
  encode_shard_ranges(ranges_with(stream.kept, part), value);
  request.state.push_back({name, std::string{as_text(value)}});
  request.sets = part.sets;
  struct kept_bytes {
    std::shared_ptr<const void> run;
    std::vector<std::shared_ptr<byte_buffer>> replaced;
  };
  request.owner = std::make_shared<const kept_bytes>(kept_bytes{part.from.bytes.owner, std::move(replaced)});
  return request;
}

// Of the frame that check() decoded.
shard_core::effects::frame_seen shard_core::frame_seen(const record_view& record) const {
  std::uint64_t source = 0;
  if (!scratch_.sections.empty())
    std::memcpy(&source, scratch_.sections.front().set.bytes.data(), sizeof source);
  return {record.host, source, scratch_.values.size(), scratch_.time_ns};
}

void shard_core::apply(const effects& then, const shard_part& part) {
  const auto& key = part.from.header.key;
  auto& counters = *config_.counters;
  counters.records += then.records;
  counters.duplicate_records += then.duplicates;
  counters.malformed_records += then.malformed;
  counters.ahead_records += then.ahead;
  for (const auto& f : then.frames) {
    counters.samples += f.samples;
    config_.hosts->on_frame(part.site, f.host, key.edge, f.source, f.samples, f.time_ns);
  }
  for (const auto& mark : then.watermarks)
    config_.hosts->on_watermark(part.site, mark.host, key, mark.seq, mark.time_ns);
}

void shard_core::on_stored(std::uint64_t ticket, const std::string& failed) {
  const auto it = waiting_.find(ticket);
  if (it == waiting_.end())
    return;
  const auto name = std::move(it->second);
  waiting_.erase(it);
  auto& stream = streams_[name];
  const auto done = std::move(stream.queue.front());
  stream.queue.pop_front();
  if (failed.empty()) {
    stream.kept = ranges_with(std::move(stream.kept), *done.part);
    apply(stream.then, *done.part);
  } else {
    ++config_.counters->refused_parts;
  }
  done.answer(ticket, failed);
  append_front(name, stream);
}

void shard_core::forget(const stream_key& key) {
  const auto it = streams_.find(shard_state_key(config_.id, key));
  if (it != streams_.end() && it->second.queue.empty())
    streams_.erase(it);
}

} // namespace skerry::cloud
