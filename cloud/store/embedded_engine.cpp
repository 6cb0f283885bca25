// Construction, end, and everything that reads.

#include "cloud/store/embedded_engine.hpp"

#include "cloud/store/damage_of.hpp"
#include "cloud/store/notes.hpp"
#include "cloud/store/selection.hpp"
#include "schemas/model/payload.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace skerry::cloud {

namespace {

constexpr std::size_t set_cache_bytes = 8 << 20;
constexpr std::size_t set_partitions_max = 16; // searched for a set, newest first

// Whether an entry says something about [from, to].
bool concerns(const ledger_entry& e, std::int64_t from_ns, std::int64_t to_ns) {
  if (e.kind == record_kind::tombstone) {
    if (const auto stone = decode_tombstone(e.payload))
      return stone.value().from_ns <= to_ns && std::max(stone.value().to_ns, e.time_ns) >= from_ns;
  } else if (e.kind == record_kind::not_collected) {
    if (const auto range = decode_not_collected(e.payload))
      return range.value().from_ns <= to_ns && std::max(range.value().to_ns, e.time_ns) >= from_ns;
  }
  return e.time_ns >= from_ns && e.time_ns <= to_ns;
}

// About this disk, of whom it says.
ledger_entry entry_of(const tombstone& stone, std::string site = {}, std::string host = {}) {
  ledger_entry e;
  e.site = std::move(site);
  e.host = std::move(host);
  e.time_ns = stone.to_ns;
  encode_payload(stone, e.payload);
  return e;
}

} // namespace

embedded_engine::embedded_engine(embedded_config config, prometheus::Registry& metrics, embedded_hooks hooks,
                                 directory_lock lock)
    : config_(std::move(config)),
      hooks_(std::move(hooks)),
      lock_(std::move(lock)),
      metrics_(metrics),
      damages_(config_.directory / "damage", metrics_),
      partitions_(config_.directory / "partitions", config_.directory / "damaged",
                  config_.partitions_open_max, metrics_, changes(), damages_),
      retention_(config_.directory / "RETENTION", config_.retention, config_.clock_jump_wait, metrics_),
      sets_(set_cache_bytes),
      cache_(config_.read_cache_bytes_max,
             {metrics_.read_cache_bytes, metrics_.read_cache_hits, metrics_.read_cache_misses}),
      readers_(config_.read_threads),
      state_(config_.state_bytes_max, config_.state_edge_bytes_max),
      scrubber_({config_.scrub_bytes_per_second, config_.scrub_interval}, partitions_, damages_, metrics_) {}

embedded_engine::~embedded_engine() {
  scrubber_.stop();
  {
    const std::lock_guard lock{queue_mutex_};
    stop_writing_ = true;
  }
  queue_changed_.notify_all();
  if (writer_.joinable())
    writer_.join();
  {
    const std::lock_guard lock{logs_mutex_};
    stop_sealing_ = true;
  }
  logs_changed_.notify_all();
  if (sealer_.joinable())
    sealer_.join();
}

embedded_engine::log_list embedded_engine::logs() const {
  const std::lock_guard lock{logs_mutex_};
  return logs_;
}

store_snapshot embedded_engine::snapshot(std::int64_t from_ns, std::int64_t to_ns) const {
  // Logs first: one that is gone by now is in a partition that is listed by now.
  store_snapshot s;
  for (auto& log : logs())
    s.logs.push_back(std::move(log));
  s.partitions = partitions_.overlapping(from_ns, to_ns);
  return s;
}

result<void>
embedded_engine::scan_state(std::string_view prefix,
                            const std::function<void(std::string_view, std::string_view)>& each) {
  state_.scan(prefix, each);
  return ok();
}

series_set_ptr embedded_engine::find_set(edge_id edge, const set_hash& hash) {
  return find_stored_set({edge, hash});
}

std::optional<std::size_t> embedded_engine::series_in_set(edge_id edge, const set_hash& hash) {
  // Nearly always in the log that is being written.
  const auto all = logs();
  for (auto log = all.rbegin(); log != all.rend(); ++log) {
    const auto count = (*log)->with_index([&](const log_index& index) {
      const auto it = index.sets.find({edge, hash});
      return it == index.sets.end() ? std::size_t{0} : std::size_t{it->second.compact->count()};
    });
    if (count != 0)
      return count;
  }
  const auto set = find_stored_set({edge, hash});
  return set ? std::optional{set->members.size()} : std::nullopt;
}

