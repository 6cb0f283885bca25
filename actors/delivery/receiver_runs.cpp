// Runs: what is new of them is stored, and acknowledged once it is durable.

#include "actors/delivery/receiver.hpp"
#include "schemas/model/frame.hpp"
#include "schemas/model/seen_clock.hpp"
#include "schemas/model/set_memory.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace skerry::delivery {

namespace {

constexpr std::size_t sets_of_need_max = 1024;
constexpr std::uint64_t sets_unfolded_max = 64 << 20; // of one message; the rest is asked for again
constexpr std::size_t rounds_max = 3;                 // of asking for what one batch lacks
constexpr std::uint64_t unfolds_to_max = 64; // times its bytes on the link, before a set counts as swollen
constexpr std::int64_t swollen_burst_ns = 16'000'000'000;

} // namespace

void receiver::store_loss(edge_id user, const std::string& site, const stream_key& key,
                          const range_set& ranges, loss_cause cause, std::int64_t from_ns, std::int64_t to_ns,
                          std::uint64_t session, sequence_range answer, std::uint64_t bytes) {
  for (const auto& range : ranges.ranges()) {
    tombstone stone;
    stone.last = range.last;
    stone.from_ns = from_ns;
    stone.to_ns = to_ns;
    stone.cause = cause;
    store_tombstone(user, site, key, range.first, stone, to_ns, link::lane::backlog, session,
                    session == 0 ? range : answer, std::exchange(bytes, 0));
  }
}

void receiver::store_tombstone(edge_id user, const std::string& site, const stream_key& key, sequence first,
                               const tombstone& stone, std::int64_t time_ns, link::lane lane,
                               std::uint64_t session, sequence_range answer, std::uint64_t bytes) {
  byte_buffer payload;
  encode_payload(stone, payload);
  run_builder builder{key, first};
  builder.append(record_kind::tombstone, time_ns, {}, payload, stone.last - first + 1);
  delivery_job job;
  job.site = site;
  job.lane = lane;
  job.from = std::move(builder).finish();
  job.ranges.add({first, stone.last});
  if (auto records = decode_records(job.from))
    job.records = std::move(records).value();
  store(std::move(job), user, session, answer, bytes);
}

void receiver::on_batch(session& from, edge_id user, const link::batch& batch) {
  ++counters_.batches;
  const auto bytes = batch.run.bytes.view.size();
  counters_.bytes += bytes;
  from.view.bytes += bytes;
  from.view.pending_records = batch.pending_records;
  from.view.link = batch.link;
  if (batch.pending_records > batch.run.header.last() - batch.run.header.first + 1)
    note_waiting(from);
  if (bytes > config_.batch_bytes_max + record_bytes_max) {
    ++counters_.malformed;
    refuse_records(from, user,
                   {batch.run.header.key,
                    {batch.run.header.first, batch.run.header.last()},
                    link::refusal_scope::batch,
                    link::refusal_reason::over_limit,
                    fmt::format("a batch of {} bytes is over the limit", bytes)});
    return;
  }
  take_run(from, user, {batch.run, batch.lane, {}, 0, 0});
  ask_for_rest(user); // it may have been refused, with nothing behind it
}

