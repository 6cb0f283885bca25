#include "actors/delivery/receiver.hpp"

#include "actors/delivery/credit_share.hpp"
#include "schemas/model/frame.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace skerry::delivery {

namespace {

constexpr std::size_t fresh_sets_max = 65'536;
constexpr std::size_t sets_asked_max = 1024; // in one Need
constexpr std::int64_t clock_offset_told_ns = 60'000'000'000;
constexpr std::uint64_t credit_slack =
    2; // batches that a sender believes lost may still be on their way to the disk
constexpr std::int64_t second_ns = 1'000'000'000;
constexpr std::int64_t share_interval_ns = second_ns;
constexpr std::int64_t credit_settles_ns = 30 * second_ns; // as a sender waits for an answer
constexpr std::int64_t waits_for_ns = 10 * second_ns;      // after it last said that more waits
constexpr std::int64_t share_again_ns = 10 * second_ns;    // also where nothing was noticed
constexpr std::int64_t silent_after_ns = 600 * second_ns;  // longer than between two pings

} // namespace

receiver::receiver(receiver_config config, clock_source& clock, random_source& random,
                   receiver_backend& backend)
    : config_(std::move(config)),
      clock_(clock),
      random_(random),
      backend_(backend),
      holdings_(config_.epochs_max) {}

void receiver::restore_held(const stream_key& key, held_stream held) {
  holdings_.restore(key, std::move(held));
}

void receiver::refuse(const link::peer_id& to, std::uint64_t session, link::bye_reason reason,
                      std::string message) {
  backend_.send(to, {session, link::bye{reason, std::move(message)}});
}

void receiver::on_message(const link::peer_id& from, edge_id user, result<link::message> message) {
  handle(from, user, std::move(message));
  share_credit();
}

void receiver::handle(const link::peer_id& from, edge_id user, result<link::message> message) {
  const auto it = sessions_.find(static_cast<std::uint64_t>(user));
  if (!message) {
    ++counters_.malformed;
    if (may_log())
      spdlog::warn("{}: a message of edge {} is refused: {}", config_.name, to_string(user),
                   message.error().message);
    refuse(from, 0, link::bye_reason::protocol_error, message.error().message);
    if (it != sessions_.end() && it->second.peer == from)
      end_session(it->second);
    return;
  }
  if (const auto* hello = std::get_if<link::hello>(&message.value().body)) {
    on_hello(from, user, *hello);
    return;
  }
  // Backlog may come over another connection of the same key.
  const auto* batch = std::get_if<link::batch>(&message.value().body);
  const bool backlog = batch != nullptr && batch->lane == link::lane::backlog;
  if (it == sessions_.end() || it->second.number == 0 || it->second.number != message.value().session
      || (it->second.peer != from && !backlog)) {
    ++counters_.stale_messages;
    if (it != sessions_.end() && it->second.number != 0 && it->second.peer != from && !backlog) {
      // Someone with this key still speaks in a session that another took over.
      note_duplicate(it->second);
      spdlog::warn(
          "{}: two live nodes use the key of edge {}: was its disk cloned? Let one of them join anew with a "
          "token of its own",
          config_.name, to_string(user));
    }
    if (!std::holds_alternative<link::bye>(message.value().body))
      refuse(from, message.value().session, link::bye_reason::superseded,
             "this session has ended; say Hello again");
    return;
  }
  auto& session = it->second;
  credit_due_ = credit_due_ || silent(session, clock_.monotonic_ns());
  session.heard_ns = clock_.monotonic_ns();
  session.probe_ns = 0;
  session.view.last_heard_wall_ns = clock_.wall_ns();
  const auto& body = message.value().body;
  if (batch != nullptr) {
    on_batch(session, user, *batch);
  } else if (const auto* sets = std::get_if<link::sets>(&body)) {
    on_sets(session, user, *sets);
  } else if (const auto* ping = std::get_if<link::ping>(&body)) {
    session.view.link = ping->link;
    note_clock(session, user, ping->wall_ns);
    backend_.send(from, {session.number, link::pong{ping->wall_ns, ping->monotonic_ns}});
  } else if (const auto* origins = std::get_if<link::origins>(&body)) {
    for (const auto origin : origins->edges)
      if (origin != user && !backend_.register_origin(user, origin))
        ++counters_.forbidden;
  } else if (const auto* epochs = std::get_if<link::origin_state>(&body)) {
    if (epochs->edge == user || !backend_.register_origin(user, epochs->edge)) {
      ++counters_.forbidden;
      return;
    }
    holdings_.announce(*epochs);
    backend_.on_epochs(*epochs);
  } else if (std::holds_alternative<link::bye>(body)) {
    end_session(session);
  }
}

