#include "simulator/world/memory_engine.hpp"

#include "schemas/model/frame.hpp"
#include "schemas/model/payload.hpp"
#include "schemas/model/set_memory.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace skerry::sim {

namespace {

constexpr sim_time commit_gather = 4 * millisecond;
constexpr std::size_t group_requests_max = 64;
constexpr std::size_t images_unsafe_max = 8;

// Where cloud/ingest keeps what is held of a stream.
std::string held_state_key(const stream_key& key) {
  return fmt::format("held/0/{}/{}/{:02x}/{}", to_string(key.edge), key.epoch.boot_counter,
                     fmt::join(key.epoch.random, ""), static_cast<unsigned>(key.stream));
}

cloud::damage_file damage_file_of(engine_disk& disk) {
  return {"damage",
          [&disk]() -> result<std::string> {
            if (disk.now.damage_file.empty())
              return fail(errc::not_found, "there is no such file");
            return disk.now.damage_file;
          },
          [&disk](std::string_view all) -> result<void> {
            if (disk.health.room == 0)
              return fail(errc::exhausted, "the disk is full");
            if (disk.health.failing)
              return fail(errc::io, "the disk failed");
            disk.before_sync();
            disk.now.damage_file = all;
            return ok();
          }};
}

cloud::ledger_entry entry_of(const cloud::append_request& request, const record_view& record) {
  cloud::ledger_entry out;
  out.site = request.site;
  out.host = record.host;
  out.origin = request.origin;
  out.kind = record.kind;
  out.seq = record.seq;
  out.time_ns = record.time_ns;
  out.payload.assign(record.payload.begin(), record.payload.end());
  return out;
}

} // namespace

bool concerns(const cloud::ledger_entry& entry, std::int64_t from_ns, std::int64_t to_ns) {
  if (entry.kind == record_kind::tombstone) {
    const auto stone = decode_tombstone(entry.payload).value();
    return stone.to_ns >= from_ns && stone.from_ns <= to_ns;
  }
  const auto gap = decode_not_collected(entry.payload).value();
  return gap.to_ns >= from_ns && gap.from_ns <= to_ns;
}

void engine_disk::before_sync() {
  if (!health.lying) {
    unsafe.clear();
    return;
  }
  unsafe.push_back(now);
  if (unsafe.size() > images_unsafe_max)
    unsafe.pop_front();
}

bool engine_image::has_forgotten(const stream_key& key) const {
  return forgotten.contains(held_state_key(key));
}

memory_engine::memory_engine(engine_disk& disk, scheduler& time, seeded_random& random, oracle& truth,
                             const clock_source& clock, planted_faults planted)
    : disk_(disk),
      time_(time),
      random_(random),
      truth_(truth),
      sealer_(disk.now.sealing, time, random.fork(7), truth, clock, planted),
      scrubber_(disk.now.sealing, damage_file_of(disk), time, random.fork(8), clock, planted) {
  sealer_.look();
}

void memory_engine::crash(bool torn) {
  *alive_ = false;
  sealer_.crash(torn);
  scrubber_.crash();
  // One transaction a group: a torn one is not there.
  if (!group_.empty() && !torn && random_.chance(50))
    for (const auto& item : group_)
      apply(item.request);
  group_.clear();
  queue_.clear();
}

void memory_engine::append(cloud::append_request request, std::function<void(result<void>)> done) {
  if (on_append)
    on_append(request);
  queue_.push_back({std::move(request), std::move(done)});
  if (!gathering_) {
    gathering_ = true;
    time_.after(commit_gather, [this, alive = alive_] {
      if (*alive)
        begin_group();
    });
  }
}

void memory_engine::put_state(std::vector<cloud::state_update> updates,
                              std::function<void(result<void>)> done) {
  for (const auto& [key, value, appends] : updates)
    if (value.empty() && key.starts_with("held/"))
      disk_.now.forgotten.insert(key); // by the receiver, whether this reaches the disk or not
  cloud::append_request request;
  request.state = std::move(updates);
  append(std::move(request), std::move(done));
}

