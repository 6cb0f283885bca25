#include "simulator/world/memory_spool.hpp"

#include "schemas/model/frame.hpp"
#include "schemas/model/payload.hpp"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

namespace skerry::sim {

namespace {

constexpr std::size_t small_commit_bytes = 600; // what a reserve lets through on a full disk
constexpr std::size_t images_unsafe_max = 12;

// A node's boot clock runs on over all that is done to it; a clone has another.
edge::boot_name boot_of(std::uint32_t node) noexcept {
  edge::boot_name name{1};
  std::memcpy(name.data() + 1, &node, sizeof node);
  return name;
}

std::vector<set_hash> sets_of(const record_view& record) {
  std::vector<set_hash> out;
  frame sections;
  if (record.kind == record_kind::frame && decode_frame_sections(record.payload, sections))
    for (const auto& section : sections.sections)
      out.push_back(section.set);
  return out;
}

// A segment goes with the sets in it: those that no record that is left names are gone.
void drop_unnamed_sets(spool_image& image) {
  std::set<spool_image::set_name> named;
  for (const auto& [key, stream] : image.streams)
    for (const auto* records : {&stream.records, &stream.kept})
      for (const auto& [seq, record] : *records)
        for (const auto& hash : record.sets)
          named.insert({key.edge, hash});
  std::erase_if(image.sets, [&](const auto& set) { return !named.contains(set.first); });
}

// A record is gone. True: so is its segment, and its bytes are free.
bool leave_segment(spool_image& image, const spool_image::stored_record& record) {
  const auto it = image.segments.find(record.segment);
  if (it == image.segments.end() || --it->second.records != 0)
    return false;
  image.bytes -= it->second.bytes;
  image.segments.erase(it);
  return true;
}
void enter_segment(spool_image& image, const spool_image::stored_record& record) {
  auto& segment = image.segments[record.segment];
  const auto bytes = record.bytes.view.size();
  segment.bytes += bytes;
  ++segment.records;
  image.bytes += bytes;
}
// A record comes back that had left: its bytes are still counted where its segment is.
void enter_again(spool_image& image, const spool_image::stored_record& record) {
  const auto it = image.segments.find(record.segment);
  if (it == image.segments.end())
    enter_segment(image, record);
  else
    ++it->second.records;
}

// Removes what is stored of `range`, except from tombstones that reach beyond it.
std::vector<std::pair<sequence, spool_image::stored_record>>
take_records(spool_image& image, spool_image::stream& from, sequence_range range, bool& segment_gone,
             bool keeps = false) {
  std::vector<std::pair<sequence, spool_image::stored_record>> taken;
  auto it = from.records.upper_bound(range.first);
  if (it != from.records.begin())
    --it;
  while (it != from.records.end() && it->first <= range.last) {
    const auto last = it->first + it->second.sequences - 1;
    if (it->first < range.first || last > range.last) {
      // All of it may be released by now.
      range_set held = from.held.common_with({it->first, last});
      held.remove(range);
      if (last < range.first || !held.empty()) {
        ++it;
        continue;
      }
    }
    segment_gone = (!keeps && leave_segment(image, it->second)) || segment_gone;
    taken.emplace_back(it->first, std::move(it->second));
    it = from.records.erase(it);
  }
  return taken;
}

sequence_range range_of(sequence seq, const spool_image::stored_record& record) {
  return {seq, seq + record.sequences - 1};
}

// A restart forgets what was taken back.
void release_again(spool_image& image) {
  for (auto& [key, stream] : image.streams)
    for (auto it = stream.records.begin(); it != stream.records.end();) {
      if (!it->second.taken_back) {
        ++it;
        continue;
      }
      stream.released.add(stream.held.common_with(range_of(it->first, it->second)));
      stream.held.remove(range_of(it->first, it->second));
      it->second.taken_back = false;
      stream.kept.insert(stream.records.extract(it++));
    }
}

} // namespace

range_set spool_image::kept_of(const stream_key& key, const range_set& of) const {
  range_set out;
  if (const auto it = streams.find(key); it != streams.end())
    for (const auto& [seq, record] : it->second.kept)
      out.add(of.common_with(range_of(seq, record)));
  return out;
}

memory_spool::memory_spool(spool_disk& disk, edge_id edge, std::uint32_t node, clock_source& clock,
                           seeded_random random, oracle& truth, planted_faults planted, spool_sizes sizes)
    : disk_(disk), edge_(edge), clock_(clock), random_(random), truth_(truth), sizes_(sizes), node_(node) {
  auto& image = disk_.now;
  report_.clean = image.clean;
  load_last_commit();
  report_.previous_boot_counter = image.epoch.boot_counter;
  image.clean = false;
  release_again(image);
  if (random_.chance(50))
    salvage(); // the newest segment is checked at once, the rest when it is read
  if (!skerry::planted(planted, planted_fault::epoch_not_renewed) || image.epoch.boot_counter == 0)
    image.epoch = {image.epoch.boot_counter + 1, random_.next_128()};
  const stream_key begins{edge_, image.epoch, stream_id::telemetry};
  auto& opened = truth_.begin_stream(begins, node);
  truth_.begin_stream({edge_, image.epoch, stream_id::alert}, node);
  truth_.on_silent(begins, truth_.now() - image.committed_at);
  for (const auto& [key, stream] : image.streams)
    if (key.edge == edge_ && key.stream == stream_id::telemetry) // of alerts completeness says nothing
      opened.older.emplace_back(key, stream.last);
}

result<void> memory_spool::writable(std::size_t bytes, std::uint64_t beyond_limit) {
  if (interrupted_ != interrupted::no && std::exchange(ended_, true))
    return fail(errc::cancelled, "the process is gone");
  const auto room_for = [&](std::uint64_t limit) {
    while (disk_.now.bytes + bytes > limit && drop_kept(false)) {
    }
  };
  room_for(sizes_.bytes_max - (beyond_limit != 0 ? 0 : sizes_.replace_bytes));
  room_for(disk_.health.room);
  const auto after = disk_.now.bytes + bytes;
  if (after > sizes_.bytes_max + beyond_limit - (beyond_limit != 0 ? 0 : sizes_.replace_bytes))
    return fail(errc::exhausted, "the spool is full");
  const bool small = bytes <= small_commit_bytes || beyond_limit != 0;
  if (after > disk_.health.room + (small ? sizes_.reserve_bytes : 0))
    return fail(errc::exhausted, "the disk is full");
  if (disk_.health.failing && random_.chance(40))
    return fail(errc::io, "the disk failed");
  if (disk_.health.lying) {
    disk_.unsafe.push_back(disk_.now);
    if (disk_.unsafe.size() > images_unsafe_max)
      disk_.unsafe.pop_front();
  } else {
    disk_.unsafe.clear();
  }
  return ok();
}

void memory_spool::load_last_commit() {
  auto& image = disk_.now;
  if (image.last_commit_ns == 0)
    return;
  auto now = edge::clock_stamp::of(clock_, boot_of(node_));
  image.last_commit_ns = image.stamp.newest_by(now, std::span{&image.last_commit_ns, 1});
  now.since_ns = image.last_commit_ns - now.offset_ns;
  image.stamp = now;
  report_.last_commit_ns = image.last_commit_ns;
}

void memory_spool::synced() {
  disk_.unsynced_releases.clear();
  auto& image = disk_.now;
  auto now = edge::clock_stamp::of(clock_, boot_of(node_));
  now.since_ns = image.last_commit_ns - image.stamp.offset_ns;
  if (!image.stamp.holds(now))
    image.stamp = now;
  image.last_commit_ns = clock_.wall_ns();
  image.committed_at = truth_.now();
}

void memory_spool::put(spool_image::stream& to, const record_view& record, std::uint64_t sequences) {
  const sequence_range range{record.seq, record.seq + sequences - 1};
  auto& image = disk_.now;
  const auto active = image.segments.find(image.active_segment);
  if (active == image.segments.end() || active->second.bytes >= sizes_.segment_bytes)
    image.active_segment = image.next_segment++;
  auto& stored = to.records[record.seq];
  if (stored.segment != 0) // released in part, and what is left of it is told again
    leave_segment(image, stored);
  stored = {shared_bytes::copy(record.bytes), sequences, false, sets_of(record), image.active_segment};
  enter_segment(image, stored);
  disk_.bytes_peak = std::max(disk_.bytes_peak, image.bytes);
  to.held.add(range);
  to.lost.remove(range);
  to.last = std::max(to.last, range.last);
}

result<run> memory_spool::commit(stream_id stream, std::span<const pending_record> records,
                                 std::span<const series_set_ptr> sets) {
  std::size_t bytes = 0;
  for (const auto& record : records)
    bytes += record_header_bytes + record.payload.size();
  BOOST_OUTCOME_TRYV(writable(bytes, stream == stream_id::alert ? sizes_.reserve_bytes / 2 : 0));
  const stream_key key{edge_, disk_.now.epoch, stream};
  auto& to = disk_.now.streams[key];
  run_builder builder{key, to.last + 1};
  for (const auto& record : records)
    builder.append(record.kind, record.time_ns, record.host, record.payload, 1, record.flags);
  auto made = std::move(builder).finish();
  auto views = decode_records(made).value();
  truth_.on_numbered(key, made.header.first, views, interrupted_ == interrupted::no);
  if (interrupted_ == interrupted::torn)
    views.resize(random_.below(views.size() + 1));
  for (const auto& set : sets)
    disk_.now.sets.try_emplace({edge_, set->hash}, spool_image::stored_set{set, false});
  for (const auto& view : views)
    put(to, view, 1);
  synced();
  return made;
}

result<void> memory_spool::adopt(std::span<const run> runs, std::span<const adopted_set> sets) {
  std::size_t bytes = 0;
  for (const auto& one : runs)
    bytes += one.bytes.view.size();
  BOOST_OUTCOME_TRYV(writable(bytes));
  for (const auto& [edge, set] : sets)
    disk_.now.sets.try_emplace({edge, set->hash}, spool_image::stored_set{set, false});
  for (const auto& one : runs) {
    const auto& key = one.header.key;
    BOOST_OUTCOME_TRY(records, decode_records(one));
    if (interrupted_ == interrupted::torn)
      records.resize(random_.below(records.size() + 1));
    auto& to = disk_.now.streams[key];
    if (key.edge == edge_ && key.epoch == disk_.now.epoch && one.header.last() > to.last)
      return fail(errc::invalid_argument, "a number that was never given");
    for (const auto& record : records) {
      const auto sequences = sequences_of(record).value();
      auto known = to.held;
      known.add(to.released);
      const auto missing = known.missing_in({record.seq, record.seq + sequences - 1});
      for (const auto& part : missing.ranges()) {
        if (part == sequence_range{record.seq, record.seq + sequences - 1}) {
          put(to, record, sequences);
          continue;
        }
        const auto whole = decode_tombstone(record.payload).value(); // nothing else has parts
        const auto stone = part_of(whole, record.seq, part.first, part.last);
        byte_buffer payload, clipped;
        encode_payload(stone, payload);
        encode_record(record_kind::tombstone, key, part.first, record.time_ns, record.host, payload, clipped);
        put(to, decode_record(clipped).value(), part.last - part.first + 1);
      }
    }
  }
  synced();
  return ok();
}

result<void> memory_spool::release(const stream_key& key, const range_set& ranges) {
  const auto it = disk_.now.streams.find(key);
  if (it == disk_.now.streams.end())
    return ok();
  auto& stream = it->second;
  bool segment_gone = false;
  for (auto range : ranges.ranges()) {
    range.last = std::min(range.last, stream.last);
    if (range.first > range.last)
      continue;
    stream.released.add(range);
    stream.held.remove(range);
    stream.lost.remove(range);
    auto taken = take_records(disk_.now, stream, range, segment_gone, sizes_.kept_for != 0);
    if (sizes_.kept_for != 0)
      for (auto& [seq, record] : taken) {
        record.released_at = truth_.now();
        record.taken_back = false;
        stream.kept[seq] = record;
      }
    disk_.unsynced_releases.push_back({key, range, std::move(taken)});
  }
  if (segment_gone)
    after_segment_gone();
  trim_kept(false);
  return ok();
}

// What is released is synced before a segment goes, and streams that drained are forgotten.
void memory_spool::after_segment_gone() {
  disk_.unsynced_releases.clear();
  drop_unnamed_sets(disk_.now);
  std::map<std::pair<edge_id, stream_id>, std::size_t> drained;
  for (auto at = disk_.now.streams.end(); at != disk_.now.streams.begin();) {
    --at;
    const auto& [name, one] = *at;
    if (!one.held.empty() || !one.lost.empty() || !one.kept.empty()
        || (name.edge == edge_ && name.epoch == disk_.now.epoch))
      continue;
    // As many as an edge further out names, and the one that it writes.
    if (++drained[{name.edge, name.stream}] > sizes_.drained_epochs_kept + (name.edge == edge_ ? 0 : 1)) {
      truth_.on_forgotten(name, one.released);
      disk_.passed_on[name].add(one.released);
      at = disk_.now.streams.erase(at);
    }
  }
}

bool memory_spool::drop_kept(bool all) {
  bool any = false, segment_gone = false;
  for (auto& [key, stream] : disk_.now.streams)
    while (!stream.kept.empty() && (all || !any)) {
      segment_gone = leave_segment(disk_.now, stream.kept.begin()->second) || segment_gone;
      stream.kept.erase(stream.kept.begin());
      any = true;
    }
  if (segment_gone)
    after_segment_gone();
  return any;
}

void memory_spool::trim_kept(bool all) {
  if (all) {
    drop_kept(true);
    return;
  }
  bool segment_gone = false;
  for (auto& [key, stream] : disk_.now.streams)
    std::erase_if(stream.kept, [&](const auto& one) {
      if (truth_.now() - one.second.released_at < sizes_.kept_for)
        return false;
      segment_gone = leave_segment(disk_.now, one.second) || segment_gone;
      return true;
    });
  if (segment_gone)
    after_segment_gone();
}

range_set memory_spool::take_back(const stream_key& key, const range_set& ranges) const {
  range_set back;
  const auto it = disk_.now.streams.find(key);
  if (it == disk_.now.streams.end())
    return back;
  auto& stream = it->second;
  for (auto at = stream.kept.begin(); at != stream.kept.end();) {
    range_set wanted;
    for (const auto& range : ranges.ranges())
      wanted.add(stream.released.common_with(range).common_with(range_of(at->first, at->second)));
    if (wanted.empty()) {
      ++at;
      continue;
    }
    at->second.taken_back = true;
    back.add(wanted);
    stream.records.insert(stream.kept.extract(at++));
  }
  stream.released.remove(back);
  stream.held.add(back);
  return back;
}

std::optional<edge::spool::oldest_part> memory_spool::oldest(std::uint64_t after) {
  const auto& image = disk_.now;
  std::uint64_t number = 0;
  for (const auto& [key, stream] : image.streams)
    for (const auto& [seq, record] : stream.records)
      if (record.segment > after)
        number = number == 0 ? record.segment : std::min(number, record.segment);
  if (number == 0)
    return std::nullopt;
  oldest_part out;
  out.number = number;
  out.bytes = image.segments.at(number).bytes;
  for (const auto& [key, stream] : image.streams) {
    range_set held;
    for (const auto& [seq, record] : stream.records)
      if (record.segment == number) {
        held.add(stream.held.common_with({seq, seq + record.sequences - 1}));
        out.newest_ns = std::max(out.newest_ns, decode_record(record.bytes.view).value().time_ns);
      }
    if (!held.empty())
      out.held.emplace_back(key, std::move(held));
  }
  return out;
}

range_set memory_spool::in_closed_parts(const stream_key& key) const {
  range_set out;
  const auto it = disk_.now.streams.find(key);
  if (it != disk_.now.streams.end())
    for (const auto& [seq, record] : it->second.records)
      if (record.segment != disk_.now.active_segment)
        out.add(it->second.held.common_with({seq, seq + record.sequences - 1}));
  return out;
}

result<void> memory_spool::replace(std::span<const run> with) {
  std::size_t bytes = 0;
  for (const auto& one : with) {
    const auto it = disk_.now.streams.find(one.header.key);
    if (it == disk_.now.streams.end() || !it->second.held.contains({one.header.first, one.header.last()}))
      return fail(errc::not_found, "not all of it is held");
    bytes += one.bytes.view.size();
  }
  BOOST_OUTCOME_TRYV(writable(bytes, sizes_.reserve_bytes));
  if (interrupted_ == interrupted::torn)
    return ok(); // one transaction: nothing of it is there
  for (const auto& one : with) {
    const auto& key = one.header.key;
    auto& stream = disk_.now.streams[key];
    BOOST_OUTCOME_TRY(records, decode_records(one));
    for (const auto& record : records) {
      const auto sequences = sequences_of(record).value();
      const sequence_range range{record.seq, record.seq + sequences - 1};
      bool gone = false;
      const auto before = take_records(disk_.now, stream, range, gone);
      for (const auto& [seq, stored] : before)
        if (stored.segment == disk_.now.active_segment)
          disk_.now.active_segment = 0; // space comes back from closed ones only
      check_replaced(key, record, range, before);
      put(stream, record, sequences);
    }
  }
  synced();
  return ok();
}

// A tombstone says which records went, when they were and how much they held; what stays, stays as it was.
void memory_spool::check_replaced(
    const stream_key& key, const record_view& by, sequence_range range,
    const std::vector<std::pair<sequence, spool_image::stored_record>>& before) {
  const auto is_same = [&](const spool_image::stored_record& record) {
    return std::equal(record.bytes.view.begin(), record.bytes.view.end(), by.bytes.begin(), by.bytes.end());
  };
  if (before.size() == 1 && is_same(before.front().second))
    return;
  if (by.kind != record_kind::tombstone) {
    truth_.violated("the limits of a spool put another record in the place of {} of {}", by.seq,
                    to_string(key));
    return;
  }
  const auto stone = decode_tombstone(by.payload).value();
  frame sections;
  std::uint64_t samples = 0, sequences = 0, stones = 0;
  range_set gone;
  for (const auto& [seq, stored] : before) {
    const auto record = decode_record(stored.bytes.view).value();
    sequences += stored.sequences;
    // Tombstones of one cause, side by side, become one. What was thinned and is dropped altogether has a new cause.
    if (record.kind == record_kind::tombstone) {
      const auto other = decode_tombstone(record.payload).value();
      samples += other.samples;
      ++stones;
      if (other.from_ns < stone.from_ns || other.to_ns > stone.to_ns)
        truth_.violated(
            "the tombstone over {} to {} of {} took another's place, and does not say when {} was",
            range.first, range.last, to_string(key), seq);
      if (other.cause != stone.cause && other.cause != loss_cause::thinned)
        truth_.violated("the tombstone over {} to {} of {} took the place of {}, which has another cause",
                        range.first, range.last, to_string(key), seq);
      continue;
    }
    gone.add({seq, seq});
    if (record.time_ns < stone.from_ns || record.time_ns > stone.to_ns)
      truth_.violated("the tombstone over {} to {} of {} does not say when {} was", range.first, range.last,
                      to_string(key), seq);
    if (record.kind == record_kind::frame && decode_frame_sections(record.payload, sections))
      for (const auto& section : sections.sections)
        samples += section.series_count;
    else if (record.kind != record_kind::event)
      truth_.violated("{} of {} says what was lost, and was dropped", seq, to_string(key));
  }
  if (sequences != range.last - range.first + 1 || stone.last != range.last || stone.samples != samples)
    truth_.violated("the tombstone over {} to {} of {} says {} samples to {}; {} records with {} went",
                    range.first, range.last, to_string(key), stone.samples, stone.last, sequences, samples);
  if (on_forced_out)
    on_forced_out(key, range, stone, gone.count(), stones);
  for (const auto& one : gone.ranges())
    truth_.on_forced_out(key, one, node_);
}

void memory_spool::salvage() const {
  for (auto& [key, stream] : disk_.now.streams) {
    range_set lost;
    for (auto it = stream.records.begin(); it != stream.records.end();) {
      if (!it->second.flipped) {
        ++it;
        continue;
      }
      lost.add({it->first, it->first + it->second.sequences - 1});
      leave_segment(disk_.now, it->second);
      it = stream.records.erase(it);
    }
    range_set gone; // a tombstone may stand for what was released in part
    for (const auto& range : lost.ranges())
      gone.add(stream.held.common_with(range));
    stream.held.remove(gone);
    stream.lost.add(gone);
    truth_.on_damaged(key, gone);
  }
  for (const auto& [name, set] : disk_.now.sets) {
    if (!set.flipped)
      continue;
    // The frames that name it cannot be read any more.
    for (auto& [key, stream] : disk_.now.streams)
      for (const auto& [seq, record] : stream.records)
        if (key.edge == name.first)
          if (std::find(record.sets.begin(), record.sets.end(), name.second) != record.sets.end()) {
            range_set one;
            one.add({seq, seq});
            truth_.on_damaged(key, one);
          }
  }
  std::erase_if(disk_.now.sets, [](const auto& set) { return set.second.flipped; });
}

result<std::optional<run>> memory_spool::read(const stream_key& key, sequence from,
                                              std::size_t bytes_max) const {
  if (disk_.health.failing && random_.chance(20))
    return fail(errc::io, "the disk failed");
  const auto it = disk_.now.streams.find(key);
  if (it == disk_.now.streams.end())
    return std::optional<run>{};
  const auto& stream = it->second;
  auto next = stream.held.next(from);
  if (next == 0)
    return std::optional<run>{};
  auto at = stream.records.upper_bound(next);
  if (at == stream.records.begin())
    return std::optional<run>{};
  --at;
  run_builder builder{key, at->first};
  for (next = at->first; at != stream.records.end() && at->first == next; ++at) {
    if (at->second.flipped) {
      if (!builder.empty())
        break;
      salvage();
      return fail(errc::corrupt, "a segment is damaged; ask again");
    }
    if (!builder.empty() && builder.size() + at->second.bytes.view.size() > bytes_max)
      break;
    builder.append(decode_record(at->second.bytes.view).value(), at->second.sequences);
    next += at->second.sequences;
  }
  if (builder.empty())
    return std::optional<run>{};
  return std::optional{std::move(builder).finish()};
}

result<std::optional<series_set_ptr>> memory_spool::find_set(edge_id edge, const set_hash& hash) const {
  if (disk_.health.failing && random_.chance(20))
    return fail(errc::io, "the disk failed");
  const auto it = disk_.now.sets.find({edge, hash});
  if (it == disk_.now.sets.end())
    return std::optional<series_set_ptr>{};
  if (it->second.flipped) {
    salvage();
    return fail(errc::corrupt, "a segment is damaged; ask again");
  }
  return std::optional{it->second.set};
}

std::vector<edge::stream_state> memory_spool::streams() const {
  std::vector<edge::stream_state> out;
  for (const auto& [key, stream] : disk_.now.streams)
    out.push_back({key, stream.held, stream.released, stream.lost, disk_.now.kept_of(key, stream.released), 0,
                   stream.last, !(key.edge == edge_ && key.epoch == disk_.now.epoch), 0});
  return out;
}

result<void> memory_spool::close() {
  disk_.now.clean = true;
  disk_.unsynced_releases.clear();
  return ok();
}

namespace {

// Records that `before` knew of and `after` does not.
void note_forgotten(const spool_image& before, const spool_image& after, edge_id own, oracle& truth) {
  for (const auto& [key, stream] : before.streams) {
    auto known = stream.held;
    known.add(stream.released);
    known.add(stream.lost);
    auto gone = known;
    if (const auto it = after.streams.find(key); it != after.streams.end()) {
      gone.remove(it->second.held);
      gone.remove(it->second.released);
      gone.remove(it->second.lost);
    }
    // Of another's records somebody further out still knows that they were released.
    if (key.edge == own)
      truth.on_forgotten(key, gone);
    else
      truth.on_damaged(key, gone);
  }
}

} // namespace

void lose_unsynced(spool_disk& disk, edge_id own, seeded_random& random, oracle& truth) {
  if (!disk.unsafe.empty()) {
    const auto back = random.below(disk.unsafe.size() + 1);
    if (back != disk.unsafe.size())
      restore_image(disk, spool_image{disk.unsafe[back]}, own, truth);
    disk.unsafe.clear();
    disk.unsynced_releases.clear();
    return;
  }
  if (random.chance(50))
    for (auto it = disk.unsynced_releases.rbegin(); it != disk.unsynced_releases.rend(); ++it) {
      const auto at = disk.now.streams.find(it->key);
      if (at == disk.now.streams.end())
        continue;
      auto& stream = at->second;
      stream.released.remove(it->range);
      for (auto& [seq, record] : it->records) {
        if (stream.kept.erase(seq) == 0) // else it has not left its segment
          enter_again(disk.now, record);
        stream.records[seq] = std::move(record);
      }
      // Held is what is stored and not released, also of tombstones that are released in part.
      for (const auto& [seq, record] : stream.records)
        if (const sequence_range stored{seq, seq + record.sequences - 1};
            stored.last >= it->range.first && stored.first <= it->range.last)
          stream.held.add({std::max(stored.first, it->range.first), std::min(stored.last, it->range.last)});
    }
  disk.unsynced_releases.clear();
}

void restore_image(spool_disk& disk, const spool_image& image, edge_id own, oracle& truth) {
  note_forgotten(disk.now, image, own, truth);
  truth.on_rollback();
  for (const auto* of : {&std::as_const(disk.now), &image})
    for (const auto& [key, stream] : of->streams)
      truth.on_copied(key.edge);
  disk.now = image;
  disk.unsafe.clear();
  disk.unsynced_releases.clear();
  disk.passed_on.clear();
}

std::size_t flip_bits(spool_disk& disk, seeded_random& random) {
  std::size_t flipped = 0;
  for (auto& [key, stream] : disk.now.streams)
    for (auto& [seq, record] : stream.records)
      if (random.chance(15)) {
        record.flipped = true;
        ++flipped;
      }
  for (auto& [name, set] : disk.now.sets)
    if (random.chance(10)) {
      set.flipped = true;
      ++flipped;
    }
  return flipped;
}

} // namespace skerry::sim
