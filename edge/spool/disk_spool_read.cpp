// Reading: the const methods, on any thread.

#include "edge/spool/disk_spool.hpp"
#include "schemas/model/seen_clock.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace skerry::edge {

namespace {
constexpr int attempts_max = 4; // against commits that come in between, and segments that go
constexpr std::size_t oldest_read_bytes = 64 << 10; // to tell when the oldest record was seen
} // namespace

// Calls `read` until no commit came in between; in the end with commits held off. Only a failure or "nothing
// there" can come from a page that was reused meanwhile: whatever was found carries a checksum and its own
// name.
template <class Read>
auto disk_spool::read_segment(const segment_ptr& from, Read&& read) const
    -> decltype(read(std::declval<const segment_reader&>())) {
  using outcome = decltype(read(std::declval<const segment_reader&>()));
  const auto once = [&]() -> outcome {
    BOOST_OUTCOME_TRY(reader, segment_reader::open(from->directory));
    return read(reader);
  };
  for (int i = 0; i < attempts_max; ++i) {
    const auto before = from->commits.load();
    auto out = once();
    if ((out && out.value()) || (before % 2 == 0 && from->commits.load() == before))
      return out;
  }
  const std::lock_guard writing{writing_};
  return once();
}

std::vector<segment_ptr> disk_spool::newest_first() const {
  std::vector<segment_ptr> out;
  for (auto it = segments_.rbegin(); it != segments_.rend(); ++it)
    out.push_back(it->second);
  return out;
}

result<std::optional<run>> disk_spool::read(const stream_key& key, sequence from,
                                            std::size_t bytes_max) const {
  auto out = read_once(key, from, bytes_max);
  // A segment that was deleted or rebuilt between finding and opening it: look again.
  for (int i = 0; i < attempts_max && !out && out.error().code == errc::unavailable; ++i)
    out = read_once(key, from, bytes_max);
  if (out && out.value())
    metrics_.records_read.Increment(out.value()->header.record_count);
  return out;
}

result<std::optional<run>> disk_spool::read_once(const stream_key& key, sequence from,
                                                 std::size_t bytes_max) const {
  struct found_record {
    record_view view;
    std::uint64_t sequences = 1;
  };
  std::vector<run> sources;
  std::vector<found_record> records;
  std::size_t bytes = run_header_bytes;
  sequence next = 0;
  sequence end = 0;
  bool full = false;
  while (!full) {
    segment_ptr where;
    sequence here_to = 0; // what `where` is asked for: another may have taken the place of what follows
    {
      const std::lock_guard table{table_};
      const auto it = streams_.find(key);
      if (it == streams_.end())
        break;
      if (next == 0) {
        for (const auto& range : it->second.held.ranges())
          if (range.last >= from) {
            next = std::max(range.first, from);
            end = range.last;
            break;
          }
        if (next == 0)
          return std::optional<run>{};
      }
      for (const auto& [number, one] : segments_)
        if (const auto here = one->streams.find(key);
            here != one->streams.end() && here->second.remaining.contains(next)) {
          where = one;
          const auto rest = here->second.remaining.common_with({next, end});
          here_to = rest.ranges().front().last;
          break;
        }
      if (!where) { // released meanwhile
        if (records.empty())
          return fail(errc::unavailable,
                      fmt::format("{} of {} was released while it was read", next, to_string(key)));
        break;
      }
    }
    auto found =
        read_segment(where, [&](const segment_reader& reader) { return reader.find_run(key, next); });
    std::string wrong;
    std::vector<record_view> views;
    if (!found) {
      wrong = found.error().message;
    } else if (!found.value() || found.value()->header.first > next) {
      wrong = fmt::format("record {} of {} is in the index and not there", next, to_string(key));
    } else if (auto decoded = decode_records(*found.value()); !decoded) {
      wrong = decoded.error().message;
    } else {
      views = std::move(decoded).value();
    }
    if (!wrong.empty()) {
      if (!records.empty())
        break; // what is sound first
      bool gone = false;
      {
        const std::lock_guard table{table_};
        gone = where->gone;
      }
      if (gone)
        return fail(errc::unavailable, fmt::format("segment {} went while it was read", where->number));
      BOOST_OUTCOME_TRYV(suspect(where, wrong));
      return fail(errc::corrupt,
                  fmt::format("segment {} is damaged: {}; what is readable was saved, ask again",
                              where->directory.string(), wrong));
    }
    sources.push_back(std::move(*found.value()));
    for (const auto& view : views) {
      const auto sequences = sequences_of(view).value(); // decode_records() checked it
      const auto last = view.seq + sequences - 1;
      if (last < next)
        continue;
      if (view.seq > here_to)
        break;
      // A tombstone that begins before what was read so far opens a run of its own.
      if ((!records.empty() && view.seq != next)
          || (!records.empty() && bytes + view.bytes.size() > bytes_max)
          || records.size() == run_records_max) {
        full = true;
        break;
      }
      records.push_back({view, sequences});
      bytes += view.bytes.size();
      next = last + 1;
    }
    full = full || next > end || bytes >= bytes_max;
  }
  if (records.empty())
    return std::optional<run>{};
  if (sources.size() == 1 && records.size() == sources.front().header.record_count)
    return std::optional<run>{std::move(sources.front())};
  run_builder builder{key, records.front().view.seq, sources.front().header.tenant};
  for (const auto& [view, sequences] : records)
    builder.append(view, sequences);
  return std::optional<run>{std::move(builder).finish()};
}