void receiver::on_hello(const link::peer_id& from, edge_id user, const link::hello& hello) {
  const auto site = backend_.site_of(user);
  if (!site) {
    ++counters_.refused_revoked;
    refuse(from, 0, link::bye_reason::revoked,
           "the key of this edge was revoked: join again with a new token");
    return;
  }
  if (hello.edge != user) {
    ++counters_.forbidden;
    refuse(from, 0, link::bye_reason::protocol_error,
           fmt::format("this key belongs to edge {}, not to {}", to_string(user), to_string(hello.edge)));
    return;
  }
  if (hello.protocol_min > link::protocol_version || hello.protocol < link::protocol_version_min) {
    ++counters_.refused_version;
    refuse(from, 0, link::bye_reason::version,
           fmt::format("{} speaks protocol {} to {}, the edge {} to {}: upgrade the older one", config_.name,
                       link::protocol_version_min, link::protocol_version, hello.protocol_min,
                       hello.protocol));
    return;
  }
  auto& session = sessions_[static_cast<std::uint64_t>(user)];
  if (session.number != 0 && session.instance != hello.instance && !elder_yields(from, user, session, hello))
    return;
  const auto totals = session.view;
  const auto duplicate_ns = session.duplicate_ns;
  end_session(session);
  session = {};
  session.view = totals;
  session.duplicate_ns = duplicate_ns;
  session.peer = from;
  session.instance = hello.instance;
  session.current = hello.current;
  do
    session.number = random_.next();
  while (session.number == 0);
  note_restored(user, hello);
  welcome(session, user, *site, hello);
}

bool receiver::elder_yields(const link::peer_id& from, edge_id user, session& elder,
                            const link::hello& hello) {
  // A restarted process knows the epoch that its predecessor wrote; a clone or a restored copy does not.
  const bool successor = std::any_of(hello.streams.begin(), hello.streams.end(), [&](const auto& stream) {
    return stream.key.edge == user && stream.key.epoch == elder.current && stream.closed;
  });
  if (successor) {
    if (elder.peer != from)
      refuse(elder.peer, elder.number, link::bye_reason::superseded,
             "a newer session of this edge took over");
    return true;
  }
  const auto now = clock_.monotonic_ns();
  if (elder.probe_ns != 0 && now - elder.probe_ns > config_.probe_window.count())
    return true; // asked, and silent since: it is gone
  if (elder.probe_ns == 0) {
    elder.probe_ns = now;
    backend_.send(elder.peer, {elder.number, link::ping{clock_.wall_ns(), now, {}}});
    if (elder.heard_ns + config_.probe_window.count() < now) {
      refuse(from, 0, link::bye_reason::duplicate,
             "another session of this edge may still be alive: asking it");
      return false;
    }
  }
  note_duplicate(elder);
  spdlog::warn(
      "{}: a second node with the key of edge {} was refused while the first is live: was its disk cloned? "
      "Let it join anew with a token of its own",
      config_.name, to_string(user));
  refuse(from, 0, link::bye_reason::duplicate,
         "another live node uses this edge's key: if this disk is a copy, join anew with a token of its own");
  return false;
}

bool receiver::may_log() {
  const bool open = refusal_lines_.open(clock_.monotonic_ns());
  if (open)
    refusal_lines_.spend(1);
  return open;
}

void receiver::note_duplicate(session& of) {
  ++counters_.refused_duplicate;
  of.duplicate_ns = clock_.monotonic_ns();
}