void receiver::take_run(session& from, edge_id user, parked_batch batch) {
  const auto& run = batch.from;
  const auto lane = batch.lane;
  const auto& key = run.header.key;
  const sequence_range range{run.header.first, run.header.last()};
  const auto site = backend_.site_of(user);
  if (!site) {
    ++counters_.forbidden;
    refuse(from.peer, from.number, link::bye_reason::revoked, "the key of this edge was revoked");
    end_session(from, link::presence::revoked);
    return;
  }
  if (run.header.tenant != tenant_default || is_own(key.edge)
      || (key.edge != user && !backend_.may_speak(user, key.edge))) {
    ++counters_.forbidden;
    const bool whole = run.header.tenant == tenant_default;
    refuse_records(from, user,
                   {key, range, whole ? link::refusal_scope::edge : link::refusal_scope::batch,
                    link::refusal_reason::forbidden,
                    !whole ? fmt::format("there is no tenant {}", run.header.tenant)
                    : is_own(key.edge)
                        ? own_records
                        : fmt::format("this key may not speak for edge {}", to_string(key.edge))});
    return;
  }
  if (from.unheard.erase(key.edge) != 0) {
    // At once: when its backlog has gone nobody may say any more what else it had released.
    ask_anew(from, user, "it is to tell what was passed over in its last one");
    return;
  }
  if (!holdings_.came(user, key)) {
    // What a session names is remembered until its next Hello, which names less: a session that brings new epochs for ever
    // is cut short, and goes on where it was.
    ask_anew(from, user, fmt::format("{} new epochs came in one session", config_.epochs_max));
    return;
  }
  const auto missing = holdings_.lacking(key, range);
  if (missing.empty()) {
    // Held already, or being stored (then that job's ack may go to an older session): answer for what is durable.
    counters_.duplicate_records += run.header.record_count;
    job_state done;
    done.user = user;
    done.session = from.number;
    done.key = key;
    done.answer = range;
    done.bytes = run.bytes.view.size();
    if (const auto* held = holdings_.held(key); held != nullptr && held->contains(range))
      acknowledge(done);
    else if (!adopt_jobs(from, key))
      settle(std::move(done)); // stored, but an earlier attempt to note it failed
    return;
  }
  if (missing.count() != range.last - range.first + 1)
    adopt_jobs(from, key);
  // A gateway whose spool is full of what lies beyond a hole cannot take what fills it: one batch at a time goes on, up to
  // twice as many ranges.
  if (grows_too_many(key, range, from.open_bytes == 0)) {
    ++counters_.ranges_full;
    return;
  }
  if (!takes(from, run.bytes.view.size())) {
    ++counters_.over_credit;
    return;
  }
  auto records = decode_records(run);
  if (!records) {
    ++counters_.malformed;
    refuse_records(
        from, user,
        {key, range, link::refusal_scope::batch, link::refusal_reason::malformed, records.error().message});
    return;
  }
  delivery_job job;
  job.site = *site;
  job.lane = lane;
  std::uint64_t sets_bytes = 0;
  std::map<set_hash, std::optional<std::size_t>> series_in; // of each set that is named, looked up once
  std::set<set_hash> lacking;
  range_set undecodable;
  std::int64_t undecodable_from_ns = INT64_MAX, undecodable_to_ns = INT64_MIN;
  seen_clock seen;
  seen.look_ahead(records.value());
  std::int64_t seen_ns = 0; // of the record at hand
  const auto not_decoded = [&](sequence_range its) {
    undecodable.add(its);
    undecodable_from_ns = std::min(undecodable_from_ns, seen_ns);
    undecodable_to_ns = std::max(undecodable_to_ns, seen_ns);
  };
  frame sections;
  std::vector<record_view> partly_new; // tombstones
  for (const auto& record : records.value()) {
    const auto sequences = sequences_of(record).value(); // decode_records read it
    const sequence_range its{record.seq, record.seq + sequences - 1};
    seen_ns = seen.of(record);
    if (missing.common_with(its).empty() && !planted(config_.planted, planted_fault::merged_range_doubled)) {
      ++counters_.duplicate_records;
      continue;
    }
    if (policy_of(record.kind).names_sets) {
      // One bad frame must not wedge its edge: it becomes a tombstone, and the rest goes on.
      if (!decode_frame_sections(record.payload, sections)) {
        ++counters_.malformed;
        not_decoded(its);
        continue;
      }
      bool lost = false;
      for (const auto& section : sections.sections) {
        const auto [known, first] = series_in.try_emplace(section.set);
        auto& series = known->second;
        if (const auto fresh = first ? fresh_sets_.find({key.edge, section.set}) : fresh_sets_.end();
            fresh != fresh_sets_.end()) {
          series = fresh->second.set->members.size();
          job.sets.push_back(fresh->second.set);
          sets_bytes += fresh->second.bytes;
        } else if (first) {
          series = backend_.series_in_set(key.edge, section.set);
        }
        if (!series && batch.gone.contains(section.set)) {
          lost = true;
        } else if (!series) {
          lacking.insert(section.set);
        } else if (*series != section.series_count) {
          ++counters_.malformed;
          lost = true;
        }
      }
      if (lacking.size() > config_.sets_lacking_max) {
        refuse_records(
            from, user,
            {key, range, link::refusal_scope::batch, link::refusal_reason::over_limit,
             fmt::format("a batch names more than {} unknown series sets", config_.sets_lacking_max)});
        return;
      }
      if (lost) {
        not_decoded(its);
        continue;
      }
    }
    // Of a tombstone over what is held in part, only the rest is new: stored whole, its number would be one that is
    // stored already.
    if (record.kind == record_kind::tombstone && missing.common_with(its).count() != sequences) {
      partly_new.push_back(record);
      continue;
    }
    job.ranges.add(its);
    job.records.push_back(record);
  }
  if (!lacking.empty()) {
    park(from, user, std::move(batch), lacking);
    return;
  }
  if (stored_sets_bytes_ != 0 && stored_sets_bytes_ + sets_bytes > config_.sets_memory_max) {
    ++counters_.over_memory;
    refuse_records(from, user,
                   {key, range, link::refusal_scope::stream, link::refusal_reason::not_now,
                    "the series sets of batches that are being stored take all the memory that they may"});
    return;
  }
  auto charge = run.bytes.view.size();
  if (!undecodable.empty()) {
    counters_.sets_lost_records += undecodable.count();
    store_loss(user, *site, key, undecodable, loss_cause::corrupt, undecodable_from_ns, undecodable_to_ns,
               from.number, range, job.records.empty() ? std::exchange(charge, 0) : 0);
  }
  for (const auto& record : partly_new) {
    const auto stone = decode_tombstone(record.payload).value(); // sequences_of read it
    const auto parts = missing.common_with({record.seq, stone.last});
    for (const auto& part : parts.ranges())
      store_tombstone(user, *site, key, part.first, part_of(stone, record.seq, part.first, part.last),
                      record.time_ns, lane, from.number, range,
                      job.records.empty() ? std::exchange(charge, 0) : 0);
  }
  if (job.records.empty())
    return;
  counters_.records += job.records.size();
  from.view.records += job.records.size();
  job.from = run;
  store(std::move(job), user, from.number, range, charge, sets_bytes);
}

