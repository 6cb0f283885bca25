#include "cloud/store/log_env.hpp"

#include "actors/base/clock.hpp"
#include "actors/base/mapped_file.hpp"
#include "actors/base/page_check.hpp"
#include "cloud/store/state_table.hpp"
#include "schemas/model/set_memory.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace skerry::cloud {

namespace {

constexpr std::size_t state_entry_bytes_max = 1 << 20; // an entry of state is closed beyond

bytes_view key_of(const std::uint64_t& chunk) noexcept { return std::as_bytes(std::span{&chunk, 1}); }

bool is_note(record_kind kind) noexcept { return policy_of(kind).ledger || policy_of(kind).kept_whole; }

constexpr std::int64_t ahead_max_ns = 3'600'000'000'000; // that samples may be ahead of the clock, generously

// Records of a body, and where the index puts them.
struct indexed {
  log_index& index;
  frame sections;

  // False where the record cannot be used.
  bool add(const envelope& from, const record_view& record, log_place entry, std::uint32_t offset) {
    if (policy_of(record.kind).samples) {
      if (!decode_frame_sections(record.payload, sections))
        return false;
      auto* source = index.source_of(from.tenant, from.site, record.host, from.origin.edge, sections);
      if (source == nullptr)
        return false;
      index.add(*source, {sections.time_ns, {entry.chunk, offset}});
    } else if (is_note(record.kind)) {
      index.notes.push_back({record.time_ns, entry, offset, record.kind});
    }
    if (record.kind != record_kind::tombstone)
      index.stored[from.origin].add({record.seq, record.seq});
    return true;
  }
};

} // namespace

compact_set_ptr set_registry::compact(const series_set& set) {
  const std::lock_guard lock{mutex_};
  auto& slot = sets_[set.hash];
  auto have = slot.lock();
  if (!have) {
    have = std::make_shared<const compact_set>(table_, set);
    slot = have;
    if (sets_.size() > sweep_at_) {
      std::erase_if(sets_, [](const auto& each) { return each.second.expired(); });
      sweep_at_ = std::max<std::size_t>(1024, sets_.size() * 2);
    }
  }
  return have;
}

compact_set_ptr set_registry::find(const set_hash& hash) const {
  const std::lock_guard lock{mutex_};
  const auto it = sets_.find(hash);
  return it == sets_.end() ? nullptr : it->second.lock();
}

result<std::shared_ptr<log_env>> log_env::create(const std::filesystem::path& directory, std::uint64_t number,
                                                 std::uint64_t map_bytes) {
  std::shared_ptr<log_env> log{new log_env};
  log->directory_ = directory;
  log->number_ = number;
  log->id_ = system_random().next();
  log->created_ns_ = system_clock().monotonic_ns();
  BOOST_OUTCOME_TRY(env, lmdb_env::open(directory, map_bytes, 0, true));
  log->env_ = std::move(env);
  const lmdb_env::database_request main_database{nullptr, MDB_INTEGERKEY, &log->db_};
  BOOST_OUTCOME_TRYV(log->env_->databases({&main_database, 1}));
  return log;
}

result<std::shared_ptr<log_env>> log_env::open(const std::filesystem::path& directory, std::uint64_t number,
                                               std::uint64_t map_bytes, set_registry& sets,
                                               const log_replay& replay, std::int64_t now_ns) {
  BOOST_OUTCOME_TRY(log, create(directory, number, map_bytes));
  BOOST_OUTCOME_TRYV(log->scan(sets, replay, now_ns));
  return log;
}

damage anything_until(std::int64_t now_ns, std::uint64_t thing) {
  damage all;
  all.to_ns = now_ns + ahead_max_ns;
  all.thing = thing;
  return all;
}

namespace {

// What a log's scan finds missing, as far as the rest of the log bounds it.
class missing_in_log {
public:
  missing_in_log(log_damage& to, std::int64_t now_ns) : to_(to), now_ns_(now_ns) {}

  // Bytes between entries that are none: the serial of the next one says how many stood there.
  void on_bad_bytes() { bad_bytes_ = true; }

