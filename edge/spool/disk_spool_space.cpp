// Releasing, deleting, the reserve and STATE: where space comes back, on the writer's thread.

#include "actors/base/files.hpp"
#include "edge/spool/disk_spool.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <limits>
#include <unistd.h>

namespace skerry::edge {

namespace fs = std::filesystem;

result<void> disk_spool::release(const stream_key& key, const range_set& ranges) {
  const std::lock_guard writing{writing_};
  if (closed_)
    return fail(errc::cancelled, "the spool is closed");
  {
    const std::lock_guard table{table_};
    const auto it = streams_.find(key);
    if (it == streams_.end())
      return ok(); // drained long ago, or never seen here
    auto& info = it->second;
    const auto before = info.held.count();
    for (auto range : ranges.ranges()) {
      range.first = std::max<sequence>(range.first, 1);
      range.last = std::min(range.last, info.last); // beyond: given by another life of this disk
      if (range.first > range.last || info.released.contains(range))
        continue;
      info.released.add(range);
      info.held.remove(range);
      info.lost.remove(range);
      info.release_unwritten = true;
      for (auto& [number, one] : segments_)
        if (const auto here = one->streams.find(key); here != one->streams.end())
          here->second.remaining.remove(range);
    }
    metrics_.records_released.Increment(static_cast<double>(before - info.held.count()));
    update_gauges();
  }
  return delete_drained();
}

namespace {

// Of records, as they say; a time that was still to come when they were committed is a target's, or a wrong clock's.
std::int64_t newest_ns(const segment_stream& stored) noexcept {
  return std::min(stored.to_ns, stored.last_commit_ns);
}

} // namespace

range_set disk_spool::take_back(const stream_key& key, const range_set& ranges) const {
  range_set back;
  const std::lock_guard writing{writing_}; // nothing is deleted meanwhile
  const std::lock_guard table{table_};
  const auto it = streams_.find(key);
  if (closed_ || it == streams_.end())
    return back;
  auto& info = it->second;
  range_set wanted;
  for (const auto& range : ranges.ranges())
    wanted.add(info.released.common_with(range));
  // The newest has what stands there now, should an older one have been replaced.
  for (auto one = segments_.rbegin(); one != segments_.rend() && !wanted.empty(); ++one) {
    const auto here = one->second->streams.find(key);
    if (here == one->second->streams.end())
      continue;
    range_set found;
    for (const auto& range : wanted.ranges())
      found.add(here->second.stored.stored.common_with(range));
    if (found.empty())
      continue;
    here->second.remaining.add(found);
    one->second->kept = false;
    wanted.remove(found);
    back.add(found);
  }
  info.released.remove(back);
  info.held.add(back);
  return back;
}

std::optional<spool::oldest_part> disk_spool::oldest(std::uint64_t after) {
  const std::lock_guard writing{writing_};
  if (closed_)
    return std::nullopt;
  const auto holds = [](const segment& one) {
    return std::any_of(one.streams.begin(), one.streams.end(),
                       [](const auto& stream) { return !stream.second.remaining.empty(); });
  };
  const std::lock_guard table{table_};
  const auto found = std::find_if(segments_.upper_bound(after), segments_.end(),
                                  [&](const auto& one) { return holds(*one.second); });
  if (found == segments_.end())
    return std::nullopt;
  oldest_part out;
  out.number = found->first;
  out.bytes = found->second->bytes;
  for (const auto& [key, stream] : found->second->streams)
    if (!stream.remaining.empty()) {
      out.held.emplace_back(key, stream.remaining);
      out.newest_ns = std::max(out.newest_ns, newest_ns(stream.stored));
    }
  return out;
}

range_set disk_spool::in_closed_parts(const stream_key& key) const {
  range_set out;
  const std::lock_guard table{table_};
  for (const auto& [number, one] : segments_)
    if (const auto here = one->streams.find(key); !one->active && here != one->streams.end())
      out.add(here->second.remaining);
  return out;
}

result<void> disk_spool::replace(std::span<const run> with) {
  const std::lock_guard writing{writing_};
  if (closed_)
    return fail(errc::cancelled, "the spool is closed");
  std::vector<piece> pieces;
  std::vector<set_name> named;
  for (const auto& one : with) {
    const auto& key = one.header.key;
    BOOST_OUTCOME_TRY(records, decode_records(one));
    {
      const std::lock_guard table{table_};
      const auto info = streams_.find(key);
      if (info == streams_.end() || !info->second.held.contains({one.header.first, one.header.last()}))
        return fail(errc::not_found, fmt::format("{} to {} of {} are not all held", one.header.first,
                                                 one.header.last(), to_string(key)));
    }
    piece_builder builder{key, one.header.tenant};
    for (const auto& record : records) {
      BOOST_OUTCOME_TRY(sequences, sequences_of(record));
      for_each_set(record.kind, record.payload, [&](const set_hash& hash) {
        named.push_back({key.edge, hash});
      });
      builder.append(record, sequences);
    }
    auto made = builder.take();
    std::move(made.begin(), made.end(), std::back_inserter(pieces));
  }
  if (pieces.empty())
    return ok();
  std::vector<std::pair<stream_key, sequence_range>> replaced;
  for (const auto& one : pieces)
    replaced.push_back({one.stored.header.key, {one.stored.header.first, one.stored.header.last()}});
  if (in_active(replaced))
    seal_active(); // space comes back from closed segments only
  BOOST_OUTCOME_TRYV(store(std::move(pieces), std::move(named), {}, true, config_.reserve_bytes));
  {
    const std::lock_guard table{table_};
    for (const auto& [number, one] : segments_)
      if (one != active_)
        for (const auto& [key, range] : replaced)
          if (const auto here = one->streams.find(key); here != one->streams.end())
            here->second.remaining.remove(range);
    update_gauges();
  }
  return delete_drained();
}

bool disk_spool::in_active(const std::vector<std::pair<stream_key, sequence_range>>& ranges) const {
  const std::lock_guard table{table_};
  return active_ && std::any_of(ranges.begin(), ranges.end(), [&](const auto& one) {
           const auto here = active_->streams.find(one.first);
           return here != active_->streams.end() && !here->second.remaining.common_with(one.second).empty();
         });
}

namespace {

std::int64_t newest_ns(const segment& one) noexcept {
  auto newest = std::numeric_limits<std::int64_t>::min();
  for (const auto& [key, stream] : one.streams)
    newest = std::max(newest, newest_ns(stream.stored));
  return newest;
}

} // namespace

// What is older is not kept once it is released.
std::int64_t disk_spool::keep_after_ns() {
  const auto now_ns = age_.now_ns(); // asked in any case: it is to see the time pass
  if (config_.local_retention.count() == 0 || disk_full_)
    return std::numeric_limits<std::int64_t>::max();
  return now_ns - config_.local_retention.count();
}

std::int64_t disk_spool::age_time_ns() {
  const std::lock_guard writing{writing_};
  return age_.now_ns();
}

result<void> disk_spool::delete_drained() {
  const auto keep_after = keep_after_ns();
  std::vector<segment_ptr> drained, kept;
  bool seal = false;
  {
    const std::lock_guard table{table_};
    for (const auto& [number, one] : segments_) {
      const bool empty = std::all_of(one->streams.begin(), one->streams.end(),
                                     [](const auto& stream) { return stream.second.remaining.empty(); });
      if (!empty || one->kept)
        continue;
      const bool keep = newest_ns(*one) >= keep_after;
      // The active one is filled up first, unless it is large or space is short.
      if (one->active
          && (keep || (one->bytes < config_.segment_bytes / drained_active_divisor && !disk_full_)))
        continue;
      seal = seal || one->active;
      (keep ? kept : drained).push_back(one);
    }
  }
  if (drained.empty() && kept.empty()) {
    trim_kept_now(keep_after);
    return ok();
  }
  BOOST_OUTCOME_TRYV(store_state(false));
  if (seal)
    seal_active();
  for (const auto& one : drained)
    delete_segment(one);
  {
    const std::lock_guard table{table_};
    for (const auto& one : kept)
      one->kept = true;
    update_gauges();
  }
  trim_kept_now(keep_after);
  if (disk_full_)
    regain_reserve();
  return ok();
}

void disk_spool::delete_segment(const segment_ptr& one) {
  {
    const std::lock_guard table{table_};
    one->gone = true; // before the file goes: a reader that misses it looks here
    segments_.erase(one->number);
    metrics_.segments_deleted.Increment();
    update_gauges();
  }
  std::error_code code;
  fs::remove_all(one->directory, code);
  if (code)
    spdlog::warn("spool: cannot delete {}: {}; it is tried again at the next start", one->directory.string(),
                 code.message());
}

void disk_spool::trim_kept(bool all) {
  const std::lock_guard writing{writing_};
  if (!closed_)
    trim_kept_now(all ? std::numeric_limits<std::int64_t>::max() : keep_after_ns());
}

void disk_spool::trim_kept_now(std::int64_t keep_after) {
  std::vector<segment_ptr> over;
  {
    const std::lock_guard table{table_};
    auto bytes = kept_bytes();
    std::size_t count = 0;
    for (const auto& [number, one] : segments_)
      count += one->kept ? 1 : 0;
    for (const auto& [number, one] : segments_)
      if (one->kept
          && (newest_ns(*one) < keep_after || bytes > config_.local_bytes_max || count > kept_segments_max)) {
        over.push_back(one);
        bytes -= one->bytes;
        --count;
      }
  }
  for (const auto& one : over)
    delete_segment(one);
}

bool disk_spool::drop_kept(std::uint64_t bytes) {
  std::vector<segment_ptr> over;
  {
    const std::lock_guard table{table_};
    std::uint64_t freed = 0;
    for (const auto& [number, one] : segments_)
      if (one->kept && freed < bytes) {
        over.push_back(one);
        freed += one->bytes;
      }
  }
  for (const auto& one : over)
    delete_segment(one);
  return !over.empty();
}

std::uint64_t disk_spool::kept_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& [number, one] : segments_)
    bytes += one->kept ? one->bytes : 0;
  return bytes;
}