series_set_ptr embedded_engine::find_stored_set(const set_key& key) {
  if (auto cached = sets_.find(key))
    return cached;
  const auto keep = [&](series_set_ptr set) {
    sets_.put(key, set);
    return set;
  };
  auto all = logs();
  for (auto log = all.rbegin(); log != all.rend(); ++log) {
    auto found = (*log)->find_set(key);
    if (!found)
      spdlog::warn("store: series set {} in log {}: {}", to_string(key.hash), (*log)->number(),
                   found.error().message);
    else if (found.value())
      return keep(std::move(found.value()));
  }
  auto ids = partitions_.overlapping(INT64_MIN, INT64_MAX);
  if (ids.size() > set_partitions_max)
    ids.resize(set_partitions_max);
  for (const auto& id : ids) {
    const auto p = partitions_.open(id);
    if (!p)
      continue;
    const auto reader = p.value()->read();
    if (!reader)
      continue;
    const auto holds = reader.value().holds_set(key.edge, key.hash);
    if (!holds || !holds.value())
      continue;
    if (auto found = reader.value().set(key.hash); found && found.value())
      return keep(std::move(found.value()));
  }
  return nullptr;
}

result<void> embedded_engine::ledger(std::int64_t from_ns, std::int64_t to_ns,
                                     const std::function<void(const ledger_entry&)>& each) {
  std::set<std::pair<record_identity, record_kind>> told;
  const auto from = snapshot(from_ns, INT64_MAX); // an entry stands at the newest time that it is about
  for (const auto& log : from.logs) {
    BOOST_OUTCOME_TRYV(each_note(*log, true, [&](const noted_record& note) {
      const auto e = to_ledger_entry(note);
      if (concerns(e, from_ns, to_ns) && told.emplace(record_identity{e.origin, e.seq}, e.kind).second)
        each(e);
    }));
  }
  // An entry may tell of any time before its partition's end.
  BOOST_OUTCOME_TRYV(each_partition(from, "ledger", lost_ledger, [&](const partition_reader& reader) {
    return reader.ledger(from_ns, INT64_MAX, [&](const ledger_entry& e) {
      if (concerns(e, from_ns, to_ns) && !told.contains({record_identity{e.origin, e.seq}, e.kind}))
        each(e);
    });
  }));
  own_damage(from_ns, to_ns, each);
  if (const auto gone = retention_.expired(); gone && gone->from_ns <= to_ns && gone->to_ns >= from_ns) {
    tombstone stone;
    stone.from_ns = gone->from_ns;
    stone.to_ns = gone->to_ns;
    stone.samples = gone->samples;
    stone.cause = loss_cause::retention;
    each(entry_of(stone));
  }
  return ok();
}

result<void> embedded_engine::kept_records(std::int64_t from_ns, std::int64_t to_ns,
                                           const std::function<void(const kept_record&)>& each) {
  std::set<record_identity> told;
  const auto from = snapshot(from_ns, to_ns);
  for (const auto& log : from.logs) {
    BOOST_OUTCOME_TRYV(each_note(*log, false, [&](const noted_record& note) {
      const auto& record = note.record;
      if (record.time_ns >= from_ns && record.time_ns <= to_ns
          && told.insert({note.from.origin, record.seq}).second)
        each(to_kept_record(note));
    }));
  }
  const auto lost = [](const partition_id& id) { return lost_in_partition(id, "record"); };
  return each_partition(from, "record", lost, [&](const partition_reader& reader) {
    return reader.records(from_ns, to_ns, [&](const kept_record& one) {
      const auto record = decode_record(one.bytes);
      if (record && told.insert({one.origin, record.value().seq}).second)
        each(one);
    });
  });
}

result<void>
embedded_engine::each_partition(const store_snapshot& of, const char* what,
                                const std::function<damage(const partition_id&)>& lost,
                                const std::function<result<void>(const partition_reader&)>& read) {
  for (const auto& id : of.partitions) {
    const auto p = partitions_.open(id);
    if (!p && (p.error().code == errc::not_found || is_damage(p.error())))
      continue; // it is noted, if it was not past retention
    if (!p)
      return p.error();
    BOOST_OUTCOME_TRY(reader, p.value()->read());
    const auto done = read(reader);
    if (!done && !is_damage(done.error()))
      return done;
    if (!done)
      damages_.note(lost(id), what, done.error().message);
  }
  return ok();
}

result<void> embedded_engine::each_note(const log_env& log, bool ledger,
                                        const std::function<void(const noted_record&)>& each) {
  BOOST_OUTCOME_TRY(reader, log.read());
  for (const auto& note : notes_of(log, ledger)) {
    const auto read = read_note(note, reader);
    if (read) {
      each(read.value());
      continue;
    }
    const auto entry = reader.entry(note.entry);
    damages_.note(lost_note(log.id(), note, entry ? decode_envelope(entry.value().head) : entry.error()),
                  "record", read.error().message);
  }
  return ok();
}