  void on_entry(const entry_view& entry) {
    if (entry.serial > next_serial_)
      open_.push_back(damaged_thing("log entries", {next_serial_, entry.serial}));
    bad_bytes_ = false;
    next_serial_ = std::max(next_serial_, entry.serial + 1);
    log_ = entry.log;
  }

  // What is missing before a sound append lies within what its log is about so far.
  void on_envelope(const envelope& from) {
    if (from.log.known())
      close([&](damage& lost) {
        lost.from_ns = from.log.oldest_ns;
        lost.to_ns = from.log.newest_ns;
      });
  }

  // Of the append at hand, bytes between its records that are none.
  void on_bad_records(const entry_view& entry, const envelope& from, bytes_view bytes, std::size_t offset,
                      const log_index& index) {
    auto lost = of_append(entry, from, offset);
    lost.host = host_of(from, bytes, index);
    to_.lost.push_back(std::move(lost));
  }

  // A record that cannot be used.
  void on_unusable(const entry_view& entry, const envelope& from, const record_view& record,
                   std::size_t offset) {
    auto lost = of_append(entry, from, offset);
    lost.host = record.host;
    lost.from_ns = lost.to_ns = record.time_ns; // sound, as its checksum is
    to_.lost.push_back(std::move(lost));
  }

  // A whole entry whose content does not decode, or is of a kind that is not known.
  void on_unknown(const entry_view& entry) { open_.push_back(damaged_thing("log entry", {entry.serial})); }

  // Nothing later bounds what is still open.
  void finish() {
    if (bad_bytes_)
      open_.push_back(damaged_thing("log end", {next_serial_}));
    close([](damage&) {});
  }

private:
  template <class Bound>
  void close(Bound&& bound) {
    for (const auto thing : open_) {
      auto lost = anything_until(now_ns_, damaged_thing("log", {log_, thing}));
      bound(lost);
      to_.lost.push_back(std::move(lost));
    }
    open_.clear();
  }

  [[nodiscard]] damage of_append(const entry_view& entry, const envelope& from, std::size_t offset) const {
    auto lost = anything_until(now_ns_, damaged_thing("log record", {entry.log, entry.serial, offset}));
    lost.site = from.site;
    if (from.records.known()) {
      lost.from_ns = from.records.oldest_ns;
      lost.to_ns = from.records.newest_ns;
    }
    return lost;
  }

  // Whose record that was, where it was one and all else that can be checked of its host says the same; else empty.
  [[nodiscard]] static std::string host_of(const envelope& from, bytes_view bytes, const log_index& index) {
    byte_reader r{bytes}; // docs/formats.md#record
    (void)r.bytes(4);
    const auto length = r.fixed<std::uint32_t>();
    (void)r.bytes(16);
    const auto tag = r.fixed<std::uint32_t>();
    (void)r.bytes(2);
    const auto host_bytes = r.fixed<std::uint8_t>();
    (void)r.bytes(9);
    const std::string host{as_text(r.bytes(host_bytes))};
    if (r.failed() || host.empty() || length != bytes.size()
        || tag != epoch_tag(from.origin.edge, from.origin.epoch)
        || shard_of(make_host_id(from.tenant, from.site, host)) != from.shard)
      return {};
    const auto& all = index.sources();
    const bool known = std::any_of(all.begin(), all.end(), [&](const auto& source) {
      return source->site == from.site && source->host == host;
    });
    return known ? host : std::string{};
  }

  log_damage& to_;
  const std::int64_t now_ns_;
  std::uint64_t next_serial_ = 1;
  std::uint64_t log_ = 0;
  bool bad_bytes_ = false;
  std::vector<std::uint64_t> open_; // things that are not bounded yet
};

} // namespace

