// Committing and adopting: one transaction each, on the writer's thread.

#include "edge/spool/disk_spool.hpp"
#include "schemas/model/host.hpp"
#include "schemas/model/payload.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <unistd.h>

namespace skerry::edge {

namespace fs = std::filesystem;

struct disk_spool::prepared {
  segment_transaction batch;
  std::vector<byte_buffer> set_bytes;
  std::vector<set_name> set_names;
  std::map<stream_key, held_stream> streams; // of the active segment, afterwards
  std::vector<stream_key> released;          // whose released ranges are written
  std::optional<run> packed;                 // stored instead of the one piece and the small runs before it
  std::int64_t now_ns = 0;
};

result<run> disk_spool::commit(stream_id stream, std::span<const pending_record> records,
                               std::span<const series_set_ptr> sets) {
  if (records.empty() || records.size() > run_records_max || !is_known(stream))
    return fail(errc::invalid_argument,
                fmt::format("a commit needs a known stream and 1 to {} records, not {}", run_records_max,
                            records.size()));
  std::uint64_t bytes = 0;
  for (const auto& record : records) {
    const auto size = record_header_bytes + record.host.size() + record.payload.size();
    if (record.host.size() > host_name_bytes_max || size > record_bytes_max)
      return fail(errc::invalid_argument, fmt::format("a record of {} bytes is over a limit", size));
    bytes += size;
  }
  if (bytes > UINT32_MAX)
    return fail(errc::invalid_argument,
                fmt::format("a commit of {} bytes is over the limit of 4 GiB", bytes));

  const std::lock_guard writing{writing_};
  if (closed_)
    return fail(errc::cancelled, "the spool is closed");
  const stream_key key{config_.edge, epoch_, stream};
  sequence first = 1;
  {
    const std::lock_guard table{table_};
    if (const auto it = streams_.find(key); it != streams_.end())
      first = it->second.last + 1;
  }
  run_builder builder{key, first};
  piece whole;
  whole.from_ns = whole.to_ns = records.front().time_ns;
  std::vector<set_name> named;
  const auto name = [&](const set_hash& hash) { named.push_back({config_.edge, hash}); };
  for (const auto& record : records) {
    std::uint64_t sequences = 1;
    if (record.kind == record_kind::tombstone) {
      BOOST_OUTCOME_TRY(stone, decode_tombstone(record.payload));
      const auto seq = builder.header().first + builder.header().sequence_count;
      if (stone.last < seq || stone.last == UINT64_MAX)
        return fail(errc::invalid_argument, fmt::format("a tombstone at {} ends at {}", seq, stone.last));
      sequences = stone.last - seq + 1;
    }
    builder.append(record.kind, record.time_ns, record.host, record.payload, sequences, record.flags);
    whole.from_ns = std::min(whole.from_ns, record.time_ns);
    whole.to_ns = std::max(whole.to_ns, record.time_ns);
    for_each_set(record.kind, record.payload, name);
  }
  const auto last_bytes = record_header_bytes + records.back().host.size() + records.back().payload.size();
  whole.stored = std::move(builder).finish();
  const auto made = whole.stored;
  whole.last_digest = checksum_of(made.bytes.view.last(last_bytes));

  std::vector<piece> pieces;
  if (made.bytes.view.size() <= run_cut_bytes) {
    pieces.push_back(std::move(whole));
  } else {
    BOOST_OUTCOME_TRY(views, decode_records(made));
    piece_builder cut{key};
    for (const auto& view : views) {
      BOOST_OUTCOME_TRY(sequences, sequences_of(view));
      cut.append(view, sequences);
    }
    pieces = cut.take();
  }
  given_sets given;
  for (const auto& set : sets) {
    const set_name set_key{config_.edge, set->hash};
    named.push_back(set_key);
    given.emplace(set_key, set);
  }
  const bool alerts = stream == stream_id::alert;
  BOOST_OUTCOME_TRYV(store(std::move(pieces), std::move(named), given, alerts,
                           alerts ? config_.reserve_bytes / alerts_share_of_reserve : 0));
  return made;
}

namespace {

// The part of a tombstone that stands for `range`.
result<byte_buffer> clip_tombstone(const record_view& record, const stream_key& key, sequence_range range) {
  BOOST_OUTCOME_TRY(stone, decode_tombstone(record.payload));
  byte_buffer payload;
  encode_payload(part_of(stone, record.seq, range.first, range.last), payload);
  byte_buffer out;
  encode_record(record_kind::tombstone, key, range.first, record.time_ns, record.host, payload, out,
                record.flags);
  return out;
}

} // namespace

result<void> disk_spool::adopt(std::span<const run> runs, std::span<const adopted_set> sets) {
  const std::lock_guard writing{writing_};
  if (closed_)
    return fail(errc::cancelled, "the spool is closed");
  std::vector<piece> pieces;
  std::vector<set_name> named;
  std::map<stream_key, range_set> known; // held or released, and what this call adds
  std::uint64_t trimmed = 0;
  for (const auto& one : runs) {
    const auto& key = one.header.key;
    BOOST_OUTCOME_TRY(records, decode_records(one));
    auto [it, fresh] = known.try_emplace(key);
    {
      const std::lock_guard table{table_};
      const auto info = streams_.find(key);
      if (fresh && info != streams_.end()) {
        it->second = info->second.held;
        it->second.add(info->second.released);
      }
      const auto last = info == streams_.end() ? 0 : info->second.last;
      if (key.edge == config_.edge && key.epoch == epoch_ && one.header.last() > last)
        return fail(errc::invalid_argument, fmt::format("{} is numbered here: {} was never given",
                                                        to_string(key), one.header.last()));
    }
    const auto name = [&](const set_hash& hash) { named.push_back({key.edge, hash}); };
    piece_builder builder{key, one.header.tenant};
    for (const auto& record : records) {
      BOOST_OUTCOME_TRY(sequences, sequences_of(record));
      const sequence_range range{record.seq, record.seq + sequences - 1};
      const auto missing = it->second.missing_in(range);
      if (missing.empty()) {
        ++trimmed;
        continue;
      }
      it->second.add(range);
      for_each_set(record.kind, record.payload, name);
      if (missing.ranges().front() == range) {
        builder.append(record, sequences);
        continue;
      }
      for (const auto& part : missing.ranges()) {
        BOOST_OUTCOME_TRY(bytes, clip_tombstone(record, key, part));
        BOOST_OUTCOME_TRY(clipped, decode_record(bytes));
        builder.append(clipped, part.last - part.first + 1);
      }
    }
    auto made = builder.take();
    std::move(made.begin(), made.end(), std::back_inserter(pieces));
  }
  metrics_.records_trimmed.Increment(static_cast<double>(trimmed));
  if (pieces.empty())
    return ok();
  given_sets given;
  for (const auto& [edge, set] : sets) {
    named.push_back({edge, set->hash});
    given.emplace(set_name{edge, set->hash}, set);
  }
  return store(std::move(pieces), std::move(named), given, false);
}

result<void> disk_spool::store(std::vector<piece> pieces, std::vector<set_name> named,
                               const given_sets& given, bool urgent, std::uint64_t beyond_limit) {
  const auto bytes_max =
      beyond_limit != 0 ? config_.bytes_max + beyond_limit : config_.bytes_max - config_.replace_bytes;
  const auto begun_ns = clock_.monotonic_ns();
  std::sort(named.begin(), named.end());
  named.erase(std::unique(named.begin(), named.end()), named.end());
  std::uint64_t bytes = 0;
  std::uint64_t records = 0;
  for (const auto& one : pieces) {
    bytes += one.stored.bytes.view.size();
    records += one.stored.header.record_count;
  }
  const bool small = urgent || bytes <= small_commit_bytes;
  bool limit = false;
  result<void> stored = ok();
  if (disk_full_ && !regain_reserve() && !small)
    stored = fail(errc::exhausted,
                  fmt::format("the disk of {} is full: only small commits are stored; free space on it",
                              config_.directory.string()));
  else
    stored = store_once(pieces, named, given, bytes_max, limit);
  if (!stored && stored.error().code == errc::exhausted && !limit && drop_kept(UINT64_MAX))
    stored = store_once(pieces, named, given, bytes_max, limit);
  if (!stored && stored.error().code == errc::exhausted && !limit) {
    if (!disk_full_) {
      spdlog::error("spool: {}; the reserve is given up, small commits go on", stored.error().message);
      give_up_reserve();
      if (small)
        stored = store_once(pieces, named, given, bytes_max, limit);
    }
  }
  if (!stored) {
    metrics_.commits_failed.Increment();
    if (stored.error().code == errc::exhausted)
      (limit ? metrics_.exhausted_limit : metrics_.exhausted_disk).Increment();
    return stored;
  }
  metrics_.commits.Increment();
  metrics_.records_written.Increment(static_cast<double>(records));
  metrics_.bytes_written.Increment(static_cast<double>(bytes));
  metrics_.commit_seconds.Observe(static_cast<double>(clock_.monotonic_ns() - begun_ns) / 1e9);
  return ok();
}

result<void> disk_spool::store_once(const std::vector<piece>& pieces, const std::vector<set_name>& named,
                                    const given_sets& given, std::uint64_t bytes_max, bool& limit) {
  const auto page = system_page_bytes();
  prepared next;
  prepare(next, pieces, named, given);
  if (writer_ && !writer_->has_room_for(next.batch)) {
    seal_active();
    if (config_.local_retention.count() != 0) {
      BOOST_OUTCOME_TRYV(delete_drained()); // it may be released already, and only full now
    }
    prepare(next, pieces, named, given);
  }
  const auto needed = next.batch.pages(page) * page;
  std::uint64_t short_of = 0;
  {
    const std::lock_guard table{table_};
    const auto used = disk_bytes() + needed;
    short_of = used > bytes_max ? used - bytes_max : 0;
  }
  if (short_of != 0 && drop_kept(short_of))
    prepare(next, pieces, named, given); // a set may have lain only there
  {
    const std::lock_guard table{table_};
    if (limit = disk_bytes() + needed > bytes_max; limit)
      return fail(
          errc::exhausted,
          fmt::format(
              "the spool {} holds {} of at most {} bytes and has no room for {} more; raise spool.bytes_max "
              "or let the link drain it",
              config_.directory.string(), disk_bytes(), config_.bytes_max, needed));
  }
  if (!writer_) {
    // A commit larger than a segment gets a larger one: nothing that is within the limits is refused.
    const auto map = static_cast<double>(needed + 64 * page) / map_use_max;
    BOOST_OUTCOME_TRYV(open_active(std::max(config_.segment_bytes, static_cast<std::uint64_t>(map))));
  }
  active_->commits.fetch_add(1);
  const auto committed = writer_->commit(next.batch);
  active_->commits.fetch_add(1);
  if (!committed) {
    // Its free pages hold what was not committed, under numbers that will be given again.
    seal_active();
    return committed;
  }
  apply(next, pieces);
  return ok();
}

void disk_spool::prepare(prepared& out, const std::vector<piece>& pieces, const std::vector<set_name>& named,
                         const given_sets& given) {
  out = {};
  commit_clock_.note();
  out.now_ns = clock_.wall_ns();
  for (const auto& one : pieces)
    out.batch.runs.push_back(
        {encode_run_key(one.stored.header.key, one.stored.header.first), one.stored.bytes.view});
  for (const auto& name : named) {
    if (active_sets_.contains(name))
      continue;
    if (const auto it = given.find(name); it != given.end()) {
      out.set_bytes.push_back(encode_set_value(name, it->second->encoded.view));
    } else if (auto stored = stored_set(name)) {
      out.set_bytes.push_back(std::move(*stored)); // named again, in a segment that has to decode alone
    } else {
      metrics_.sets_missing.Increment();
      spdlog::warn("spool: series set {} of edge {} is named by a record and is nowhere",
                   to_string(name.hash), to_string(name.edge));
      continue;
    }
    out.set_names.push_back(name);
  }
  for (std::size_t i = 0; i < out.set_names.size(); ++i)
    out.batch.sets.push_back({encode_set_key(out.set_names[i]), out.set_bytes[i]});

  const std::lock_guard table{table_};
  for (const auto& one : pieces) {
    const auto& key = one.stored.header.key;
    auto [it, fresh] = out.streams.try_emplace(key);
    if (fresh) {
      const auto here = active_ ? active_->streams.find(key) : decltype(active_->streams.find(key)){};
      if (active_ && here != active_->streams.end())
        it->second = here->second;
      else
        ++out.batch.new_streams;
    }
    add_to(it->second.stored, one, out.now_ns);
    it->second.remaining.add({one.stored.header.first, one.stored.header.last()});
  }
  pack(out, pieces);
  for (const auto& [key, stream] : out.streams)
    out.batch.index.emplace_back(encode_stream_key('S', key), encode_index_entry(key, stream.stored));
  // A new segment starts with all that is known to be released; afterwards what changed.
  for (const auto& [key, info] : streams_) {
    if (info.released.empty() || (active_ && !info.release_unwritten))
      continue;
    out.batch.index.emplace_back(encode_stream_key('R', key),
                                 encode_index_entry(key, released_entry{info.last, info.released}));
    out.released.push_back(key);
  }
}

void disk_spool::pack(prepared& out, const std::vector<piece>& pieces) {
  if (pieces.size() != 1 || !active_ || disk_full_)
    return;
  const auto& made = pieces.front().stored;
  const auto& key = made.header.key;
  const auto it = small_runs_.find(key);
  if (it == small_runs_.end() || it->second.runs.empty() || made.bytes.view.size() > small_run_bytes
      || it->second.bytes + made.bytes.view.size() < packed_run_bytes)
    return;
  const auto& before = it->second.runs;
  const auto first = before.front().header;
  if (before.back().header.last() + 1 != made.header.first || first.tenant != made.header.tenant
      || !streams_[key].held.contains({first.first, before.back().header.last()}))
    return; // released meanwhile, as over a link that is up: not worth writing again
  run_builder builder{key, first.first, first.tenant};
  const auto append = [&](const run& from) {
    const auto records = decode_records(from);
    if (!records || builder.header().record_count + records.value().size() > run_records_max)
      return false;
    for (const auto& record : records.value())
      builder.append(record, sequences_of(record).value());
    return true;
  };
  if (!std::all_of(before.begin(), before.end(), append) || !append(made))
    return;
  out.packed = std::move(builder).finish();
  for (const auto& one : before)
    out.batch.removed_runs.push_back(encode_run_key(key, one.header.first));
  out.batch.runs.clear();
  out.batch.runs.push_back({encode_run_key(key, first.first), out.packed->bytes.view});
  auto& stream = out.streams[key].stored;
  stream.bytes += out.packed->bytes.view.size();
  stream.bytes -= made.bytes.view.size() + it->second.bytes;
}

void disk_spool::remember_small(const prepared& done, const std::vector<piece>& pieces) {
  const auto forget = [&](const stream_key& key) {
    if (const auto it = small_runs_.find(key); it != small_runs_.end()) {
      small_runs_bytes_ -= it->second.bytes;
      small_runs_.erase(it);
    }
  };
  for (const auto& one : pieces) {
    const auto& made = one.stored;
    const auto& key = made.header.key;
    const auto bytes = made.bytes.view.size();
    const auto it = small_runs_.find(key);
    if (done.packed || bytes > small_run_bytes
        || (it != small_runs_.end()
            && (it->second.runs.back().header.last() + 1 != made.header.first
                || it->second.bytes + bytes >= packed_run_bytes)))
      forget(key);
    if (done.packed || bytes > small_run_bytes || small_runs_bytes_ + bytes > small_runs_bytes_max)
      continue;
    auto& small = small_runs_[key];
    small.runs.push_back(made);
    small.bytes += bytes;
    small_runs_bytes_ += bytes;
  }
}

result<void> disk_spool::open_active(std::uint64_t bytes) {
  auto made = std::make_shared<segment>();
  made->number = next_segment_++;
  made->directory = config_.directory / "segments" / fmt::format("{:08}", made->number);
  made->active = true;
  BOOST_OUTCOME_TRY(writer, segment_writer::create(made->directory, made->number, epoch_, bytes));
  writer_ = std::move(writer);
  active_ = std::move(made);
  return ok();
}

void disk_spool::seal_active() {
  if (!writer_)
    return;
  const auto bytes = writer_->committed_bytes();
  const bool empty = writer_->commits() == 0;
  writer_.reset();
  const auto file = data_file(active_->directory);
  if (empty) {
    std::error_code ignored;
    fs::remove_all(active_->directory, ignored);
  } else if (file_bytes(file) > bytes && ::truncate(file.c_str(), static_cast<off_t>(bytes)) != 0) {
    spdlog::warn("spool: {}", os_error("cannot shorten", file, errno).message); // only space is at stake
  }
  const std::lock_guard table{table_};
  active_->active = false;
  active_->bytes = file_bytes(file);
  const auto sets = std::make_shared<set_filter>(active_sets_.size(), filter_seed_);
  for (const auto& name : active_sets_)
    sets->add(encode_set_key(name));
  active_->sets = sets;
  active_.reset();
  active_sets_.clear();
  small_runs_.clear();
  small_runs_bytes_ = 0;
}

void disk_spool::apply(const prepared& done, const std::vector<piece>& pieces) {
  remember_small(done, pieces);
  metrics_.sets_written.Increment(static_cast<double>(done.set_names.size()));
  last_commit_ns_ = done.now_ns;
  commit_clock_.committed();
  const std::lock_guard table{table_};
  active_sets_.insert(done.set_names.begin(), done.set_names.end());
  segments_.try_emplace(active_->number, active_);
  active_->bytes = writer_->committed_bytes();
  for (const auto& [key, stream] : done.streams)
    active_->streams[key] = stream;
  for (const auto& one : pieces) {
    const auto& header = one.stored.header;
    auto& info = streams_[header.key];
    const sequence_range range{header.first, header.last()};
    info.held.add(range);
    info.lost.remove(range);
    if (range.last > info.last) {
      info.last = range.last;
      info.last_digest = one.last_digest;
    }
  }
  for (const auto& key : done.released)
    streams_[key].release_unwritten = false;
  update_gauges();
}

} // namespace skerry::edge