void receiver::park(session& from, edge_id user, parked_batch batch, const std::set<set_hash>& lacking) {
  const auto& header = batch.from.header;
  const auto edge = header.key.edge;
  if (batch.rounds++ == rounds_max) {
    refuse_records(
        from, user,
        {header.key,
         {header.first, header.last()},
         link::refusal_scope::batch,
         link::refusal_reason::over_limit,
         fmt::format("the series sets that a batch names do not fit {} bytes", config_.sets_memory_max)});
    return;
  }
  std::vector<set_hash> fresh;
  for (const auto& hash : lacking)
    if (!from.asked.contains({edge, hash}))
      fresh.push_back(hash);
  if (from.parked.size() >= config_.parked_batches_max
      || (from.asked.size() + fresh.size() > config_.sets_asked_max && !from.asked.empty())) {
    ++counters_.parked_full;
    return;
  }
  const auto number = next_parked_++;
  for (const auto& hash : lacking)
    from.asked[{edge, hash}].push_back(number);
  batch.waits = lacking.size();
  const auto bytes = batch.from.bytes.view.size();
  from.open_bytes += bytes;
  open_bytes_ += bytes;
  from.parked.emplace(number, std::move(batch));
  ask_for_sets(from, edge, fresh);
}

void receiver::ask_for_sets(session& of, edge_id edge, const std::vector<set_hash>& names) {
  for (std::size_t i = 0; i < names.size(); i += sets_of_need_max) {
    const auto end = std::min(names.size(), i + sets_of_need_max);
    backend_.send(of.peer, {of.number, link::need{edge,
                                                  {names.begin() + static_cast<std::ptrdiff_t>(i),
                                                   names.begin() + static_cast<std::ptrdiff_t>(end)}}});
  }
}

bool receiver::grows_too_many(const stream_key& key, sequence_range range, bool alone) const {
  const bool grows = planted(config_.planted, planted_fault::ranges_unbounded)
                         ? range.first > holdings_.reach(key) + 1
                         : !holdings_.touches(key, range);
  return grows && holdings_.range_count(key) >= config_.ranges_max * (alone ? 2 : 1);
}