result<void> log_env::scan(set_registry& sets, const log_replay& replay, std::int64_t now_ns) {
  BOOST_OUTCOME_TRY(reader, read());
  indexed into{index_, {}};
  missing_in_log missing{damage_, now_ns};
  bool newer = false;
  bool copying = false; // between a reset and the start behind it
  std::size_t copied_bytes = 0;
  auto scanned = reader.each_chunk([&](std::uint64_t key, bytes_view chunk) -> result<void> {
    next_chunk_ = key + 1;
    const auto chunk_key = static_cast<std::uint32_t>(key);
    const auto on_entry = [&](const entry_view& entry, std::size_t at) {
      const log_place place{chunk_key, static_cast<std::uint32_t>(at)};
      id_ = entry.log;
      next_serial_ = std::max(next_serial_, entry.serial + 1);
      missing.on_entry(entry);
      copying = copying || entry.kind == entry_kind::reset;
      copied_bytes += copying ? entry.bytes : 0;
      switch (entry.kind) {
      case entry_kind::append: {
        const auto from = decode_envelope(entry.head);
        if (!from) {
          damage_.bytes += entry.bytes;
          missing.on_unknown(entry);
          return;
        }
        missing.on_envelope(from.value());
        span_.add(from.value().log);
        if (replay.fence)
          replay.fence(from.value());
        const auto body_at = at + entry_header_bytes + entry.head.size();
        damage_.bytes += for_each_record(
            entry.body,
            [&](const record_view& record, std::size_t offset) {
              if (into.add(from.value(), record, place, static_cast<std::uint32_t>(body_at + offset)))
                return;
              ++damage_.records;
              missing.on_unusable(entry, from.value(), record, offset);
            },
            [&](bytes_view bytes, std::size_t offset) {
              missing.on_bad_records(entry, from.value(), bytes, offset, index_);
            });
        return;
      }
      case entry_kind::set: {
        const auto head = decode_set_entry(entry.head);
        if (!head) {
          damage_.bytes += entry.bytes; // the frames that name it cannot be used, and are named
          return;
        }
        auto compact = sets.find(head.value().hash);
        if (!compact) {
          const auto set = unpack_set(head.value().hash, head.value().plain_bytes, head.value().packed);
          if (!set) {
            damage_.bytes += entry.bytes;
            return;
          }
          compact = sets.compact(*set.value());
        }
        index_.add_set({head.value().edge, head.value().hash}, {place, std::move(compact)});
        return;
      }
      case entry_kind::reset:
        if (replay.reset)
          replay.reset();
        return;
      case entry_kind::state:
        if (replay.state && !decode_state(entry.head, replay.state))
          damage_.bytes += entry.bytes;
        return;
      case entry_kind::more:
        if (replay.more && !decode_state(entry.head, replay.more))
          damage_.bytes += entry.bytes;
        return;
      case entry_kind::start: copying = false; return;
      }
      newer = true;
      missing.on_unknown(entry);
    };
    damage_.bytes +=
        for_each_entry(chunk, on_entry, [&](bytes_view, std::size_t) { missing.on_bad_bytes(); });
    return ok();
  });
  if (!scanned)
    return scanned;
  missing.finish();
  if (newer)
    spdlog::warn("store: log {} holds entries of a kind that this build does not know; they are left out",
                 number_);
  bytes_ = env_->used_bytes();
  count_index();
  copied_bytes_ = copying ? 0 : copied_bytes; // without its end: what follows it may be no copy
  return ok();
}

bool log_env::empty() const {
  const std::shared_lock lock{mutex_};
  return index_.frames == 0 && index_.notes.empty();
}

result<log_reader> log_env::read() const {
  BOOST_OUTCOME_TRY(txn, env_->read());
  return log_reader{*this, std::move(txn), db_};
}

result<series_set_ptr> log_env::find_set(const set_key& key) const {
  log_place at;
  {
    const std::shared_lock lock{mutex_};
    const auto it = index_.sets.find(key);
    if (it == index_.sets.end())
      return series_set_ptr{};
    at = it->second.entry;
  }
  BOOST_OUTCOME_TRY(reader, read());
  BOOST_OUTCOME_TRY(entry, reader.entry(at));
  BOOST_OUTCOME_TRY(head, decode_set_entry(entry.head));
  return unpack_set(head.hash, head.plain_bytes, head.packed);
}

result<bytes_view> log_reader::chunk(std::uint32_t key) {
  if (key == last_key_ && !last_.empty())
    return last_;
  const std::uint64_t wide = key;
  BOOST_OUTCOME_TRY(found, txn_.get(db_, key_of(wide)));
  if (!found)
    return fail(errc::corrupt, fmt::format("chunk {} of log {} is gone", key, log_->number()));
  last_key_ = key;
  last_ = *found;
  return last_;
}