result<void> disk_spool::store_state(bool clean) {
  spool_state state;
  state.epoch = epoch_;
  state.clean = clean;
  state.last_commit_ns = last_commit_ns_;
  state.next_segment = next_segment_;
  {
    const std::lock_guard table{table_};
    prune_streams();
    for (const auto& [key, info] : streams_)
      state.streams[key] = {info.last, info.released, info.lost};
  }
  auto stored = state_file_.store(state);
  if (!stored && stored.error().code == errc::exhausted && !disk_full_) {
    give_up_reserve();
    stored = state_file_.store(state);
  }
  return stored;
}

void disk_spool::prune_streams() {
  std::map<std::pair<edge_id, stream_id>, std::size_t> drained;
  for (auto it = streams_.end(); it != streams_.begin();) {
    --it;
    const auto& [key, info] = *it;
    if (!info.held.empty() || !info.lost.empty() || (key.edge == config_.edge && key.epoch == epoch_))
      continue;
    // As long as its records are on disk it has to be known that they are released.
    const bool stored = std::any_of(segments_.begin(), segments_.end(), [&key = key](const auto& one) {
      return one.second->streams.contains(key);
    });
    if (stored)
      continue;
    // As many as an edge further out names, and the one that it writes: else this hop would seem to have lost them.
    if (++drained[{key.edge, key.stream}] > drained_epochs_kept + (key.edge == config_.edge ? 0 : 1))
      it = streams_.erase(it);
  }
}