void receiver::note_clock(session& of, edge_id user, std::int64_t wall_ns) {
  const auto before = of.view.clock_offset_ns;
  const auto said = std::clamp<std::int64_t>(wall_ns, 0, INT64_MAX / 2); // it may say anything
  const auto offset = of.view.clock_offset_ns = said - clock_.wall_ns();
  if (std::llabs(offset) < clock_offset_told_ns || std::llabs(offset - before) < clock_offset_told_ns
      || !may_log())
    return;
  spdlog::warn("{}: the clock of edge {} is {} s {} ours", config_.name, to_string(user),
               std::llabs(offset) / 1'000'000'000, offset > 0 ? "ahead of" : "behind");
}

void receiver::note_restored(edge_id user, const link::hello& hello) {
  std::string why;
  for (const auto& stream : hello.streams) {
    if (!stream.closed || stream.key.edge != user)
      continue;
    const auto* stored = holdings_.stored(stream.key);
    if (stored != nullptr && stored->highest() > stream.last)
      why = fmt::format("its epoch {} ends at {}, and {} is held here", to_string(stream.key.epoch),
                        stream.last, stored->highest());
  }
  auto& newest = holdings_.newest(user);
  if (why.empty()
      && (hello.current.boot_counter < newest.boot_counter
          || (hello.current.boot_counter == newest.boot_counter && hello.current != newest)))
    why = fmt::format("it opened epoch {} after {}", to_string(hello.current), to_string(newest));
  newest = hello.current;
  if (why.empty())
    return;
  ++counters_.restored_edges;
  spdlog::warn(
      "{}: edge {} came back from an older copy of its disk: {}; no number is reused, what it holds again is "
      "trimmed",
      config_.name, to_string(user), why);
}

void receiver::welcome(session& to, edge_id user, const std::string& site, const link::hello& hello) {
  ++counters_.sessions;
  to.heard_ns = clock_.monotonic_ns();
  to.view.edge = user;
  to.view.connected = true;
  to.view.last_heard_wall_ns = clock_.wall_ns();
  to.view.software = hello.software;
  note_clock(to, user, hello.wall_ns);
  link::welcome welcome;
  welcome.protocol = std::min(hello.protocol, link::protocol_version);
  welcome.batch_bytes_max = static_cast<std::uint32_t>(config_.batch_bytes_max);
  welcome.server_time_ns = clock_.wall_ns();
  welcome.incarnation = config_.incarnation;
  to.view.pending_records = 0;
  std::vector<link::stream_held> lost;
  link::origin_state epochs{user, hello.current, {}};
  for (const auto& stream : hello.streams)
    if (stream.closed && stream.key.edge == user)
      epochs.closed.push_back({stream.key, stream.last});
  holdings_.announce(epochs);
  backend_.on_epochs(epochs);
  holdings_.forget_offers(user);
  for (const auto& stream : hello.streams) {
    if (stream.key.edge != user && !backend_.register_origin(user, stream.key.edge)) {
      ++counters_.forbidden;
      continue;
    }
    if (!stream.held.empty())
      holdings_.offered(user, stream.key);
    link::stream_held durable{stream.key, {}};
    if (const auto* held = holdings_.held(stream.key))
      for (const auto& range : stream.held.ranges())
        durable.ranges.add(held->common_with(range));
    to.view.pending_records += stream.held.count() - durable.ranges.count();
    if (!durable.ranges.empty())
      welcome.durable.push_back(std::move(durable));
    link::stream_held gone{stream.key, {}};
    if (!holdings_.may_have_forgotten(stream.key))
      for (auto range : stream.released.ranges()) {
        if (planted(config_.planted, planted_fault::tombstone_over_arriving_data))
          range.first = 1;
        gone.ranges.add(holdings_.lacking(stream.key, range));
      }
    if (!gone.ranges.empty())
      lost.push_back(std::move(gone));
  }
  if (planted(config_.planted, planted_fault::custody_loss_unnoticed))
    lost.clear();
  const bool told = !planted(config_.planted, planted_fault::restored_receiver_unnoticed);
  if (told)
    welcome.lost_custody = lost;
  spdlog::info("{}: edge {} of site '{}' opened a session, {} records pending", config_.name, to_string(user),
               site, to.view.pending_records);
  to.site = site;
  if (to.view.pending_records != 0)
    note_waiting(to);
  to.credit = first_credit(to);
  credit_due_ = true;
  welcome.credit_bytes = to.credit;
  backend_.send(to.peer, {to.number, std::move(welcome)});
  for (const auto& gone : lost) {
    counters_.custody_lost_records += told ? gone.ranges.count() : 0;
    spdlog::warn(
        "{}: {} records of {} were acknowledged once and are not here: written as lost (custody lost at {}); "
        "was this node restored from an older copy?",
        config_.name, gone.ranges.count(), to_string(gone.key), config_.name);
    // It happened after what is held here, and before this Hello.
    store_loss(user, site, gone.key, gone.ranges, loss_cause::custody, holdings_.newest_ns(gone.key),
               clock_.wall_ns(), 0, {}, 0);
  }
}

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
    refuse(from.peer, from.number, link::bye_reason::protocol_error,
           fmt::format("a batch of {} bytes is over the limit", bytes));
    end_session(from);
    return;
  }
  take_run(from, user, batch.run, batch.lane, {});
}