std::optional<byte_buffer> disk_spool::stored_set(const set_name& name) const {
  std::vector<segment_ptr> all;
  {
    const std::lock_guard table{table_};
    all = newest_first();
  }
  for (const auto& one : all) {
    const auto reader = segment_reader::open(one->directory);
    if (!reader)
      continue;
    if (auto found = reader.value().find_set(name); found && found.value())
      return std::move(*found.value());
  }
  return std::nullopt;
}

// A peer may ask for thousands of sets that nobody has: those cost no look at a file.
std::vector<segment_ptr> disk_spool::newest_first_with(const set_name& name) const {
  const auto key = encode_set_key(name);
  std::vector<segment_ptr> unknown;
  {
    const std::lock_guard table{table_};
    for (const auto& one : newest_first())
      if (!one->active && !one->sets)
        unknown.push_back(one);
  }
  for (const auto& one : unknown)
    make_set_filter(one);
  const std::lock_guard table{table_};
  auto all = newest_first();
  std::erase_if(all, [&](const segment_ptr& one) {
    return one->active ? !active_sets_.contains(name) : one->sets && !one->sets->may_have(key);
  });
  return all;
}

// Of a segment from before this opening, or that was rebuilt. One that cannot be walked over may have anything, and finds
// out what is wrong with it when something is looked for.
void disk_spool::make_set_filter(const segment_ptr& of) const {
  const auto reader = segment_reader::open(of->directory);
  auto made = reader ? reader.value().make_set_filter(filter_seed_) : result<set_filter>{reader.error()};
  auto shared =
      std::make_shared<const set_filter>(made ? std::move(made).value() : set_filter::of_anything());
  const std::lock_guard table{table_};
  of->sets = std::move(shared);
}

result<std::optional<series_set_ptr>> disk_spool::find_set(edge_id edge, const set_hash& hash) const {
  const set_name name{edge, hash};
  const auto all = newest_first_with(name);
  std::optional<std::pair<segment_ptr, std::string>> wrong;
  for (const auto& one : all) {
    auto found = read_segment(one, [&](const segment_reader& reader) { return reader.find_set(name); });
    if (found && !found.value())
      continue;
    if (found) {
      const auto value = decode_set_value(*found.value());
      auto expanded = value ? expand_set(value.value()) : result<shared_bytes>{value.error()};
      auto set = expanded ? decode_series_set(std::move(expanded).value())
                          : result<series_set_ptr>{expanded.error()};
      if (set)
        return std::optional<series_set_ptr>{std::move(set).value()};
      wrong.emplace(one, set.error().message);
      continue;
    }
    const std::lock_guard table{table_};
    if (!one->gone)
      wrong.emplace(one, found.error().message);
  }
  if (!wrong)
    return std::optional<series_set_ptr>{};
  BOOST_OUTCOME_TRYV(suspect(wrong->first, wrong->second));
  return fail(errc::corrupt, fmt::format("segment {} is damaged: {}; what is readable was saved, ask again",
                                         wrong->first->directory.string(), wrong->second));
}

