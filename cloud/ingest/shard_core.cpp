#include "cloud/ingest/shard_core.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cstring>
#include <utility>

namespace skerry::cloud {

namespace {

constexpr std::int64_t host_limit_line_ns = 60'000'000'000; // between two lines about hosts beyond the limits

constexpr std::uint64_t joined_gap_ns = 60'000'000'000; // between the times of what one tombstone stands for

// By more than that; no difference overflows.
bool beyond(std::int64_t later_ns, std::int64_t earlier_ns) noexcept {
  return later_ns > earlier_ns
         && static_cast<std::uint64_t>(later_ns) - static_cast<std::uint64_t>(earlier_ns) > joined_gap_ns;
}

// Puts tombstones in the place of records: their sequences stay explained. Records of one host that follow each other and
// have the same cause get one together, so that a clock that is wrong for a day makes no row of the ledger a sample.
class replacer {
public:
  replacer(const stream_key& key, std::int64_t now_ns) : key_(key), now_ns_(now_ns) {}

  void replace(const record_view& record, loss_cause cause, std::uint64_t samples, append_request& to,
               std::vector<std::shared_ptr<byte_buffer>>& kept) {
    const bool joins = open_ && open_at_ + 1 == to.records.size() && stone_.cause == cause
                       && stone_.last + 1 == record.seq && to.records.back().host == record.host
                       && !beyond(record.time_ns, stone_.to_ns) && !beyond(stone_.from_ns, record.time_ns);
    if (!joins) {
      open_ = std::make_shared<byte_buffer>();
      open_at_ = to.records.size();
      kept.push_back(open_);
      to.records.push_back(record);
      first_ = record.seq;
      stone_ = {};
      stone_.cause = cause;
      stone_.from_ns = stone_.to_ns = record.time_ns;
    }
    stone_.last = record.seq;
    stone_.from_ns = std::min(stone_.from_ns, record.time_ns);
    stone_.to_ns = std::max(stone_.to_ns, record.time_ns);
    stone_.bytes += record.bytes.size();
    stone_.samples += samples;
    byte_buffer payload;
    encode_payload(stone_, payload);
    open_->clear();
    // What is ahead is lost now: where its entry stands is not up to a time that nobody believes.
    encode_record(record_kind::tombstone, key_, first_,
                  cause == loss_cause::clock_ahead ? now_ns_ : stone_.to_ns, record.host, payload, *open_);
    to.records.back() = decode_record(*open_).value(); // it was just encoded
  }

private:
  const stream_key key_;
  const std::int64_t now_ns_;
  std::shared_ptr<byte_buffer> open_; // of the last
  std::size_t open_at_ = 0;           // in the request
  sequence first_ = 0;
  tombstone stone_;
};

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

constexpr std::uint64_t samples_of_record_max = 1 << 20;
constexpr std::uint64_t bytes_of_record_max = 1 << 26;

// An entry of the ledger as far as it can be true: nothing is missing of times to come, nor more than its records can
// hold. The record itself where that is what it says. Sets `ahead` where its times are later than `latest_ns`.
record_view plausible(const record_view& record, const stream_key& key, std::int64_t latest_ns,
                      std::vector<std::shared_ptr<byte_buffer>>& kept, bool& ahead) {
  byte_buffer payload;
  if (record.kind == record_kind::tombstone) {
    const auto said = decode_tombstone(record.payload);
    if (!said)
      return record;
    auto stone = said.value();
    const auto records = stone.last - record.seq + 1;
    const auto most = [&](std::uint64_t each) {
      return records > UINT64_MAX / each ? UINT64_MAX : records * each;
    };
    ahead = ahead || stone.to_ns > latest_ns;
    stone.to_ns = std::min(stone.to_ns, latest_ns);
    stone.from_ns = std::min(stone.from_ns, stone.to_ns);
    stone.samples = std::min(stone.samples, most(samples_of_record_max));
    stone.bytes = std::min(stone.bytes, most(bytes_of_record_max));
    if (stone.to_ns == said.value().to_ns && stone.from_ns == said.value().from_ns
        && stone.samples == said.value().samples && stone.bytes == said.value().bytes)
      return record;
    encode_payload(stone, payload);
  } else if (record.kind == record_kind::not_collected) {
    auto gap = decode_not_collected(record.payload);
    if (!gap || gap.value().to_ns <= latest_ns)
      return record;
    ahead = true;
    gap.value().to_ns = latest_ns;
    gap.value().from_ns = std::min(gap.value().from_ns, latest_ns);
    encode_payload(gap.value(), payload);
  } else {
    return record;
  }
  auto bytes = std::make_shared<byte_buffer>();
  encode_record(record.kind, key, record.seq, std::min(record.time_ns, latest_ns), record.host, payload,
                *bytes, record.flags);
  kept.push_back(bytes);
  return decode_record(*bytes).value(); // it was just encoded
}

// Whether it is a watermark of what hosts are complete by: samples. One of other kinds says nothing of them.
bool speaks_of_samples(const record_view& record) {
  if (record.kind != record_kind::watermark)
    return (record.flags & flag_watermark) != 0;
  const auto mark = decode_watermark(record.payload);
  return mark && (mark.value().kinds & kinds_with(&kind_policy::samples)) != 0;
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

// Answers a part when nobody has what was told of it any more.
class late_answer {
public:
  late_answer(shard_core::answer_function answer, std::uint64_t ticket)
      : answer_(std::move(answer)), ticket_(ticket) {}
  ~late_answer() { answer_(ticket_, {}); }
  late_answer(const late_answer&) = delete;
  late_answer& operator=(const late_answer&) = delete;

private:
  const shard_core::answer_function answer_;
  const std::uint64_t ticket_;
};

std::string encoded(const shard_ranges& ranges) {
  byte_buffer value;
  encode_shard_ranges(ranges, value);
  return std::string{as_text(value)};
}

} // namespace

shard_core::shard_core(shard_config config, answer_function appended)
    : config_(std::move(config)), appended_(std::move(appended)) {
  const auto prefix = shard_state_prefix(config_.id);
  const auto pushed = prefix + to_string(edge_pushed) + "/";
  std::vector<std::string>
      over; // what was pushed came in an epoch of its process: nothing of those before comes again
  const auto scanned = config_.state->scan_state(prefix, [&](std::string_view key, std::string_view value) {
    if (key.starts_with(pushed)) {
      over.emplace_back(key);
      return;
    }
    auto& stream = streams_[std::string{key}];
    if (auto ranges = decode_shard_ranges(as_bytes(value)))
      stream.kept = std::move(ranges).value();
    else
      spdlog::error("shard {}: what it stores of '{}' does not decode and is ignored", config_.id, key);
  });
  if (!scanned)
    spdlog::error("shard {}: what it stores cannot be listed: {}", config_.id, scanned.error().message);
  drop(std::move(over));
}

void shard_core::drop(std::vector<std::string> names) {
  std::vector<state_update> updates;
  for (auto& name : names)
    updates.push_back({std::move(name), {}});
  if (updates.empty())
    return;
  config_.state->put_state(std::move(updates), [id = config_.id](result<void> done) {
    if (!done)
      spdlog::warn("shard {}: what it keeps of streams that are over stays until the next start: {}", id,
                   done.error().message);
  });
}

// What to store of one record, or why it is replaced by a tombstone.
std::optional<loss_cause> shard_core::check(const record_view& record, const shard_part& part,
                                            std::int64_t latest_ns, effects& then) {
  if (record.time_ns > latest_ns) {
    ++then.ahead;
    return loss_cause::clock_ahead;
  }
  if (!policy_of(record.kind).samples)
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
  // One host more must not stop what else its edge sends: only its own samples are lost, and said to be.
  if (!has_place(part.site, record.host, part.from.header.key.edge)) {
    ++then.host_limit;
    tell_host_limit(part.site, record.host);
    return loss_cause::host_limit;
  }
  return std::nullopt;
}

bool shard_core::has_place(const std::string& site, std::string_view host, edge_id edge) {
  if (const auto version = config_.places->version(); version != placed_version_) {
    placed_.clear();
    placed_version_ = version;
  }
  host_admission::name_of(site, host, edge, place_name_);
  if (placed_.contains(place_name_))
    return true;
  if (!config_.places->admit(site, host, edge))
    return false;
  placed_.insert(place_name_);
  return true;
}

void shard_core::tell_host_limit(const std::string& site, std::string_view host) {
  const auto now = config_.clock->monotonic_ns();
  auto& told_ns = config_.counters->host_limit_told_ns;
  auto last = told_ns.load();
  if ((last == 0 || now - last >= host_limit_line_ns) && told_ns.compare_exchange_strong(last, now))
    spdlog::warn("ingest: host '{}' of site '{}' is one too many: its samples are lost (host_limit); raise "
                 "ingest.hosts_max or ingest.site_hosts_max if it should be stored",
                 host, site);
}

void shard_core::take(std::shared_ptr<const shard_part> part, answer_function answer) {
  const auto name = shard_state_key(config_.id, part->from.header.key);
  auto& stream = streams_[name];
  stream.over.reset();
  stream.queue.push_back({std::move(part), std::move(answer)});
  if (stream.queue.size() == 1)
    append_front(name, stream);
}

shard_core::queued_part shard_core::pop(stream_state& stream) {
  auto done = std::move(stream.queue.front());
  stream.queue.pop_front();
  stream.then = {};
  return done;
}

void shard_core::append_front(const std::string& name, stream_state& stream) {
  while (!stream.queue.empty()) {
    const auto part = stream.queue.front().part;
    auto request = make_request(name, stream, *part);
    // What the clock says would be lost for good, and entries of the ledger would tell of other times for good.
    const bool by_clock = stream.then.ahead != 0 || stream.then.bounded;
    const bool asks =
        by_clock && config_.trust && !planted(config_.planted, planted_fault::doubted_clock_destroys);
    const auto doubt = asks ? doubt_of(config_.trust->judge()) : std::string{};
    if (!doubt.empty()) {
      ++config_.counters->doubted_parts;
      pop(stream).answer(part->ticket, doubt);
      continue;
    }
    if (!request.records.empty() || part->held) {
      const auto ticket = part->ticket;
      waiting_[ticket] = name;
      config_.store->append(std::move(request), [appended = appended_, ticket](result<void> done) {
        appended(ticket, done ? std::string{} : done.error().message);
      });
      return;
    }
    count(stream.then);
    pop(stream).answer(part->ticket, {});
  }
  if (const auto over = std::exchange(stream.over, std::nullopt))
    release(name, stream, *over);
}

append_request shard_core::make_request(const std::string& name, stream_state& stream,
                                        const shard_part& part) {
  auto& then = stream.then = {};
  const auto& key = part.from.header.key;
  then.stored = std::make_shared<committed_effects>();
  auto& stored = *then.stored;
  stored.shard = config_.id;
  stored.site = part.site;
  stored.origin = key;
  append_request request;
  request.fence = config_.fence;
  request.shard = config_.id;
  request.site = part.site;
  request.origin = key;
  request.ranges = part.ranges;
  std::vector<std::shared_ptr<byte_buffer>> replaced;
  const bool whole = planted(config_.planted, planted_fault::merged_range_doubled) && !part.records.empty()
                     && !stream.kept.stored.contains(part.records.back().seq);
  const auto now_ns = config_.clock->wall_ns();
  const auto latest_ns = now_ns + config_.future_max.count();
  replacer replaces{key, now_ns};
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
    const auto cause = is_stone ? std::nullopt : check(record, part, latest_ns, then);
    if (cause) {
      replaces.replace(record, *cause, samples_in(record), request, replaced);
      continue;
    }
    request.records.push_back(plausible(record, key, latest_ns, replaced, then.bounded));
    if (policy_of(record.kind).samples)
      note_frame(record, key, now_ns, stored);
    // A watermark of a host that has no place says nothing, and loses nothing.
    if (speaks_of_samples(record) && has_place(part.site, record.host, key.edge))
      stored.watermarks.push_back(record);
  }
  stored.records = request.records.size();
  for (const auto& record : request.records) {
    ++stored.of_kind[row_of(record.kind)];
    if (!policy_of(record.kind).samples && record.kind != record_kind::watermark)
      stored.others.push_back(record);
  }
  request.state.push_back(stream.value.next(name, encoded(ranges_with({}, part)),
                                            [&] { return encoded(ranges_with(stream.kept, part)); }));
  if (part.held)
    request.state.push_back(*part.held);
  request.sets = part.sets;
  struct kept_bytes {
    std::shared_ptr<const void> run;
    std::vector<std::shared_ptr<byte_buffer>> replaced;
  };
  request.owner = std::make_shared<const kept_bytes>(kept_bytes{part.from.bytes.owner, std::move(replaced)});
  stored.owner = request.owner;
  return request;
}

// So many as can be told.
std::uint64_t shard_core::samples_in(const record_view& record) {
  std::uint64_t samples = 0;
  if (policy_of(record.kind).samples && decode_frame_sections(record.payload, scratch_))
    for (const auto& section : scratch_.sections)
      samples += section.value_count();
  return samples;
}

// Of the frame that check() decoded.
void shard_core::note_frame(const record_view& record, const stream_key& key, std::int64_t now_ns,
                            committed_effects& all) const {
  auto& to = all.frames.emplace_back();
  to.record = record;
  to.samples = scratch_.values.size();
  to.seen.edge = key.edge;
  to.seen.time_ns = scratch_.time_ns;
  to.seen.whole = scratch_.monotonic_ns != 0;
  // What is pushed to the cloud is seen by the cloud itself.
  to.seen.seen_ns = key.edge == edge_pushed ? now_ns : to.seen.whole ? scratch_.time_ns : 0;
  to.first_set = all.sets.size();
  to.set_count = scratch_.sections.size();
  for (const auto& section : scratch_.sections) {
    auto& set = all.sets.emplace_back();
    std::memcpy(&set.name, section.set.bytes.data(), sizeof set.name);
    set.series = static_cast<std::uint32_t>(section.value_count());
    set.all = section.series_count;
  }
}

void shard_core::count(const effects& then) {
  auto& counters = *config_.counters;
  counters.records += then.stored->records;
  for (std::size_t row = 0; row < then.stored->of_kind.size(); ++row)
    counters.of_kind[row] += then.stored->of_kind[row];
  for (const auto& frame : then.stored->frames)
    counters.samples += frame.samples;
  counters.duplicate_records += then.duplicates;
  counters.malformed_records += then.malformed;
  counters.ahead_records += then.ahead;
  counters.host_limit_records += then.host_limit;
}

// Leads to the answer.
void shard_core::tell(effects then, queued_part done) {
  then.stored->under_way = std::make_shared<const late_answer>(std::move(done.answer), done.part->ticket);
  if (then.stored->records == 0)
    return;
  const std::shared_ptr<const committed_effects> what = std::move(then.stored);
  for (const auto& subscriber : config_.subscribers)
    subscriber(what);
}

void shard_core::on_stored(std::uint64_t ticket, const std::string& failed) {
  const auto it = waiting_.find(ticket);
  if (it == waiting_.end())
    return;
  const auto name = std::move(it->second);
  waiting_.erase(it);
  auto& stream = streams_[name];
  auto then = std::move(stream.then);
  auto done = pop(stream);
  if (failed.empty()) {
    stream.kept = ranges_with(std::move(stream.kept), *done.part);
    count(then);
    tell(std::move(then), std::move(done));
  } else {
    ++config_.counters->refused_parts;
    done.answer(ticket, failed);
  }
  append_front(name, stream);
}

bool shard_core::release(const stream_release& over) {
  const auto name = shard_state_key(config_.id, over.key);
  const auto it = streams_.find(name);
  return it == streams_.end() || release(name, it->second, over.held);
}

bool shard_core::release(const std::string& name, stream_state& stream, const range_set& held) {
  if (!stream.queue.empty()) {
    stream.over = held;
    return false;
  }
  auto more = stream.kept.stored;
  more.remove(held);
  if (!more.empty())
    return false;
  drop({name});
  streams_.erase(name); // `stream` ends here
  return true;
}

} // namespace skerry::cloud
