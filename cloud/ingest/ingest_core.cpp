#include "cloud/ingest/ingest_core.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <limits>
#include <optional>

namespace skerry::cloud {

namespace {

constexpr std::size_t looks_at_once = 256; // at a stream's completeness, or at what a shard keeps of one
constexpr std::string_view held_prefix = "held/0/"; // of tenant 0

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

// Of its value one part: the newest event time, then the ranges.
std::string encode_held(std::int64_t newest_ns, const range_set& ranges) {
  byte_buffer out;
  byte_writer{out}.fixed(newest_ns);
  encode_ranges(ranges, out);
  return std::string{as_text(out)};
}

std::optional<delivery::held_stream> decode_held(bytes_view from) {
  delivery::held_stream held;
  byte_reader r{from};
  do {
    held.newest_ns = std::max(held.newest_ns, r.fixed<std::int64_t>());
    auto ranges = decode_ranges(r);
    if (r.failed() || !ranges)
      return std::nullopt;
    held.ranges.add(ranges.value());
  } while (r.remaining() != 0);
  return held;
}

} // namespace

ingest_core::ingest_core(delivery::receiver_config config, std::shared_ptr<state_store> state,
                         std::shared_ptr<set_catalog> sets, delivery::authority& keys, clock_source& clock,
                         random_source& random, outputs to)
    : authorized_backend(keys, clock),
      planted_(config.planted),
      state_(std::move(state)),
      sets_(std::move(sets)),
      to_(std::move(to)),
      receiver_(std::move(config), clock, random, *this) {
  restore();
}

void ingest_core::restore() {
  std::map<std::string, stream_key, std::less<>> names;
  auto restored = state_->scan_state(held_prefix, [&](std::string_view key, std::string_view value) {
    const auto name = parse_held_key(key);
    auto held = decode_held(as_bytes(value));
    if (!name || !held) {
      spdlog::error("ingest: what is held under '{}' does not decode and is ignored", key);
      return;
    }
    open_streams_[*name];
    names.emplace(to_string(*name), *name);
    if (planted(planted_, planted_fault::held_forgotten_on_restart))
      return;
    receiver_.restore_held(*name, std::move(*held));
  });
  if (restored) {
    restored = each_kept_stream(*state_, [&](shard_id shard, std::string_view stream) {
      if (const auto it = names.find(stream); it != names.end())
        open_streams_[it->second].holders[shard] = false;
    });
  }
  if (!restored)
    spdlog::error("ingest: what is held cannot be listed: {}", restored.error().message);
}

std::uint64_t ingest_core::store(delivery::delivery_job job) {
  std::map<shard_id, std::shared_ptr<shard_part>> parts;
  const auto& key = job.from.header.key;
  const auto* held = receiver_.held().held(key);
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
  jobs_[job.ticket] = {key, parts.size(), {}, {}};
  auto& holders = open_streams_[key].holders;
  for (const auto& [id, part] : parts)
    holders[id] = false;
  const auto count = parts.size();
  if (count == 1 || planted(planted_, planted_fault::held_with_first_part))
    note_with(*parts.begin()->second, key, job);
  for (auto& [id, part] : parts)
    to_.to_shard(id, std::move(part));
  return count;
}

// A job whose records go into one append is held once that is stored: what says so goes along, and costs no sync of its own.
void ingest_core::note_with(shard_part& part, const stream_key& key, const delivery::delivery_job& job) {
  const auto& held = receiver_.held();
  range_set fresh;
  if (const auto* stored = held.stored(key))
    fresh = *stored;
  if (const auto* durable = held.held(key))
    fresh.remove(*durable);
  fresh.add(job.ranges);
  part.held = open_streams_[key].held.append(
      held_key(key), encode_held(std::max(job.newest_ns, held.newest_ns(key)), fresh));
  if (!part.held)
    return;
  ++noting_[key];
  jobs_[job.ticket].noted = std::move(fresh);
}

void ingest_core::keep_held(std::uint64_t ticket, const stream_key& key, const delivery::held_stream& all,
                            const range_set* durable) {
  auto fresh = all.ranges;
  if (durable != nullptr)
    fresh.remove(*durable);
  if (const auto* noted = std::exchange(noted_, nullptr)) {
    auto rest = fresh;
    rest.remove(*noted);
    if (rest.empty()) {
      receiver_.on_held_durable(ticket, {});
      return;
    }
  }
  state_->put_state({open_streams_[key].held.next(
                        held_key(key), encode_held(all.newest_ns, fresh),
                        [&] { return encode_held(all.newest_ns, all.ranges); }, !noting_.contains(key))},
                    [held = to_.held, ticket](result<void> done) {
                      held(ticket, done ? std::string{} : done.error().message);
                    });
}

void ingest_core::on_part_stored(std::uint64_t ticket, const std::string& failed) {
  const auto it = jobs_.find(ticket);
  if (it == jobs_.end())
    return;
  auto& job = it->second;
  if (!failed.empty())
    job.failed = failed;
  if (--job.parts > 0)
    return;
  const auto done = std::move(job);
  jobs_.erase(it);
  if (const auto stream = open_streams_.find(done.key); stream != open_streams_.end())
    stream->second.asked_with.reset();
  if (!done.noted.empty() && --noting_[done.key] == 0)
    noting_.erase(done.key);
  noted_ = done.failed.empty() && !done.noted.empty() ? &done.noted : nullptr;
  receiver_.on_stored(ticket, done.failed);
  noted_ = nullptr;
}

void ingest_core::forget(const std::vector<stream_key>& keys) {
  std::vector<state_update> updates;
  stream_news_list news;
  for (const auto& key : keys) {
    news.push_back({key, stream_news::kind::over});
    if (const auto it = open_streams_.find(key); it != open_streams_.end()) {
      auto over = std::make_shared<stream_release>();
      over->key = key;
      over->held.add({1, std::numeric_limits<sequence>::max() - 1}); // whatever there is
      for (const auto& [id, asked] : it->second.holders)
        to_.release(id, over);
      open_streams_.erase(it);
    }
    // What jobs under way have noted, or will, goes with it, or comes too late: they note anew.
    if (noting_.erase(key) != 0)
      for (auto& [ticket, job] : jobs_)
        if (job.key == key)
          job.noted = {};
    updates.push_back({held_key(key), {}});
  }
  to_.streams(std::make_shared<const stream_news_list>(std::move(news)));
  put_quietly(std::move(updates));
}

// Shards need not know which parts of a stream they have once nothing of it can come again. One that has more than is
// held is asked again when more is.
bool ingest_core::let_go(const stream_key& key, open_stream& stream) {
  if (stream.holders.empty())
    return stream.asked == 0;
  const auto* held = receiver_.held().held(key);
  const auto count = held == nullptr ? 0 : held->count();
  if (stream.asked != 0 || stream.asked_with == count)
    return false;
  auto over = std::make_shared<stream_release>();
  over->key = key;
  if (held != nullptr)
    over->held = *held;
  stream.over = over;
  stream.asked = stream.holders.size();
  stream.asked_with = count;
  for (auto& [id, asked] : stream.holders) {
    asked = true;
    to_.release(id, over);
  }
  return false;
}

void ingest_core::on_released(shard_id id, const std::shared_ptr<const stream_release>& over, bool dropped) {
  const auto it = open_streams_.find(over->key);
  if (it == open_streams_.end() || it->second.asked == 0 || it->second.over != over)
    return; // forgotten since, or come again
  --it->second.asked;
  auto& holders = it->second.holders;
  if (const auto holder = holders.find(id); dropped && holder != holders.end() && holder->second)
    holders.erase(holder);
}

void ingest_core::put_quietly(std::vector<state_update> updates) {
  if (updates.empty())
    return;
  state_->put_state(std::move(updates), [lines = unkept_lines_](result<void> done) {
    if (!done && lines->allow())
      spdlog::warn("ingest: what is known of streams and edges was not kept: {}", done.error().message);
  });
}

std::optional<stream_news> ingest_core::news_of(const stream_key& key,
                                                std::uint64_t oldest_incomplete) const {
  const auto& holdings = receiver_.held();
  if (holdings.disowned(key))
    return stream_news{key, stream_news::kind::disowned};
  const auto* held = holdings.held(key);
  if (held == nullptr)
    return std::nullopt;
  const bool past_hole = planted(planted_, planted_fault::watermark_past_hole);
  return stream_news{key, stream_news::kind::held, past_hole ? held->highest() : held->contiguous_through(),
                     key.epoch.boot_counter <= oldest_incomplete};
}

// A key may have thousands of open streams, and everybody waits meanwhile.
bool ingest_core::advance_completeness() {
  if (looked_to_ == stream_key{} && !told_.expired())
    return false; // what the last look has told was not taken yet
  const auto& holdings = receiver_.held();
  stream_news_list news;
  auto edge = edge_id::none;
  std::map<stream_id, std::uint64_t> incomplete; // of the edge at hand: its oldest epoch with holes
  auto it = open_streams_.lower_bound(looked_to_);
  for (std::size_t looks = 0; it != open_streams_.end() && looks < looks_at_once; ++looks) {
    auto& [key, stream] = *it;
    if (edge != key.edge)
      incomplete.clear();
    edge = key.edge;
    auto [oldest, missing] = incomplete.try_emplace(key.stream);
    if (missing)
      oldest->second = holdings.first_incomplete(key.edge, key.stream);
    const auto now = news_of(key, oldest->second);
    if (now && now != stream.told) {
      news.push_back(*now);
      stream.told = now;
    }
    // Watermarks may wait for older epochs.
    const bool waits = now && now->what == stream_news::kind::held && !now->older_complete;
    const bool complete = !waits && holdings.complete(key);
    looks += complete ? stream.holders.size() : 0;
    if (complete && let_go(key, stream)) {
      news.push_back({key, stream_news::kind::over});
      it = open_streams_.erase(it);
    } else {
      ++it;
    }
  }
  if (!news.empty()) {
    const auto list = std::make_shared<const stream_news_list>(std::move(news));
    told_ = list;
    to_.streams(list);
  }
  const bool more = it != open_streams_.end();
  looked_to_ = more ? it->first : stream_key{};
  return more;
}

} // namespace skerry::cloud
