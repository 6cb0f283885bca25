// Setting a damaged segment aside: what is readable goes into a new segment, the file into damaged/, and what
// is gone is named as lost.

#include "edge/spool/disk_spool.hpp"
#include "edge/spool/examine.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace skerry::edge {

namespace fs = std::filesystem;

void disk_spool::recount(const stream_key& key) {
  auto& info = streams_[key];
  info.held = {};
  info.last_digest = 0;
  for (const auto& [number, one] : segments_) {
    const auto here = one->streams.find(key);
    if (here == one->streams.end())
      continue;
    info.held.add(here->second.remaining);
    const auto last = here->second.stored.stored.highest();
    if (last >= info.last) {
      info.last = last;
      info.last_digest = here->second.stored.last_digest;
    }
  }
  for (const auto& range : info.held.ranges())
    info.lost.remove(range);
}

result<void> disk_spool::set_aside(const segment_ptr& found, const std::string& what,
                                   const shared_bytes& answer, open_report* report) {
  if (found == active_)
    seal_active();
  metrics_.segments_damaged.Increment();

  std::set<stream_key> known;
  std::map<stream_key, range_set> expected;
  {
    const std::lock_guard table{table_};
    for (const auto& [key, info] : streams_)
      known.insert(key);
    for (const auto& [key, stream] : found->streams)
      expected[key] = stream.stored.stored;
    for (const auto stream : {stream_id::alert, stream_id::telemetry})
      for (const auto& epoch : {epoch_, previous_epoch_})
        known.insert({config_.edge, epoch, stream});
  }
  const auto from = read_answer(answer, known);

  // What is not released and not held elsewhere is kept; what was promised and is not found is lost.
  std::map<stream_key, range_set> keep;
  std::map<stream_key, range_set> elsewhere;
  {
    const std::lock_guard table{table_};
    for (const auto& [key, entry] : from.released) {
      auto& info = streams_[key];
      info.released.add(entry.released);
      info.last = std::max(info.last, entry.last);
    }
    for (const auto& [key, stream] : from.promised)
      expected[key].add(stream.stored);
    for (const auto& [key, records] : from.records)
      expected.try_emplace(key);
    for (auto& [key, ranges] : expected) {
      auto& not_wanted = elsewhere[key];
      const auto info = streams_.find(key);
      if (info != streams_.end())
        not_wanted = info->second.released;
      for (const auto& [number, one] : segments_)
        if (one != found)
          if (const auto here = one->streams.find(key); here != one->streams.end())
            not_wanted.add(here->second.remaining);
      // In the epoch that is written now, numbers beyond the last were never given.
      if (key.edge == config_.edge && key.epoch == epoch_)
        not_wanted.add({(info == streams_.end() ? 0 : info->second.last) + 1, UINT64_MAX - 1});
      for (const auto& range : not_wanted.ranges())
        ranges.remove(range);
      if (const auto records = from.records.find(key); records != from.records.end())
        for (const auto& [seq, record] : records->second)
          if (const sequence_range range{seq, seq + record.sequences - 1}; !not_wanted.contains(range))
            keep[key].add(range);
    }
  }
  std::uint64_t records = 0;
  segment_ptr rebuilt;
  if (!keep.empty()) {
    auto made = rebuild(from, keep, records);
    if (!made && made.error().code == errc::exhausted) {
      std::error_code ignored;
      fs::remove_all(config_.directory / "damaged", ignored);
      {
        const std::lock_guard table{table_};
        damaged_bytes_ = 0;
      }
      give_up_reserve();
      made = rebuild(from, keep, records);
    }
    if (!made)
      return fail(made.error().code, fmt::format("cannot salvage segment {}: {}", found->directory.string(),
                                                 made.error().message));
    rebuilt = std::move(made).value();
  }
  std::uint64_t lost_records = 0;
  {
    const std::lock_guard table{table_};
    segments_.erase(found->number);
    found->gone = true;
    if (rebuilt)
      segments_[rebuilt->number] = rebuilt;
    for (auto& [key, ranges] : expected) {
      auto lost = ranges;
      for (const auto& range : keep[key].ranges())
        lost.remove(range);
      lost_records += lost.count();
      auto& info = streams_[key];
      info.last = std::max(info.last, ranges.highest());
      info.lost.add(lost);
      recount(key);
    }
    update_gauges();
  }
  metrics_.records_salvaged.Increment(static_cast<double>(records));
  metrics_.records_lost.Increment(static_cast<double>(lost_records));
  spdlog::error("spool: segment {} is damaged: {}; {} records were saved from it, {} are lost",
                found->directory.string(), what, records, lost_records);
  if (report != nullptr)
    report->damaged.push_back({found->directory, what, records, lost_records});
  // First the loss is on disk, then its trace goes.
  if (const auto stored = store_state(false); !stored)
    spdlog::error("spool: {}", stored.error().message);
  move_damaged(found);
  return ok();
}