result<record_view> log_reader::record(const log_place& at) {
  BOOST_OUTCOME_TRY(bytes, chunk(at.chunk));
  if (at.offset >= bytes.size())
    return fail(errc::corrupt, "a record lies outside its chunk");
  return decode_record(bytes.subspan(at.offset));
}

result<entry_view> log_reader::entry(const log_place& at) {
  BOOST_OUTCOME_TRY(bytes, chunk(at.chunk));
  if (at.offset >= bytes.size())
    return fail(errc::corrupt, "an entry lies outside its chunk");
  return decode_entry(bytes.subspan(at.offset));
}

result<void> log_reader::each_chunk(const std::function<result<void>(std::uint64_t, bytes_view)>& each) {
  BOOST_OUTCOME_TRY(cursor, lmdb_cursor::open(txn_, db_));
  for (auto op = MDB_FIRST;; op = MDB_NEXT) {
    BOOST_OUTCOME_TRY(item, cursor.move(op));
    if (!item)
      return ok();
    std::uint64_t key = 0;
    if (item->key.size() == sizeof key)
      std::memcpy(&key, item->key.data(), sizeof key);
    BOOST_OUTCOME_TRYV(each(key, item->value));
  }
}

void log_batch::add_piece(entry_kind kind, bytes_view head, std::size_t body_bytes) {
  piece p;
  p.scratch_at = scratch_.size();
  encode_entry(kind, log_.id_, log_.next_serial_ + pieces_.size(), head, body_bytes, scratch_);
  p.scratch_bytes = scratch_.size() - p.scratch_at;
  p.body_bytes = body_bytes;
  p.records_from = p.records_to = records_.size();
  bytes_ += p.scratch_bytes + body_bytes;
  pieces_.push_back(p);
}

result<void> log_batch::add(const append_request& request,
                            const std::function<bool(const record_view&)>& repeated,
                            const std::function<series_set_ptr(const set_hash&)>& find) {
  // Everything that can be refused is looked at before anything is added. What is made on the way (sources
  // without frames, sets) does no harm.
  std::vector<std::pair<const record_view*, head_source*>> keep;
  std::vector<std::int64_t> times;
  std::vector<series_set_ptr> fresh;
  std::unordered_map<set_key, log_set, set_key_hash> fresh_sets;
  std::size_t body_bytes = 0;
  for (const auto& record : request.records) {
    if (record.bytes.size() < record_header_bytes)
      return fail(errc::invalid_argument, "an append brings a record without its bytes");
    if (record.kind != record_kind::tombstone && repeated && repeated(record)) {
      ++repeated_;
      continue;
    }
    head_source* source = nullptr;
    std::int64_t time = record.time_ns;
    if (policy_of(record.kind).samples) {
      BOOST_OUTCOME_TRYV(decode_frame_sections(record.payload, frame_));
      time = frame_.time_ns;
      const auto edge = request.origin.edge;
      for (const auto& section : frame_.sections) {
        const set_key key{edge, section.set};
        if (log_.index_.sets.contains(key) || pending_sets_.contains(key) || fresh_sets.contains(key))
          continue;
        const auto it = std::find_if(request.sets.begin(), request.sets.end(),
                                     [&](const auto& s) { return s && s->hash == section.set; });
        auto set = it != request.sets.end() ? *it : find ? find(section.set) : nullptr;
        if (!set)
          return fail(errc::invalid_argument,
                      fmt::format("record {} of {} names series set {}, which the append does not bring",
                                  record.seq, to_string(request.origin), to_string(section.set)));
        // Unfolded for this moment only.
        BOOST_OUTCOME_TRY(full, with_members(set));
        fresh_sets.emplace(key, log_set{{}, sets_.compact(*full)});
        fresh.push_back(std::move(set));
      }
      // Sources are made under the lock: queries walk them.
      const std::unique_lock lock{log_.mutex_};
      for (const auto& [key, set] : fresh_sets)
        pending_sets_.try_emplace(key, set);
      source = log_.index_.source_of(request.tenant, request.site, record.host, edge, frame_, &pending_sets_);
      for (const auto& [key, set] : fresh_sets)
        pending_sets_.erase(key);
      if (source == nullptr)
        return fail(errc::invalid_argument,
                    fmt::format("record {} of {} does not fit the series sets that it names", record.seq,
                                to_string(request.origin)));
    }
    keep.emplace_back(&record, source);
    times.push_back(time);
    body_bytes += record.bytes.size();
  }
  if (body_bytes > append_bytes_max)
    return fail(errc::invalid_argument,
                fmt::format("an append of {} bytes is over the limit of {}; send smaller runs", body_bytes,
                            append_bytes_max));
  for (const auto& set : fresh) {
    head_.clear();
    encode_set_entry(request.origin.edge, *set, head_);
    auto& slot = fresh_sets.at({request.origin.edge, set->hash});
    slot.entry.chunk = static_cast<std::uint32_t>(pieces_.size());
    add_piece(entry_kind::set, head_, 0);
  }
  pending_sets_.merge(fresh_sets);
  if (!keep.empty()) {
    envelope::span about;
    for (std::size_t i = 0; i < keep.size(); ++i) {
      about.add(span_of(*keep[i].first));
      about.add({times[i], times[i]});
    }
    span_.add(about);
    head_.clear();
    encode_envelope({request.fence, request.tenant, request.shard, request.site, request.origin,
                     request.ranges, about, span_},
                    head_);
    add_piece(entry_kind::append, head_, body_bytes);
    auto& stored = stored_[request.origin];
    auto offset = pieces_.back().scratch_bytes;
    for (std::size_t i = 0; i < keep.size(); ++i) {
      const auto& [record, source] = keep[i];
      records_.push_back(record->bytes);
      if (source != nullptr || is_note(record->kind))
        frames_.push_back({source, pieces_.size() - 1, offset, times[i], record->kind});
      if (record->kind != record_kind::tombstone)
        stored.add({record->seq, record->seq});
      offset += record->bytes.size();
    }
    pieces_.back().records_to = records_.size();
  }
  each_alike(request.state, [this](std::span<const state_pair> pairs, bool appends) {
    add_state(pairs, appends ? entry_kind::more : entry_kind::state);
  });
  return ok();
}