bool receiver::adopt_jobs(const session& by, const stream_key& key) {
  bool any = false;
  for (auto* all : {&jobs_, &settling_})
    for (auto& [ticket, job] : *all)
      if (job.key == key && job.session != 0) { // not a loss that a Hello told of
        job.session = by.number;
        any = true;
      }
  return any;
}

void receiver::settle(job_state job) {
  const auto ticket = next_ticket_++;
  const auto key = job.key;
  job.ranges = *holdings_.stored(key);
  const held_stream all{job.ranges, holdings_.newest_ns(key)};
  settling_[ticket] = std::move(job); // first: the backend may answer at once
  backend_.keep_held(ticket, key, all, holdings_.held(key));
}

void receiver::store(delivery_job job, edge_id user, std::uint64_t session, sequence_range answer,
                     std::uint64_t bytes, std::uint64_t sets_bytes) {
  job.ticket = next_ticket_++;
  const auto& key = job.from.header.key;
  holdings_.begin(key, job.ranges);
  auto& open = jobs_[job.ticket];
  open = {user, session, 0, key, job.ranges, 0, answer, bytes, bytes, {}, sets_bytes, 0};
  open_bytes_ += bytes;
  stored_sets_bytes_ += sets_bytes;
  if (const auto it = sessions_.find(static_cast<std::uint64_t>(user));
      session != 0 && it != sessions_.end() && it->second.number == session) {
    open.charged = session;
    it->second.open_bytes += bytes;
  }
  for (const auto& record : job.records)
    if (record.kind != record_kind::tombstone && has_node_time(record.kind, record.payload))
      job.newest_ns = std::max(job.newest_ns, record.time_ns);
  open.newest_ns = job.newest_ns;
  for (const auto& set : job.sets)
    open.sets.push_back(set->hash);
  if (planted(config_.planted, planted_fault::set_dropped_while_referenced) && !job.sets.empty())
    job.sets.pop_back();
  if (planted(config_.planted, planted_fault::ack_before_sync)) {
    holdings_.settle(key, job.ranges);
    acknowledge(open);
  }
  const auto parts_most = job.records.size();
  to_store_.add(user, std::move(job), parts_most);
  store_waiting();
}

void receiver::store_waiting() {
  if (std::exchange(storing_, true))
    return; // the backend may answer at once
  while (auto next = to_store_.next()) {
    auto& [user, job] = *next;
    const auto ticket = job.ticket;
    const auto parts = backend_.store(std::move(job));
    to_store_.started(user, parts);
    if (const auto it = jobs_.find(ticket); it != jobs_.end())
      it->second.parts = parts;
    else
      to_store_.ended(user, parts);
  }
  storing_ = false;
}

void receiver::on_stored(std::uint64_t ticket, const std::string& failed) {
  const auto it = jobs_.find(ticket);
  if (it == jobs_.end())
    return;
  auto job = std::move(it->second);
  jobs_.erase(it);
  stored_sets_bytes_ -= job.sets_bytes;
  holdings_.end(job.key, job.ranges, failed.empty() ? std::optional{job.newest_ns} : std::nullopt);
  if (!failed.empty()) {
    ++counters_.store_failures;
    to_store_.ended(job.user, job.parts);
    store_waiting();
    discharge(job);
    not_stored(job, failed);
    return;
  }
  for (const auto& hash : job.sets)
    drop_set({job.key.edge, hash}); // the store has them now
  settle(std::move(job));
}

// The edge keeps it, and tries one record of the stream after a while.
void receiver::not_stored(const job_state& job, const std::string& why) {
  const auto it = sessions_.find(static_cast<std::uint64_t>(job.user));
  if (it == sessions_.end() || it->second.number == 0)
    return;
  if (job.session == 0) { // a loss that its Hello told of: the next one tells again
    refuse(it->second.peer, it->second.number, link::bye_reason::stopping,
           fmt::format("{} cannot store now: {}", config_.name, why));
    end_session(it->second, link::presence::refused,
                fmt::format("{} cannot store now: {}", config_.name, why));
    return;
  }
  if (job.session != it->second.number)
    return; // it is sent again in this session
  refuse_records(it->second, job.user,
                 {job.key, job.answer, link::refusal_scope::stream, link::refusal_reason::not_now,
                  fmt::format("{} cannot store now: {}", config_.name, why)});
}