void memory_engine::begin_group() {
  // Sometimes little goes at a time: the parts of a job are then not stored, or lost, together.
  const auto most =
      random_.chance(disk_.health.failing ? 80 : 25) ? 1 + random_.below(3) : group_requests_max;
  while (!queue_.empty() && group_.size() < most) {
    group_.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  const auto& health = disk_.health;
  time_.after(random_.between(health.sync_min, health.sync_max), [this, alive = alive_] {
    if (*alive)
      end_group();
  });
}

void memory_engine::end_group() {
  result<void> how = ok();
  if (disk_.health.room == 0)
    how = fail(errc::exhausted, "the disk is full");
  else if (disk_.health.failing && random_.chance(40))
    how = fail(errc::io, "the disk failed");
  if (how)
    disk_.before_sync();
  auto done = std::move(group_);
  group_.clear();
  for (const auto& item : done) {
    if (how)
      apply(item.request);
  }
  sealer_.look();
  gathering_ = !queue_.empty();
  if (gathering_)
    begin_group();
  for (const auto& item : done)
    item.done(how);
}

void memory_engine::apply(const cloud::append_request& request) {
  auto& image = disk_.now;
  for (const auto& set : request.sets)
    image.sets.emplace(std::pair{request.origin.edge, set->hash}, with_members(set).value());
  frame sections;
  for (const auto& record : request.records) {
    auto& to = image.streams[request.origin];
    if (record.kind == record_kind::tombstone) {
      range_set stands_for;
      stands_for.add({record.seq, record.seq + sequences_of(record).value() - 1});
      to.stones.add(stands_for);
      const auto stone = decode_tombstone(record.payload).value();
      to.tombstones[record.seq] = stone;
      to.ledger[record.seq] = entry_of(request, record);
      if (stone.cause == loss_cause::clock_ahead)
        truth_.on_ahead(request.origin, stands_for.ranges().front());
      if (stone.cause == loss_cause::host_limit)
        truth_.on_damaged(request.origin, stands_for); // refused by rule
      continue;
    }
    if (record.kind == record_kind::not_collected)
      to.ledger[record.seq] = entry_of(request, record);
    if (to.data.size() < record.seq)
      to.data.resize(record.seq);
    // Of an epoch that was forgotten because so many came after it, an older copy of the edge's disk may bring records
    // again: they are taken as new.
    if (++to.data[record.seq - 1] > 1
        && !(truth_.copied(request.origin.edge) && image.has_forgotten(request.origin)))
      truth_.violated("record {} of {} is stored twice", record.seq, to_string(request.origin));
    if (truth_.find(request.origin, record.seq) == nullptr)
      truth_.violated("record {} of {} is stored and was never numbered", record.seq,
                      to_string(request.origin));
    if (record.kind == record_kind::frame && to.data[record.seq - 1] == 1)
      image.sealing.add({request.origin, record.seq, record.time_ns, request.site, std::string{record.host}});
    if (record.kind == record_kind::frame && decode_frame_sections(record.payload, sections))
      for (const auto& section : sections.sections)
        if (!image.sets.contains({request.origin.edge, section.set}))
          truth_.violated("record {} of {} is stored without its series set", record.seq,
                          to_string(request.origin));
  }
  for (const auto& [key, value, appends] : request.state) {
    if (appends)
      image.state[key] += value;
    else if (value.empty())
      image.state.erase(key);
    else
      image.state[key] = value;
  }
}

result<void> memory_engine::scan_state(std::string_view prefix,
                                       const std::function<void(std::string_view, std::string_view)>& each) {
  const auto& state = disk_.now.state;
  for (auto it = state.lower_bound(prefix); it != state.end() && it->first.starts_with(prefix); ++it)
    each(it->first, it->second);
  return ok();
}

result<void> memory_engine::ledger(std::int64_t from_ns, std::int64_t to_ns,
                                   const std::function<void(const cloud::ledger_entry&)>& each) {
  for (const auto& [key, stream] : disk_.now.streams)
    for (const auto& [first, entry] : stream.ledger)
      if (concerns(entry, from_ns, to_ns))
        each(entry);
  own_damage(from_ns, to_ns, each);
  return ok();
}

void memory_engine::own_damage(std::int64_t from_ns, std::int64_t to_ns,
                               const std::function<void(const cloud::ledger_entry&)>& each) {
  scrubber_.damages().each(from_ns, to_ns, [&](const cloud::damage& one) {
    tombstone stone;
    stone.from_ns = one.from_ns;
    stone.to_ns = one.to_ns;
    stone.samples = one.samples;
    stone.cause = loss_cause::corrupt;
    cloud::ledger_entry entry;
    entry.site = one.site;
    entry.host = one.host;
    entry.time_ns = stone.to_ns;
    encode_payload(stone, entry.payload);
    each(entry);
  });
}

series_set_ptr memory_engine::find_set(edge_id edge, const set_hash& hash) {
  const auto it = disk_.now.sets.find({edge, hash});
  return it == disk_.now.sets.end() ? nullptr : it->second;
}

std::optional<std::size_t> memory_engine::series_in_set(edge_id edge, const set_hash& hash) {
  const auto set = find_set(edge, hash);
  return set ? std::optional{set->members.size()} : std::nullopt;
}

void restore_image(engine_disk& disk, const engine_image& image, oracle& truth) {
  for (const auto& [key, stream] : disk.now.streams) {
    const auto before = image.streams.find(key);
    range_set gone;
    const auto check = [&](sequence seq) {
      if (before == image.streams.end() || !before->second.has(seq))
        gone.add({seq, seq});
    };
    for (sequence seq = 1; seq <= stream.data.size(); ++seq)
      if (stream.has_data(seq))
        check(seq);
    for (const auto& range : stream.stones.ranges())
      for (auto seq = range.first; seq <= range.last; ++seq)
        check(seq);
    truth.on_damaged(key, gone);
  }
  truth.on_rollback();
  auto forgotten = std::move(disk.now.forgotten);
  disk.now = engine_image{image};
  disk.now.forgotten.merge(forgotten); // what was is not undone
  disk.unsafe.clear();
}

bool lose_unsynced(engine_disk& disk, seeded_random& random, oracle& truth) {
  if (disk.unsafe.empty())
    return false;
  const auto back = random.below(disk.unsafe.size() + 1);
  const bool lost = back != disk.unsafe.size();
  if (lost)
    restore_image(disk, engine_image{disk.unsafe[back]}, truth);
  disk.unsafe.clear();
  return lost;
}

} // namespace skerry::sim