void receiver::take_run(session& from, edge_id user, const run& run, link::lane lane,
                        const std::vector<set_hash>& gone) {
  const auto& key = run.header.key;
  const sequence_range range{run.header.first, run.header.last()};
  const auto protocol_error = [&](std::string what) {
    ++counters_.malformed;
    if (may_log())
      spdlog::warn("{}: a batch of edge {} is refused: {}", config_.name, to_string(user), what);
    refuse(from.peer, from.number, link::bye_reason::protocol_error, std::move(what));
    end_session(from);
  };
  const auto site = backend_.site_of(user);
  if (!site || run.header.tenant != tenant_default
      || (key.edge != user && !backend_.may_speak(user, key.edge))) {
    ++counters_.forbidden;
    if (may_log())
      spdlog::warn("{}: edge {} may not speak for edge {}", config_.name, to_string(user),
                   to_string(key.edge));
    refuse(from.peer, from.number, site ? link::bye_reason::protocol_error : link::bye_reason::revoked,
           "this key may not speak for the origin that a batch names");
    end_session(from);
    return;
  }
  holdings_.offered(user, key);
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
  if (const auto* stored = holdings_.stored(key);
      stored != nullptr && range.first > holdings_.reach(key) + 1
      && stored->ranges().size() >= config_.ranges_max * (from.open_bytes == 0 ? 2 : 1)) {
    ++counters_.ranges_full;
    return;
  }
  if (!takes(from, run.bytes.view.size())) {
    ++counters_.over_credit;
    return;
  }
  auto records = decode_records(run);
  if (!records) {
    protocol_error(records.error().message);
    return;
  }
  delivery_job job;
  job.site = *site;
  job.lane = lane;
  std::vector<set_hash> lacking;
  range_set undecodable;
  std::int64_t undecodable_from_ns = INT64_MAX, undecodable_to_ns = INT64_MIN;
  const auto not_decoded = [&](const record_view& record, sequence_range its) {
    undecodable.add(its);
    undecodable_from_ns = std::min(undecodable_from_ns, record.time_ns);
    undecodable_to_ns = std::max(undecodable_to_ns, record.time_ns);
  };
  frame sections;
  std::vector<record_view> partly_new; // tombstones
  for (const auto& record : records.value()) {
    const auto sequences = sequences_of(record).value(); // decode_records read it
    const sequence_range its{record.seq, record.seq + sequences - 1};
    if (missing.common_with(its).empty() && !planted(config_.planted, planted_fault::merged_range_doubled)) {
      ++counters_.duplicate_records;
      continue;
    }
    if (record.kind == record_kind::frame) {
      // One bad frame must not wedge its edge: it becomes a tombstone, and the rest goes on.
      if (!decode_frame_sections(record.payload, sections)) {
        ++counters_.malformed;
        not_decoded(record, its);
        continue;
      }
      bool lost = false;
      for (const auto& section : sections.sections) {
        std::optional<std::size_t> series;
        if (const auto fresh = fresh_sets_.find({key.edge, section.set}); fresh == fresh_sets_.end()) {
          series = backend_.series_in_set(key.edge, section.set);
        } else {
          series = fresh->second->members.size();
          if (std::find(job.sets.begin(), job.sets.end(), fresh->second) == job.sets.end())
            job.sets.push_back(fresh->second);
        }
        if (!series && std::find(gone.begin(), gone.end(), section.set) != gone.end()) {
          lost = true;
        } else if (!series) {
          if (std::find(lacking.begin(), lacking.end(), section.set) == lacking.end())
            lacking.push_back(section.set);
        } else if (*series != section.series_count) {
          ++counters_.malformed;
          lost = true;
        }
      }
      if (lost) {
        not_decoded(record, its);
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
    if (from.parked.size() >= config_.parked_batches_max) {
      ++counters_.parked_full;
      return;
    }
    link::need need{key.edge, {}};
    for (const auto& hash : lacking) {
      const set_name name{key.edge, hash};
      if (need.sets.size() < sets_asked_max
          && std::find(from.asked.begin(), from.asked.end(), name) == from.asked.end()) {
        from.asked.push_back(name);
        need.sets.push_back(hash);
      }
    }
    from.open_bytes += run.bytes.view.size();
    open_bytes_ += run.bytes.view.size();
    from.parked.push_back({run, lane, gone});
    if (!need.sets.empty())
      backend_.send(from.peer, {from.number, std::move(need)});
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
  store(std::move(job), user, from.number, range, charge);
}

bool receiver::adopt_jobs(const session& by, const stream_key& key) {
  bool any = false;
  for (auto* all : {&jobs_, &settling_})
    for (auto& [ticket, job] : *all)
      if (job.key == key) {
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
  backend_.keep_held(ticket, key, all);
}

void receiver::store(delivery_job job, edge_id user, std::uint64_t session, sequence_range answer,
                     std::uint64_t bytes) {
  job.ticket = next_ticket_++;
  const auto& key = job.from.header.key;
  holdings_.begin(key, job.ranges);
  auto& open = jobs_[job.ticket];
  open = {user, session, 0, key, job.ranges, 0, answer, bytes, bytes, {}};
  open_bytes_ += bytes;
  if (const auto it = sessions_.find(static_cast<std::uint64_t>(user));
      session != 0 && it != sessions_.end() && it->second.number == session) {
    open.charged = session;
    it->second.open_bytes += bytes;
  }
  for (const auto& record : job.records)
    if (record.kind != record_kind::tombstone)
      open.newest_ns = std::max(open.newest_ns, record.time_ns);
  for (const auto& set : job.sets)
    open.sets.push_back(set->hash);
  if (planted(config_.planted, planted_fault::set_dropped_while_referenced) && !job.sets.empty())
    job.sets.pop_back();
  if (planted(config_.planted, planted_fault::ack_before_sync)) {
    holdings_.settle(key, job.ranges);
    acknowledge(open);
  }
  backend_.store(std::move(job));
}

void receiver::on_stored(std::uint64_t ticket, const std::string& failed) {
  const auto it = jobs_.find(ticket);
  if (it == jobs_.end())
    return;
  auto job = std::move(it->second);
  jobs_.erase(it);
  holdings_.end(job.key, job.ranges, failed.empty() ? std::optional{job.newest_ns} : std::nullopt);
  if (!failed.empty()) {
    ++counters_.store_failures;
    discharge(job);
    const auto session = sessions_.find(static_cast<std::uint64_t>(job.user));
    if (session != sessions_.end() && session->second.number != 0) {
      // The edge keeps it and comes back after a while; one refusal ends the session, so the rest is not tried.
      refuse(session->second.peer, session->second.number, link::bye_reason::stopping,
             fmt::format("{} cannot store now: {}", config_.name, failed));
      end_session(session->second);
    }
    return;
  }
  for (const auto& hash : job.sets)
    fresh_sets_.erase({job.key.edge, hash}); // the store has them now
  settle(std::move(job));
}

void receiver::on_held_durable(std::uint64_t ticket, const std::string& failed) {
  const auto it = settling_.find(ticket);
  if (it == settling_.end())
    return;
  const auto job = std::move(it->second);
  settling_.erase(it);
  discharge(job);
  if (!failed.empty()) {
    ++counters_.store_failures; // the records are stored; the next note that succeeds makes them held
    return;
  }
  holdings_.settle(job.key, job.ranges);
  acknowledge(job);
  for (const auto& key : holdings_.forget_surplus(job.key.edge)) {
    ++counters_.epochs_forgotten;
    backend_.forget(key);
  }
  share_credit();
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
  auto& pending = it->second.view.pending_records;
  pending -= std::min(pending, ranges.count());
  link::ack ack;
  ack.freed_bytes = done.bytes;
  ack.ranges.push_back({done.key, std::move(ranges)});
  backend_.send(it->second.peer, {it->second.number, std::move(ack)});
}

void receiver::on_sets(session& from, edge_id user, const link::sets& sets) {
  if (sets.edge != user && !backend_.may_speak(user, sets.edge)) {
    ++counters_.forbidden;
    return;
  }
  const auto remember = [&](const set_hash& hash, series_set_ptr set) {
    if (fresh_sets_.insert_or_assign({sets.edge, hash}, std::move(set)).second)
      fresh_order_.emplace_back(sets.edge, hash);
    if (fresh_order_.size() > fresh_sets_max) {
      fresh_sets_.erase(fresh_order_.front());
      fresh_order_.pop_front();
    }
  };
  for (const auto& set : sets.found) {
    if (std::erase(from.asked, set_name{sets.edge, set->hash}) == 0) {
      ++counters_.sets_unasked;
      continue;
    }
    ++counters_.sets_received;
    remember(set->hash, set);
  }
  std::vector<set_hash> gone;
  for (const auto& hash : sets.missing)
    if (std::erase(from.asked, set_name{sets.edge, hash}) != 0)
      gone.push_back(hash);
  auto parked = std::move(from.parked);
  from.parked.clear();
  for (const auto& batch : parked)
    open_bytes_ -= batch.from.bytes.view.size();
  for (auto& batch : parked) {
    if (from.number == 0)
      return;
    from.open_bytes -= batch.from.bytes.view.size();
    if (batch.from.header.key.edge == sets.edge)
      batch.gone.insert(batch.gone.end(), gone.begin(), gone.end());
    take_run(from, user, batch.from, batch.lane, batch.gone);
  }
}

void receiver::on_revoked(edge_id user) {
  const auto it = sessions_.find(static_cast<std::uint64_t>(user));
  if (it == sessions_.end())
    return;
  if (it->second.number != 0)
    refuse(it->second.peer, it->second.number, link::bye_reason::revoked, "the key of this edge was revoked");
  end_session(it->second);
}

void receiver::say_bye() {
  for (auto& [user, session] : sessions_) {
    if (session.number != 0)
      refuse(session.peer, session.number, link::bye_reason::stopping, config_.name + " is stopping");
    end_session(session);
  }
}

void receiver::end_session(session& of) {
  credit_due_ = credit_due_ || of.number != 0;
  of.number = 0;
  of.view.connected = false;
  of.credit = of.had_credit = 0;
  for (const auto& batch : of.parked) {
    open_bytes_ -= batch.from.bytes.view.size();
    of.open_bytes -= batch.from.bytes.view.size();
  }
  of.parked.clear();
  of.asked.clear();
}

// Within its credit always, and a first one whatever its size; beyond, up to twice of what it had, as long as there is
// room for all.
bool receiver::takes(const session& from, std::uint64_t bytes) const {
  if (from.open_bytes == 0 || from.open_bytes + bytes <= from.credit)
    return true;
  const bool had = clock_.monotonic_ns() < from.had_until_ns;
  return from.open_bytes + bytes <= credit_slack * std::max(from.credit, had ? from.had_credit : 0)
         && open_bytes_ + bytes <= config_.memory_max / 2;
}

void receiver::note_waiting(session& of) {
  const auto now = clock_.monotonic_ns();
  credit_due_ = credit_due_ || of.waits_until_ns <= now;
  of.waits_until_ns = now + waits_for_ns;
}

bool receiver::silent(const session& one, std::int64_t now) const noexcept {
  return one.number == 0 || now - one.heard_ns > silent_after_ns;
}

std::uint64_t receiver::open_of_ended() const noexcept {
  auto out = open_bytes_;
  for (const auto& [user, session] : sessions_)
    if (session.number != 0)
      out -= std::min(out, session.open_bytes);
  return out;
}

std::uint64_t receiver::first_credit(const session& of) const {
  const auto now = clock_.monotonic_ns();
  auto used = open_of_ended();
  std::uint64_t live = 0;
  for (const auto& [user, session] : sessions_)
    if (!silent(session, now)) {
      ++live;
      used += &session == &of ? 0 : session.credit;
    }
  const auto least = std::min(config_.credit_min, config_.credit_bytes);
  const auto budget = config_.memory_max / 2;
  if (live * config_.credit_bytes > budget && of.waits_until_ns <= now)
    return least;
  const auto left = budget - std::min(used, budget);
  return left >= config_.credit_bytes ? config_.credit_bytes : std::max(round_credit(left, least), least);
}

void receiver::share_credit() {
  const auto now = clock_.monotonic_ns();
  if (now - shared_ns_ < (credit_due_ ? share_interval_ns : share_again_ns))
    return;
  credit_due_ = false;
  shared_ns_ = now;
  const auto least = std::min(config_.credit_min, config_.credit_bytes);
  const auto budget = config_.memory_max / 2 - std::min(config_.memory_max / 2, open_of_ended());
  std::vector<session*> live;
  std::vector<credit_claim> claims;
  for (auto& [user, session] : sessions_)
    if (!silent(session, now)) {
      live.push_back(&session);
      const bool busy = now < session.waits_until_ns || session.open_bytes > least;
      claims.push_back({session.site, busy ? config_.credit_bytes : least});
    }
  // While there is plenty nobody hears of it.
  if (live.size() * config_.credit_bytes <= budget)
    for (auto& claim : claims)
      claim.wanted = config_.credit_bytes;
  const auto shares = delivery::share_credit(budget, least, claims);
  for (std::size_t i = 0; i < live.size(); ++i) {
    auto& one = *live[i];
    const auto credit = shares[i];
    if (credit == one.credit)
      continue;
    if (credit < one.credit) {
      one.had_credit = std::max(one.credit, now < one.had_until_ns ? one.had_credit : 0);
      one.had_until_ns = now + credit_settles_ns;
    }
    one.credit = credit;
    ++counters_.credit_changes;
    backend_.send(one.peer, {one.number, link::credit{credit}});
  }
}

memory_usage receiver::memory() const noexcept {
  memory_usage out;
  out.open_bytes = open_bytes_;
  const auto now = clock_.monotonic_ns();
  for (const auto& [user, session] : sessions_)
    if (!silent(session, now)) {
      ++out.sessions;
      out.credit += session.credit;
    }
  return out;
}

session_usage receiver::usage() const noexcept {
  session_usage most;
  for (const auto& [user, session] : sessions_) {
    most.parked_batches = std::max(most.parked_batches, session.parked.size());
    most.open_bytes = std::max(most.open_bytes, session.open_bytes);
    most.sets_asked = std::max(most.sets_asked, session.asked.size());
  }
  return most;
}

std::vector<edge_view> receiver::edges() const {
  std::vector<edge_view> out;
  out.reserve(sessions_.size());
  const auto now = clock_.monotonic_ns();
  for (const auto& [user, session] : sessions_) {
    out.push_back(session.view);
    out.back().duplicate =
        session.duplicate_ns != 0 && now - session.duplicate_ns < config_.duplicate_shown.count();
  }
  return out;
}

} // namespace skerry::delivery