void embedded_engine::own_damage(std::int64_t from_ns, std::int64_t to_ns,
                                 const std::function<void(const ledger_entry&)>& each) {
  damages_.each(from_ns, to_ns, [&](const damage& one) {
    tombstone stone;
    stone.from_ns = one.from_ns;
    stone.to_ns = one.to_ns;
    stone.samples = one.samples;
    stone.cause = loss_cause::corrupt;
    each(entry_of(stone, one.site, one.host));
  });
}

result<void> embedded_engine::log_identities(
    const std::function<void(const record_identity&, record_kind, std::string_view)>& each) {
  for (const auto& log : logs()) {
    BOOST_OUTCOME_TRY(reader, log->read());
    BOOST_OUTCOME_TRYV(reader.each_chunk([&](std::uint64_t, bytes_view chunk) -> result<void> {
      (void)for_each_entry(chunk, [&](const entry_view& entry, std::size_t) {
        if (entry.kind != entry_kind::append)
          return;
        const auto from = decode_envelope(entry.head);
        if (!from)
          return;
        (void)for_each_record(entry.body, [&](const record_view& record, std::size_t) {
          each({from.value().origin, record.seq}, record.kind, record.host);
        });
      });
      return ok();
    }));
  }
  return ok();
}

engine_usage embedded_engine::usage() const {
  engine_usage u;
  u.log_bytes = total_log_bytes();
  u.disk_bytes = disk_bytes(config_.directory);
  u.partitions = partitions_.size();
  u.samples = partitions_.samples();
  std::set<std::pair<std::pair<std::string_view, std::string_view>, set_hash>> seen;
  const auto all = logs();
  all.back()->with_index([&](const log_index& index) {
    for (const auto& source : index.sources())
      for (const auto& set : source->sets)
        if (seen.insert({{source->site, source->host}, set->hash()}).second)
          u.series += set->count();
  });
  return u;
}

store_parts embedded_engine::parts() noexcept { return {partitions_, registry_, cache_, damages_}; }

selection embedded_engine::select_from(store_snapshot from, const promql::select_request& request) {
  return {std::move(from), parts(), readers_, request};
}

result<void> embedded_engine::select(const promql::select_request& request,
                                     const std::function<void(const promql::series_view&)>& each) {
  return select_from(snapshot(INT64_MIN, INT64_MAX), request).select(each);
}

result<std::unique_ptr<promql::selected>> embedded_engine::prepare(const promql::select_request& request) {
  class prepared final : public promql::selected {
  public:
    prepared(store_snapshot from, const store_parts& parts, read_pool& helpers,
             const promql::select_request& request)
        : request_(request), selection_(std::move(from), parts, helpers, request_) {}
    std::size_t shards() const override { return selection_.shards(); }
    void run(const std::function<void(std::size_t)>& work) override { selection_.run(work); }
    result<void> read(std::size_t shard, const promql::each_series& each) override {
      return selection_.read(shard, each);
    }
    selection& what() noexcept { return selection_; }

  private:
    promql::select_request request_;
    selection selection_;
  };
  auto made = std::make_unique<prepared>(snapshot(INT64_MIN, INT64_MAX), parts(), readers_, request);
  BOOST_OUTCOME_TRYV(made->what().prepare());
  return std::unique_ptr<promql::selected>{std::move(made)};
}

result<void> embedded_engine::series(const promql::select_request& request,
                                     const std::function<void(const labels&)>& each) {
  return select_from(snapshot(INT64_MIN, INT64_MAX), request).series(each);
}

result<std::vector<std::string>> embedded_engine::label_names(const promql::select_request& request) {
  return select_from(snapshot(INT64_MIN, INT64_MAX), request).label_names();
}

result<std::vector<std::string>> embedded_engine::label_values(std::string_view name,
                                                               const promql::select_request& request) {
  return select_from(snapshot(INT64_MIN, INT64_MAX), request).label_values(name);
}

result<std::vector<promql::family_metadata>> embedded_engine::metadata() {
  // Of the newest partition and the logs: what older ones knew is told by those that go on.
  promql::select_request everything;
  everything.from_ms = INT64_MIN;
  everything.to_ms = INT64_MAX;
  auto from = snapshot(INT64_MIN, INT64_MAX);
  if (from.partitions.size() > set_partitions_max)
    from.partitions.resize(set_partitions_max);
  return select_from(std::move(from), everything).metadata();
}

} // namespace skerry::cloud