result<std::size_t>
disk_spool::scan(std::int64_t from_ns, std::int64_t to_ns,
                 const std::function<result<void>(const run&, const set_finder&)>& each) const {
  const auto is_damage = [](const error& e) {
    return e.code == errc::corrupt || e.code == errc::malformed || e.code == errc::io;
  };
  std::size_t damaged = 0;
  struct part {
    stream_key key;
    range_set stored;
  };
  std::vector<std::pair<segment_ptr, std::vector<part>>> all;
  {
    const std::lock_guard table{table_};
    for (const auto& [number, one] : segments_) {
      std::vector<part> parts;
      for (const auto& [key, stream] : one->streams)
        if (stream.stored.from_ns <= to_ns && stream.stored.to_ns >= from_ns)
          parts.push_back({key, stream.stored.stored});
      if (!parts.empty())
        all.emplace_back(one, std::move(parts));
    }
  }
  for (const auto& [where, parts] : all) {
    const set_finder find = [&, &one = where](edge_id edge,
                                              const set_hash& hash) -> result<std::optional<series_set_ptr>> {
      BOOST_OUTCOME_TRY(found, read_segment(one, [&](const segment_reader& reader) {
                          return reader.find_set({edge, hash});
                        }));
      if (!found)
        return std::optional<series_set_ptr>{};
      BOOST_OUTCOME_TRY(value, decode_set_value(*found));
      BOOST_OUTCOME_TRY(expanded, expand_set(value));
      BOOST_OUTCOME_TRY(set, decode_series_set(std::move(expanded)));
      return std::optional<series_set_ptr>{std::move(set)};
    };
    const auto gone = [&, &one = where] {
      const std::lock_guard table{table_};
      return one->gone;
    };
    bool wrong = false;
    const auto is_wrong = [&, &one = where](const error& e) {
      if (!wrong)
        hand_to_repair(one, e.message);
      wrong = true;
    };
    for (const auto& [key, stored] : parts) {
      // Past what can't be read: ever further, since nobody knows how many records stood there.
      sequence stride = 1;
      int places = 0;
      for (auto next = stored.next(1); next != 0;) {
        const auto found =
            read_segment(where, [&](const segment_reader& reader) { return reader.find_run(key, next); });
        if (!found) {
          if (gone())
            break;
          if (!is_damage(found.error()))
            return found.error();
          is_wrong(found.error());
          if (++places == damaged_places_max)
            break;
          next = stored.next(next + stride);
          stride *= 2;
          continue;
        }
        if (!found.value())
          break;
        stride = 1;
        const auto& run = *found.value();
        if (const auto done = each(run, find); !done) {
          if (gone())
            break;
          if (!is_damage(done.error()))
            return done.error();
          is_wrong(done.error());
        }
        next = stored.next(std::max(next, run.header.last()) + 1);
      }
    }
    damaged += wrong ? 1 : 0;
  }
  return damaged;
}

std::vector<stream_state> disk_spool::streams() const {
  const std::lock_guard table{table_};
  std::vector<stream_state> out;
  out.reserve(streams_.size());
  for (const auto& [key, info] : streams_) {
    stream_state state;
    state.key = key;
    state.held = info.held;
    state.released = info.released;
    state.lost = info.lost;
    state.last = info.last;
    state.closed = !(key.edge == config_.edge && key.epoch == epoch_);
    state.last_digest = info.held.contains(info.last) ? info.last_digest : 0;
    out.push_back(std::move(state));
  }
  for (const auto& [number, one] : segments_)
    for (const auto& [key, stream] : one->streams) {
      const auto state = std::lower_bound(
          out.begin(), out.end(), key, [](const stream_state& a, const stream_key& b) { return a.key < b; });
      if (state == out.end() || state->key != key)
        continue;
      state->newest_ns =
          std::max(state->newest_ns, std::min(stream.stored.to_ns, stream.stored.last_commit_ns));
      for (const auto& range : stream.stored.stored.ranges())
        state->kept.add(state->released.common_with(range));
    }
  return out;
}

spool_usage disk_spool::usage() const {
  spool_usage out;
  std::vector<std::pair<stream_key, sequence>> to_look_up;
  {
    const std::lock_guard table{table_};
    out.disk_bytes = disk_bytes();
    out.segments = segments_.size();
    out.kept_bytes = kept_bytes();
    out.clock_ahead = age_.ahead();
    for (const auto& [number, one] : segments_)
      for (const auto& [key, stream] : one->streams) {
        // Exact while nothing or everything of a segment's stream is released; in between by share.
        const auto total = stream.stored.stored.count();
        const auto left = stream.remaining.count();
        const auto share = total == 0 ? 0.0 : static_cast<double>(left) / static_cast<double>(total);
        out.records +=
            left == total
                ? stream.stored.records
                : static_cast<std::uint64_t>(share * static_cast<double>(stream.stored.records) + 0.5);
        out.bytes += static_cast<std::uint64_t>(share * static_cast<double>(stream.stored.bytes));
      }
    for (const auto& [key, info] : streams_)
      if (!info.held.empty() && info.oldest_seq != info.held.ranges().front().first)
        to_look_up.emplace_back(key, info.held.ranges().front().first);
  }
  for (const auto& [key, seq] : to_look_up) {
    const auto found = read_once(key, seq, oldest_read_bytes);
    if (!found || !found.value())
      continue;
    const auto records = decode_records(*found.value());
    if (!records || records.value().empty())
      continue;
    seen_clock seen;
    seen.look_ahead(records.value());
    const std::lock_guard table{table_};
    if (const auto it = streams_.find(key); it != streams_.end()) {
      it->second.oldest_seq = seq;
      it->second.oldest_ns = seen.of(records.value().front());
    }
  }
  const std::lock_guard table{table_};
  for (const auto& [key, info] : streams_)
    if (!info.held.empty() && info.oldest_seq == info.held.ranges().front().first
        && (out.oldest_ns == 0 || info.oldest_ns < out.oldest_ns))
      out.oldest_ns = info.oldest_ns;
  return out;
}

} // namespace skerry::edge