void log_batch::add_state(std::span<const state_pair> pairs, entry_kind kind) {
  for (std::size_t from = 0; from < pairs.size();) {
    std::size_t bytes = 0;
    auto to = from;
    while (to < pairs.size() && bytes < state_entry_bytes_max) {
      bytes += pairs[to].first.size() + pairs[to].second.size();
      ++to;
    }
    head_.clear();
    encode_state(pairs.subspan(from, to - from), head_);
    add_piece(kind, head_, 0);
    from = to;
  }
}

void log_batch::add_all_state(std::span<const state_pair> pairs) {
  add_piece(entry_kind::reset, {}, 0);
  add_state(pairs);
  add_piece(entry_kind::start, {}, 0);
  copied_bytes_ = bytes_;
}

result<void> log_batch::commit() {
  if (pieces_.empty())
    return ok();
  BOOST_OUTCOME_TRY(txn, log_.env_->write());
  auto chunk = log_.next_chunk_;
  for (std::size_t from = 0; from < pieces_.size(); ++chunk) {
    if (chunk > UINT32_MAX)
      return fail(errc::exhausted, "a log environment has too many chunks");
    std::size_t bytes = 0;
    auto to = from;
    for (; to < pieces_.size(); ++to) {
      const auto more = pieces_[to].scratch_bytes + pieces_[to].body_bytes;
      if (bytes != 0 && bytes + more > log_chunk_bytes)
        break;
      pieces_[to].place = {static_cast<std::uint32_t>(chunk), static_cast<std::uint32_t>(bytes)};
      bytes += more;
    }
    BOOST_OUTCOME_TRY(room, txn.reserve(log_.db_, key_of(chunk), bytes, MDB_APPEND));
    auto* at = room.data();
    for (; from < to; ++from) {
      const auto& p = pieces_[from];
      at = std::copy_n(scratch_.data() + p.scratch_at, p.scratch_bytes, at);
      for (auto r = p.records_from; r < p.records_to; ++r)
        at = std::copy_n(records_[r].data(), records_[r].size(), at);
    }
  }
  BOOST_OUTCOME_TRYV(txn.commit());

  log_.next_chunk_ = chunk;
  log_.next_serial_ += pieces_.size();
  log_.span_ = span_;
  log_.bytes_ = log_.env_->used_bytes();
  log_.copied_bytes_ += copied_bytes_;
  const std::unique_lock lock{log_.mutex_};
  for (auto& [key, set] : pending_sets_) {
    set.entry = pieces_[set.entry.chunk].place;
    log_.index_.add_set(key, std::move(set));
  }
  for (const auto& f : frames_) {
    const auto place = pieces_[f.piece].place;
    const auto record = static_cast<std::uint32_t>(place.offset + f.offset);
    if (f.source == nullptr)
      log_.index_.notes.push_back({f.time_ns, place, record, f.kind});
    else {
      log_.index_.add(*f.source, {f.time_ns, {place.chunk, record}});
      oldest_ns_ = std::min(oldest_ns_, f.time_ns);
    }
  }
  for (const auto& [key, ranges] : stored_)
    log_.index_.stored[key].add(ranges);
  log_.count_index();
  return ok();
}