void receiver::on_held_durable(std::uint64_t ticket, const std::string& failed) {
  const auto it = settling_.find(ticket);
  if (it == settling_.end())
    return;
  const auto job = std::move(it->second);
  settling_.erase(it);
  to_store_.ended(job.user, job.parts);
  store_waiting();
  discharge(job);
  if (!failed.empty()) {
    ++counters_.store_failures; // the records are stored; the next note that succeeds makes them held
    not_stored(job, failed);
    return;
  }
  holdings_.settle(job.key, job.ranges);
  acknowledge(job);
  ask_for_rest(job.user);
  share_credit();
}

void receiver::forget_epochs(edge_id edge) {
  const auto forgotten = holdings_.forget_surplus(edge);
  if (forgotten.empty())
    return;
  counters_.epochs_forgotten += forgotten.size();
  backend_.forget(forgotten);
}

void receiver::ask_anew(session& of, edge_id user, const std::string& why) {
  if (may_log())
    spdlog::info("{}: the session of edge {} is asked for a new Hello: {}", config_.name, to_string(user),
                 why);
  refuse(of.peer, of.number, link::bye_reason::superseded, why + ": say Hello again");
  end_session(of, link::presence::unreachable);
  of.view.connected = true; // its connection stands
}

// Once what was pending fills the holes between what is lost.
void receiver::ask_for_rest(edge_id user) {
  const auto it = sessions_.find(static_cast<std::uint64_t>(user));
  if (it == sessions_.end() || it->second.number == 0 || !it->second.custody_rest
      || it->second.view.pending_records != 0 || it->second.open_bytes != 0)
    return;
  ask_anew(it->second, user, "it is to tell what was passed over in its last one");
}

std::uint64_t receiver::being_stored(edge_id user, std::uint64_t session) const {
  std::uint64_t bytes = 0;
  for (const auto* all : {&jobs_, &settling_})
    for (const auto& [ticket, job] : *all)
      if (job.user == user && job.charged == session)
        bytes += job.bytes;
  return bytes;
}

void receiver::discharge(const job_state& done) {
  open_bytes_ -= done.kept;
  const auto it = sessions_.find(static_cast<std::uint64_t>(done.user));
  if (done.charged != 0 && it != sessions_.end() && it->second.number == done.charged)
    it->second.open_bytes -= done.bytes;
}

void receiver::acknowledge(const job_state& done) {
  const auto it = sessions_.find(static_cast<std::uint64_t>(done.user));
  if (it == sessions_.end() || it->second.number == 0 || done.session != it->second.number)
    return;
  const auto* held = holdings_.held(done.key);
  if (held == nullptr)
    return;
  auto ranges = held->common_with(done.answer);
  if (ranges.empty())
    return;
  it->second.view.refused.erase(done.key.edge);
  auto& pending = it->second.view.pending_records;
  pending -= std::min(pending, ranges.count());
  link::ack ack;
  ack.freed_bytes = done.bytes;
  // One node, one disk: what is durable is as safe as it gets, and both are said at once.
  if (it->second.knows_levels)
    ack.level = link::ack_level::safe;
  ack.ranges.push_back({done.key, std::move(ranges)});
  backend_.send(it->second.peer, {it->second.number, std::move(ack)});
}