void disk_spool::give_up_reserve() {
  ::unlink((config_.directory / "RESERVE").c_str());
  disk_full_ = true;
  metrics_.reserve_held.Set(0);
}

// True when the reserve is there again.
bool disk_spool::regain_reserve() {
  if (config_.reserve_bytes != 0) {
    const auto reserve = config_.directory / "RESERVE";
    if (file_bytes(reserve) == config_.reserve_bytes && !disk_full_) {
      metrics_.reserve_held.Set(1);
      return true;
    }
    // Twice: what is left after it has to be worth leaving the careful mode for.
    if (free_bytes(config_.directory) < 2 * config_.reserve_bytes
        || !allocate_file(reserve, config_.reserve_bytes))
      return false;
  } else if (free_bytes(config_.directory) < small_commit_bytes) {
    return false;
  }
  if (disk_full_)
    spdlog::info("spool: the disk of {} has room again", config_.directory.string());
  disk_full_ = false;
  metrics_.reserve_held.Set(1);
  return true;
}

std::uint64_t disk_spool::disk_bytes() const {
  std::uint64_t bytes = damaged_bytes_;
  for (const auto& [number, one] : segments_)
    bytes += one->bytes;
  return bytes;
}

void disk_spool::update_gauges() {
  std::uint64_t pending = 0;
  for (const auto& [key, info] : streams_)
    pending += info.held.count();
  metrics_.records.Set(static_cast<double>(pending));
  metrics_.segments.Set(static_cast<double>(segments_.size()));
  metrics_.disk_bytes.Set(static_cast<double>(disk_bytes()));
  metrics_.kept_bytes.Set(static_cast<double>(kept_bytes()));
  metrics_.bytes_max.Set(static_cast<double>(config_.bytes_max - config_.replace_bytes));
}

result<void> disk_spool::close() {
  stop_repairing();
  const std::lock_guard writing{writing_};
  if (closed_)
    return ok();
  closed_ = true;
  seal_active();
  age_.save();
  return store_state(true);
}

} // namespace skerry::edge