result<salvaged_log> salvage_log(const std::filesystem::path& damaged_file,
                                 const std::filesystem::path& directory, std::uint64_t map_bytes) {
  BOOST_OUTCOME_TRY(file, mapped_file::open(damaged_file));
  // Pages that LMDB copied may hold an entry twice, an old copy partly written over: the serial number says
  // which are the same and in which order, and the copy with the most sound records is taken.
  // LMDB also writes memory that other logs of this process used before: their entries are told by the log's id.
  struct candidate {
    std::size_t at = 0;
    std::size_t bytes = 0;
    std::uint64_t records = 0;
  };
  std::map<std::uint64_t, std::map<std::uint64_t, candidate>> found_by_log; // by id, then by serial
  salvaged_log out;
  const auto look = [&](const entry_view& entry, std::size_t at) {
    candidate c{at, entry.bytes, 0};
    if (entry.kind == entry_kind::append)
      (void)for_each_record(entry.body, [&](const record_view&, std::size_t) { ++c.records; });
    const auto [it, fresh] = found_by_log[entry.log].try_emplace(entry.serial, c);
    if (!fresh && c.records > it->second.records)
      it->second = c;
  };
  // An entry that is cut short by another one must not hide that: every place where one may start is tried.
  for (std::size_t at = 0; at < file.bytes().size();) {
    const auto entry = decode_entry(file.bytes().subspan(at));
    if (entry)
      look(entry.value(), at);
    const auto next = as_text(file.bytes()).find("SkLe", at + 1);
    at = next == std::string_view::npos ? file.bytes().size() : next;
  }
  // Of its own log a file holds nearly every entry from the first on, of others remnants.
  std::map<std::uint64_t, candidate> found;
  std::uint64_t longest = 0;
  for (auto& [log, entries] : found_by_log) {
    std::uint64_t unbroken = 0;
    while (entries.contains(unbroken + 1))
      ++unbroken;
    if (found.empty() || std::pair{unbroken, entries.size()} > std::pair{longest, found.size()}) {
      longest = unbroken;
      found = std::move(entries);
    }
  }
  for (const auto& [serial, c] : found)
    out.records += c.records;
  if (const auto last =
          last_value(file.bytes(), [](bytes_view value) { return decode_entry(value).has_value(); })) {
    bool of_this = !found.empty();
    out.to_the_end = for_each_entry(*last,
                                    [&](const entry_view& entry, std::size_t) {
                                      of_this = of_this && entry.serial <= found.rbegin()->first;
                                    })
                         == 0
                     && of_this;
  }
  BOOST_OUTCOME_TRY(env, lmdb_env::open(directory, map_bytes, 0, true));
  MDB_dbi db = 0;
  const lmdb_env::database_request main_database{nullptr, MDB_INTEGERKEY, &db};
  BOOST_OUTCOME_TRYV(env->databases({&main_database, 1}));
  BOOST_OUTCOME_TRY(txn, env->write());
  std::uint64_t key = 1;
  for (const auto& [serial, c] : found) {
    BOOST_OUTCOME_TRYV(txn.put(db, key_of(key), file.bytes().subspan(c.at, c.bytes), MDB_APPEND));
    ++key;
  }
  BOOST_OUTCOME_TRYV(txn.commit());
  return out;
}

} // namespace skerry::cloud