result<segment_ptr> disk_spool::rebuild(const salvaged& from, const std::map<stream_key, range_set>& keep,
                                        std::uint64_t& records) {
  records = 0;
  auto made = std::make_shared<segment>();
  made->number = next_segment_++;
  made->directory = config_.directory / "segments" / fmt::format("{:08}", made->number);
  const auto map = std::max(config_.segment_bytes, from.file.view.size() * 3 / 2 + segment_bytes_min);
  BOOST_OUTCOME_TRY(writer, segment_writer::create(made->directory, made->number, epoch_, map));
  const auto now_ns = clock_.wall_ns();

  std::set<set_name> sets_done;
  std::vector<byte_buffer> set_bytes; // copied from other segments
  std::vector<piece> pieces;
  segment_transaction batch;
  std::size_t bytes = 0;
  const auto write = [&]() -> result<void> {
    for (const auto& one : pieces) {
      const auto& header = one.stored.header;
      batch.runs.push_back({encode_run_key(header.key, header.first), one.stored.bytes.view});
      auto [it, fresh] = made->streams.try_emplace(header.key);
      batch.new_streams += fresh ? 1 : 0;
      add_to(it->second.stored, one, now_ns);
      it->second.remaining.add({header.first, header.last()});
    }
    std::set<stream_key> touched;
    for (const auto& one : pieces)
      touched.insert(one.stored.header.key);
    for (const auto& key : touched)
      batch.index.emplace_back(encode_stream_key('S', key),
                               encode_index_entry(key, made->streams[key].stored));
    auto done = writer->commit(batch);
    pieces.clear();
    set_bytes.clear();
    batch = {};
    bytes = 0;
    return done;
  };
  const auto add_set = [&](const set_name& name) {
    if (!sets_done.insert(name).second)
      return;
    if (const auto it = from.sets.find(name); it != from.sets.end()) {
      batch.sets.push_back({encode_set_key(name), it->second});
    } else if (auto stored = stored_set(name)) {
      set_bytes.push_back(std::move(*stored));
      batch.sets.push_back({encode_set_key(name), set_bytes.back()});
    } else {
      metrics_.sets_missing.Increment();
      spdlog::error("spool: series set {} of edge {} is lost with the segment that is damaged",
                    to_string(name.hash), to_string(name.edge));
      return;
    }
    bytes += batch.sets.back().value.size();
  };
  const auto fill = [&]() -> result<void> {
    for (const auto& kept : keep) { // clang 14 captures no structured binding
      const auto& key = kept.first;
      const auto& ranges = kept.second;
      piece_builder builder{key};
      sequence done = 0;
      for (const auto& [seq, record] : from.records.at(key)) {
        const auto view = decode_record(record.bytes);
        if (!view || !ranges.contains(seq) || seq <= done)
          continue;
        done = seq + record.sequences - 1;
        for_each_set(view.value().kind, view.value().payload, [&](const set_hash& hash) {
          add_set({key.edge, hash});
        });
        builder.append(view.value(), record.sequences);
        ++records;
        if (bytes + builder.bytes() >= salvage_commit_bytes) {
          pieces = builder.take();
          BOOST_OUTCOME_TRYV(write());
        }
      }
      auto rest = builder.take();
      for (const auto& one : rest)
        bytes += one.stored.bytes.view.size();
      std::move(rest.begin(), rest.end(), std::back_inserter(pieces));
      if (bytes >= salvage_commit_bytes) {
        BOOST_OUTCOME_TRYV(write());
      }
    }
    return pieces.empty() ? result<void>{ok()} : write();
  };
  auto filled = fill();
  made->bytes = writer->committed_bytes();
  writer.reset();
  if (!filled) {
    std::error_code ignored;
    fs::remove_all(made->directory, ignored);
    return std::move(filled).error();
  }
  return made;
}

void disk_spool::move_damaged(const segment_ptr& found) {
  const auto damaged = config_.directory / "damaged";
  std::error_code code;
  if (const auto made = make_private_directory(damaged); !made)
    code = std::make_error_code(std::errc::io_error);
  const auto target = damaged / found->directory.filename();
  if (!code)
    fs::rename(found->directory, target, code);
  if (code) {
    spdlog::warn("spool: cannot move {} to {}: {}; it is deleted", found->directory.string(), target.string(),
                 code.message());
    fs::remove_all(found->directory, code);
  }
  std::vector<fs::path> kept;
  for (fs::directory_iterator it{damaged, code}, end; !code && it != end; it.increment(code))
    kept.push_back(it->path());
  std::sort(kept.begin(), kept.end());
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (i + damaged_segments_kept < kept.size()) {
      std::error_code ignored;
      fs::remove_all(kept[i], ignored);
    } else {
      bytes += file_bytes(data_file(kept[i]));
    }
  }
  const std::lock_guard table{table_};
  damaged_bytes_ = bytes;
}

} // namespace skerry::edge