void receiver::on_sets(session& from, edge_id user, const link::sets& sets) {
  if (sets.edge != user && !backend_.may_speak(user, sets.edge)) {
    ++counters_.forbidden;
    return;
  }
  std::vector<set_hash> again;
  std::uint64_t unfolded = 0;
  enum class outcome : std::uint8_t { whole, swollen, malformed }; // the worst of what came for it
  std::map<std::uint64_t, outcome> ready; // parked batches that wait for nothing more
  const auto done = [&](const set_hash& hash, bool gone, outcome how) {
    auto asked = from.asked.extract({sets.edge, hash});
    for (const auto number : asked.mapped()) {
      const auto it = from.parked.find(number);
      if (it == from.parked.end())
        continue;
      if (gone)
        it->second.gone.insert(hash);
      if (--it->second.waits == 0 || how != outcome::whole)
        ready[number] = std::max(ready[number], how);
    }
  };
  // Only what was asked for is unfolded, one by one.
  for (const auto& packed : sets.found) {
    if (!from.asked.contains({sets.edge, packed.hash})) {
      ++counters_.sets_unasked;
      continue;
    }
    if (unfolded >= sets_unfolded_max) {
      again.push_back(packed.hash);
      continue;
    }
    if (!may_unfold(user)) {
      ++counters_.sets_swollen;
      done(packed.hash, false, outcome::swollen);
      continue;
    }
    auto set = link::unpack(packed);
    if (!set) {
      note_unfolded(user, packed, packed.plain_bytes);
      ++counters_.malformed;
      done(packed.hash, false, outcome::malformed);
      continue;
    }
    ++counters_.sets_received;
    const auto bytes = memory_bytes(*set.value());
    unfolded += bytes;
    note_unfolded(user, packed, bytes);
    remember_set(user, sets.edge, std::move(set).value());
    done(packed.hash, false, outcome::whole);
  }
  for (const auto& hash : sets.missing)
    if (from.asked.contains({sets.edge, hash}))
      done(hash, true, outcome::whole);
  ask_for_sets(from, sets.edge, again);
  std::vector<std::pair<parked_batch, outcome>> taken;
  for (const auto& [number, how] : ready) {
    auto batch = from.parked.extract(number);
    const auto bytes = batch.mapped().from.bytes.view.size();
    open_bytes_ -= bytes;
    from.open_bytes -= bytes;
    taken.emplace_back(std::move(batch.mapped()), how);
  }
  for (auto& [batch, how] : taken) {
    if (from.number == 0)
      return;
    const auto& header = batch.from.header;
    if (how == outcome::swollen)
      refuse_records(
          from, user,
          {header.key,
           {header.first, header.last()},
           link::refusal_scope::stream,
           link::refusal_reason::not_now,
           fmt::format("its series sets unfold to more than {} times their size on the link, and more "
                       "than {} bytes a second of it",
                       unfolds_to_max, config_.swollen_bytes_per_second)});
    else if (how == outcome::malformed)
      refuse_records(from, user,
                     {header.key,
                      {header.first, header.last()},
                      link::refusal_scope::batch,
                      link::refusal_reason::malformed,
                      "a series set that a batch names does not decode"});
    else
      take_run(from, user, std::move(batch));
  }
}

bool receiver::may_unfold(edge_id user) {
  const auto now = clock_.monotonic_ns();
  const auto rate = static_cast<double>(config_.swollen_bytes_per_second);
  return swollen_of_.try_emplace(user, rate, swollen_burst_ns).first->second.open(now);
}

void receiver::note_unfolded(edge_id user, const link::packed_set& packed, std::uint64_t bytes) {
  const auto usual = unfolds_to_max * (packed.packed.view.size() + sizeof packed);
  if (bytes <= usual)
    return;
  swollen_of_.at(user).spend(bytes - usual);
}

void receiver::remember_set(edge_id user, edge_id edge, series_set_ptr set) {
  const set_name name{edge, set->hash};
  drop_set(name);
  const auto bytes = memory_bytes(*set);
  const auto number = next_fresh_++;
  fresh_sets_[name] = {std::move(set), user, bytes, number};
  auto& of_user = fresh_of_[user];
  of_user.oldest_first.emplace(number, name);
  of_user.bytes += bytes;
  fresh_bytes_ += bytes;
  while (fresh_bytes_ > config_.sets_memory_max && fresh_sets_.size() > 1) {
    const auto most = std::max_element(fresh_of_.begin(), fresh_of_.end(), [](const auto& a, const auto& b) {
      return a.second.bytes < b.second.bytes;
    });
    ++counters_.sets_dropped;
    drop_set(set_name{most->second.oldest_first.begin()->second});
  }
}

void receiver::drop_set(const set_name& name) {
  const auto it = fresh_sets_.find(name);
  if (it == fresh_sets_.end())
    return;
  const auto of_user = fresh_of_.find(it->second.user);
  of_user->second.oldest_first.erase(it->second.number);
  of_user->second.bytes -= it->second.bytes;
  fresh_bytes_ -= it->second.bytes;
  if (of_user->second.oldest_first.empty())
    fresh_of_.erase(of_user);
  fresh_sets_.erase(it);
}

} // namespace skerry::delivery
