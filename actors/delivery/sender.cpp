#include "actors/delivery/sender.hpp"

#include "actors/link/limits.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>

namespace skerry::delivery {

namespace {

constexpr std::int64_t clock_jump_ns = 1'000'000'000; // the receiver is told of
constexpr std::size_t batches_per_pump_max = 64;      // then the caller's thread gets a turn
constexpr std::int64_t bandwidth_burst_ns = 1'000'000'000;
constexpr std::int64_t thin_slice_ns =
    15'000'000'000;                             // what was committed in so long goes at each thin interval
constexpr int probes_per_tick_max = 16;         // of what is set aside
constexpr std::size_t hello_stream_bytes = 152; // in a Hello, at most
constexpr std::size_t hello_range_bytes = 16;
constexpr std::size_t hello_bytes_max = link::envelope_bytes_max - (64 << 10);
// How edges further out stand, in one message each time: a state that keeps changing costs a metered link little.
constexpr double origin_links_per_second = 0.1;
constexpr std::int64_t origin_links_burst_ns = 100'000'000'000;
constexpr double returns_per_second = 1.0 / 600; // of a receiver that was restored from a copy, or says so
constexpr std::int64_t returns_burst_ns = 2'400'000'000'000;
// Of series sets that a receiver asks for once more: it may have lost them, or play with a metered link.
// Beyond this, one byte for each byte of records that it acknowledges.
constexpr double repeated_set_bytes_per_second = 4 << 10;
constexpr std::int64_t repeated_set_burst_ns = 1'024'000'000'000; // 4 MiB
constexpr std::uint64_t repeated_set_earned_max = 64 << 20;
constexpr std::uint64_t missing_set_bytes = 64; // that an answer costs, at most
constexpr std::size_t needs_waiting_max = 16'384;
constexpr std::size_t sets_answered_max = 65'536;   // that are remembered
constexpr std::size_t sets_message_bytes = 4 << 20; // uncompressed; more go in further messages
// What a receiver keeps that does not say which kinds it knows.
constexpr kind_set kinds_unsaid = bit_of(record_kind::frame) | bit_of(record_kind::watermark)
                                  | bit_of(record_kind::clock_note) | bit_of(record_kind::tombstone)
                                  | bit_of(record_kind::not_collected);

// What stands in a run before a sequence that is not to be sent. Precondition: that is not its first record.
result<run> cut_before(const run& from, sequence end) {
  BOOST_OUTCOME_TRY(records, decode_records(from));
  run_builder builder{from.header.key, from.header.first, from.header.tenant};
  for (const auto& record : records) {
    if (record.seq >= end)
      break;
    builder.append(record, sequences_of(record).value());
  }
  return std::move(builder).finish();
}

} // namespace

std::string_view to_string(sender_phase phase) noexcept {
  switch (phase) {
  case sender_phase::down: return "down";
  case sender_phase::greeting: return "greeting";
  case sender_phase::live: return "live";
  case sender_phase::waiting: return "waiting";
  }
  return "unknown";
}

sender::sender(sender_config config, clock_source& clock, random_source& random, sender_source& source,
               sender_sink& sink)
    : config_(std::move(config)),
      clock_(clock),
      source_(source),
      sink_(sink),
      all_bytes_(static_cast<double>(config_.bandwidth_bytes), bandwidth_burst_ns),
      backlog_bytes_(static_cast<double>(config_.bandwidth_bytes) * config_.backlog_share,
                     bandwidth_burst_ns),
      origin_links_due_(origin_links_per_second, origin_links_burst_ns),
      returns_due_(returns_per_second, returns_burst_ns),
      repeated_set_bytes_(repeated_set_bytes_per_second, repeated_set_burst_ns),
      asides_(config_.set_aside, clock, random),
      safe_wait_(config_.safe_wait_min, config_.safe_wait_max, random),
      retry_(config_.retry_min, config_.retry_max, random) {
  for (const auto& state : source_.streams())
    streams_[state.key].unacked = state.held;
}

void sender::reset_session(sender_phase to) {
  phase_ = to;
  for (auto& [key, stream] : streams_)
    if (!stream.durable.empty()) { // the next session says what of it is still there
      was_durable_[key].add(stream.durable);
      stream.unacked.add(std::exchange(stream.durable, {}));
    }
  session_ = 0;
  credit_bytes_ = 0;
  in_flight_.clear();
  if (config_.under_way)
    config_.under_way->release_all();
  in_flight_bytes_ = 0;
  backlog_in_flight_bytes_ = 0;
  estimate_.reset();
  answer_due_since_ns_ = 0;
  asides_.on_session_over();
  needs_.clear();
  needs_in_turn_.clear();
}

void sender::on_connected() {
  said_again_ = false;
  reset_session(sender_phase::greeting);
  say_hello();
}

void sender::on_disconnected() { reset_session(sender_phase::down); }

void sender::say_hello() {
  link::hello hello;
  hello.features = link::features_known;
  hello.kinds = known_kinds;
  hello.edge = config_.edge;
  hello.instance = config_.instance;
  hello.wall_ns = clock_.wall_ns();
  hello.monotonic_ns = clock_.monotonic_ns();
  clock_said_ns_ = hello.wall_ns - hello.monotonic_ns;
  hello.software = config_.software;
  hello.receiver = receiver_;
  hello.current = config_.current;
  hello.ping_interval_ns = config_.ping_interval.count();
  hello.streams = source_.streams();
  streams_.clear();
  origins_.clear();
  for (const auto& state : hello.streams) {
    auto& stream = streams_[state.key];
    stream.unacked = state.held;
    stream.newest = state.last;
  }
  fit(hello.streams, config_.edge);
  for (const auto& state : hello.streams)
    if (state.key.edge != config_.edge)
      origins_.insert(state.key.edge);
  session_ = 0;
  if (send(std::move(hello))) {
    answer_due_since_ns_ = clock_.monotonic_ns();
    return;
  }
  // The link is up and takes nothing more now: nobody would say so again.
  phase_ = sender_phase::waiting;
  retry_at_ns_ = clock_.monotonic_ns() + retry_.next().count();
}

// What a Hello can't hold is not named: it is sent all the same, and what the receiver has of it is trimmed there.
void sender::fit(std::vector<link::hello_stream>& streams, edge_id own) {
  // So many of them, from the first on, are within all bounds.
  const auto fitting = [&] {
    std::size_t ranges = 0, count = 0;
    for (; count < streams.size() && count < link::message_streams_max; ++count) {
      ranges += streams[count].held.ranges().size() + streams[count].released.ranges().size()
                + streams[count].kept.ranges().size();
      if (ranges > link::message_ranges_max
          || (count + 1) * hello_stream_bytes + ranges * hello_range_bytes > hello_bytes_max)
        break;
    }
    return count;
  };
  if (fitting() == streams.size())
    return;
  const auto rank = [own](const link::hello_stream& of) {
    return of.key.edge == own ? 0 : of.held.empty() ? 2 : 1;
  };
  std::stable_sort(streams.begin(), streams.end(),
                   [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  streams.resize(fitting());
  std::sort(streams.begin(), streams.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
}

bool sender::send(link::body body) {
  if (!sink_.send({session_, std::move(body)}))
    return false;
  last_sent_ns_ = clock_.monotonic_ns();
  return true;
}

void sender::on_message(const link::message& message) {
  if (phase_ == sender_phase::down)
    return;
  if (const auto* welcome = std::get_if<link::welcome>(&message.body);
      welcome && phase_ == sender_phase::greeting) {
    on_welcome(message, *welcome);
    return;
  }
  if (const auto* bye = std::get_if<link::bye>(&message.body);
      bye && (message.session == 0 || message.session == session_)) {
    on_bye(*bye);
    return;
  }
  if (message.session != session_ || phase_ != sender_phase::live) {
    ++counters_.stale_messages;
    return;
  }
  answer_due_since_ns_ = 0;
  if (const auto* ack = std::get_if<link::ack>(&message.body))
    on_ack(*ack);
  else if (const auto* need = std::get_if<link::need>(&message.body))
    on_need(*need);
  else if (const auto* refusal = std::get_if<link::refusal>(&message.body))
    on_refusal(*refusal);
  else if (const auto* credit = std::get_if<link::credit>(&message.body))
    credit_bytes_ = credit->bytes;
  else if (const auto* ping = std::get_if<link::ping>(&message.body))
    send(link::pong{ping->wall_ns, ping->monotonic_ns});
  pump();
}

void sender::on_welcome(const link::message& message, const link::welcome& welcome) {
  answer_due_since_ns_ = 0;
  if (welcome.protocol < link::protocol_version_min || welcome.protocol > link::protocol_version) {
    on_bye(
        {link::bye_reason::version, fmt::format("the receiver answered with protocol {}", welcome.protocol)});
    return;
  }
  session_ = message.session;
  phase_ = sender_phase::live;
  refusal_.clear();
  live_since_ns_ = clock_.monotonic_ns();
  credit_bytes_ = welcome.credit_bytes;
  batch_bytes_max_ = welcome.batch_bytes_max == 0
                         ? config_.batch_bytes_max
                         : std::min<std::size_t>(config_.batch_bytes_max, welcome.batch_bytes_max);
  batch_number_ = 0;
  if (std::exchange(receiver_, welcome.incarnation) != welcome.incarnation)
    asides_.clear(); // another receiver decides for itself
  take_back(welcome.again);
  ++counters_.sessions;
  two_levels_ = (welcome.features & link::feature_ack_levels) != 0;
  keeps_unknown_ = (welcome.features & link::feature_keeps_kinds) != 0;
  kinds_kept_ = welcome.kinds != 0 ? welcome.kinds : kinds_unsaid;
  if (keeps_unknown_)
    kinds_kept_ |= ~kinds_with(&kind_policy::names_sets);
  told_held_back_ = false;
  for (const auto& lost : welcome.lost_custody) {
    counters_.lost_custody_records += lost.ranges.count();
    if (set_aside_log_.allow())
      spdlog::warn(
          "uplink: the receiver no longer has {} records of {} that it acknowledged; it has written them as "
          "lost (was it restored from an older copy?)",
          lost.ranges.count(), skerry::to_string(lost.key));
  }
  // Before what is acknowledged goes: an edge whose newest epoch is all there has backlog in the older ones alone.
  std::map<edge_id, epoch_id> newest_epochs;
  for (const auto& [key, stream] : streams_)
    newest_epochs[key.edge] = key.edge == config_.edge ? config_.current : key.epoch; // they come in order
  acked_in_welcome(welcome);
  // It grows from one time to the next that was asked, not from one session to the next.
  if (!std::exchange(safe_asked_, false) || durable_records() == 0)
    safe_wait_.reset();
  safe_due_ns_ = clock_.monotonic_ns() + safe_wait_.next().count();
  std::uint64_t pending = 0;
  for (auto& [key, stream] : streams_) {
    stream.long_durable = stream.durable;
    stream.unsent = stream.unacked;
    if (const auto* aside = asides_.ranges(key))
      stream.unsent.remove(*aside);
    stream.fresh = {};
    stream.held_back = {};
    stream.slice_from = 0;
    // Not the newest that are pending: a hole that was left behind is backlog.
    if (key.epoch == newest_epochs[key.edge] && stream.newest != 0 && !oldest_first_)
      stream.fresh = stream.unsent.common_with(
          {stream.newest > config_.fresh_records ? stream.newest - config_.fresh_records + 1 : 1,
           stream.newest});
    pending += stream.unacked.count();
  }
  // Not once for each of a row of sessions that come to nothing.
  if (std::exchange(achieved_, false) && session_log_.allow())
    spdlog::info("uplink: session {} is up, {} records are pending", session_, pending);
  for (const auto edge : welcome.refused_edges)
    origins_.erase(edge); // with the next try of something of it the receiver is asked anew
  if (welcome.features & link::feature_refusals)
    for (const auto edge : asides_.only_these_edges(welcome.refused_edges))
      if (pending_records({link::refusal_scope::edge, {edge, {}, stream_id{0}}}) != 0)
        note_set_aside({{edge, {}, stream_id{0}},
                        {0, 0},
                        link::refusal_scope::edge,
                        link::refusal_reason::forbidden,
                        "its key may not speak for that edge"});
  tell_refused();
  origin_states_told_ = 0;
  origin_links_told_ = 0;
  if (level_ != quota_level::open)
    send_ping();
  pump();
}

// Before any record that came after them. False: the link takes no more.
bool sender::tell_origin_states() {
  if (!config_.further_out)
    return true;
  auto version = origin_states_told_;
  for (auto& state : config_.further_out->changed_since(version))
    if (!send(std::move(state)))
      return false;
  origin_states_told_ = version;
  return true;
}

void sender::tell_origin_links() {
  if (!config_.further_out || level_ == quota_level::exhausted
      || !origin_links_due_.open(clock_.monotonic_ns()))
    return;
  auto version = origin_links_told_;
  auto links = config_.further_out->links_since(version, link::message_origin_links_max);
  if (links.empty() || !send(link::origin_links{std::move(links)}))
    return;
  origin_links_due_.spend(1);
  origin_links_told_ = version;
}

void sender::on_ack(const link::ack& ack) {
  oldest_first_ = false;
  achieved();
  for (const auto& held : ack.ranges)
    acked(held.key, held.ranges, ack.level);
  std::erase_if(in_flight_, [&](const flight& f) {
    // There may be thousands, and an answer is for one of them.
    if (std::none_of(ack.ranges.begin(), ack.ranges.end(), [&](const auto& held) {
          return held.key == f.key && !held.ranges.common_with(f.range).empty();
        }))
      return false;
    const auto it = streams_.find(f.key);
    const bool done = it == streams_.end() || it->second.unacked.common_with(f.range).empty();
    if (done) {
      landed(f);
      repeated_set_earned_ = std::min(repeated_set_earned_ + f.bytes, repeated_set_earned_max);
      estimate_.on_acked(f.sent, f.bytes, clock_.monotonic_ns());
    }
    return done;
  });
  if (!in_flight_.empty())
    answer_due_since_ns_ = clock_.monotonic_ns(); // the link answers: count from here
}

// What was durable in the session before, and is not named any more, goes again.
void sender::acked_in_welcome(const link::welcome& welcome) {
  std::map<stream_key, const range_set*> not_safe;
  for (const auto& one : welcome.not_safe)
    not_safe.emplace(one.key, &one.ranges);
  for (const auto& held : welcome.durable) {
    auto safe = held.ranges;
    if (const auto it = not_safe.find(held.key); it != not_safe.end())
      safe.remove(*it->second);
    if (const auto were = was_durable_.find(held.key); were != was_durable_.end())
      for (const auto& range : safe.ranges())
        if (!were->second.common_with(range).empty())
          became_safe();
    acked(held.key, safe, link::ack_level::safe);
    if (safe != held.ranges)
      acked(held.key, held.ranges, link::ack_level::durable); // the rest of it
  }
  std::uint64_t gone = 0;
  for (const auto& [key, ranges] : std::exchange(was_durable_, {}))
    if (const auto it = streams_.find(key); it != streams_.end())
      for (const auto& range : ranges.ranges())
        gone += it->second.unacked.common_with(range).count();
  counters_.taken_back_records += gone;
  if (gone != 0 && set_aside_log_.allow())
    spdlog::warn(
        "uplink: the receiver had {} records in one place, and has lost them; they are still here and "
        "go again",
        gone);
}

void sender::acked(const stream_key& key, const range_set& ranges, link::ack_level level) {
  const auto it = streams_.find(key);
  if (it == streams_.end())
    return;
  auto& stream = it->second;
  range_set now;
  for (const auto& range : ranges.ranges()) // only what we hold: a receiver may know of more than this disk
    now.add(stream.unacked.common_with(range));
  const bool safe = level == link::ack_level::safe || !two_levels_
                    || planted(config_.planted, planted_fault::released_at_durable);
  if (!safe && !now.empty()) {
    stream.durable.add(now);
    if (stream.durable.ranges().size() > config_.durable_ranges_max) {
      stream.durable.remove(now); // as if this ack had not come
      counters_.durable_unnoted_records += now.count();
      return;
    }
  }
  if (!now.empty())
    arrived(key, stream, now);
  stream.unacked.remove(now);
  counters_.acked_records += now.count();
  if (!safe) {
    if (config_.under_way && !now.empty())
      config_.under_way->durable(key, now);
    return;
  }
  if (!stream.durable.empty()) {
    range_set were;
    for (const auto& range : ranges.ranges())
      were.add(stream.durable.common_with(range));
    if (!were.empty())
      became_safe();
    stream.durable.remove(were);
    now.add(were);
  }
  if (now.empty())
    return;
  counters_.safe_records += now.count();
  // Not when the sender gives up waiting for an answer: until then the batch may still be stored.
  if (config_.under_way)
    config_.under_way->release(key, now);
  source_.release(key, now);
  if (stream.unacked.empty() && stream.durable.empty()
      && !(key.edge == config_.edge && key.epoch == config_.current))
    streams_.erase(it);
}

// They are not to be sent any more.
void sender::arrived(const stream_key& key, stream& of, const range_set& ranges) {
  of.unsent.remove(ranges);
  of.fresh.remove(ranges);
  of.urgent.remove(ranges);
  of.held_back.remove(ranges);
  for (const auto& [name, taken] : asides_.on_acked(key, ranges)) {
    tell_refused();
    if (name.first == link::refusal_scope::batch)
      continue;
    origin_states_told_ = 0; // what was told of the edge was not taken either
    if (set_aside_log_.allow())
      spdlog::info("uplink: the receiver takes again what it had refused: {}", taken.message);
  }
}

// What the receiver lost and is still here goes again as backlog. What is not here any more the next Hello does not name as
// kept: then it is written as lost.
void sender::take_back(const std::vector<link::stream_held>& wanted) {
  if (wanted.empty() || !returns_due_.open(clock_.monotonic_ns()))
    return;
  returns_due_.spend(1);
  for (const auto& [key, ranges] : wanted) {
    const auto back = source_.take_back(key, ranges);
    if (back.empty())
      continue;
    auto& stream = streams_[key];
    stream.unacked.add(back);
    stream.newest = std::max(stream.newest, back.highest());
    counters_.returned_records += back.count();
    if (set_aside_log_.allow())
      spdlog::warn("uplink: the receiver no longer has {} records of {} that it acknowledged; they are still "
                   "here and go "
                   "again (was it restored from an older copy?)",
                   back.count(), skerry::to_string(key));
  }
}

// A set is answered at once when it is first asked for. Again, whatever the reason, as a budget allows: a receiver can make
// nobody pay for the same sets for ever. The session waits for them meanwhile.
void sender::on_need(const link::need& need) {
  for (const auto& hash : need.sets) {
    if (needs_.size() >= needs_waiting_max)
      break; // the receiver may ask in the next session
    const set_name name{need.edge, hash};
    if (needs_.insert(name).second)
      needs_in_turn_.push_back(name);
  }
  answer_needs();
}

void sender::answer_needs() {
  if (level_ == quota_level::exhausted)
    return; // as it allows
  const auto now = clock_.monotonic_ns();
  const auto spend = [this](std::uint64_t cost) {
    const auto earned = std::min(cost, repeated_set_earned_);
    repeated_set_earned_ -= earned;
    repeated_set_bytes_.spend(cost - earned);
  };
  link::sets answer;
  std::size_t bytes = 0;
  const auto flush = [&] {
    if (answer.found.empty() && answer.missing.empty())
      return true;
    const bool sent = send(std::move(answer));
    answer = {};
    bytes = 0;
    if (!sent)
      sink_.reconnect(); // without its sets the receiver can do nothing with what is in flight
    return sent;
  };
  std::deque<set_name> later;
  while (!needs_in_turn_.empty()) {
    const auto name = needs_in_turn_.front();
    needs_in_turn_.pop_front();
    const bool again = sets_answered_.contains(name);
    const bool may_repeat = repeated_set_earned_ != 0 || repeated_set_bytes_.open(now);
    if (again && !may_repeat) {
      ++counters_.sets_deferred;
      later.push_back(name);
      continue;
    }
    if (name.first != answer.edge && !flush())
      return;
    answer.edge = name.first;
    auto found = source_.find_set(name.first, name.second);
    if (!found) {
      sink_.reconnect(); // it can't be read now: the receiver asks again in the next session
      return;
    }
    if (!found.value() && !may_repeat) {
      ++counters_.sets_deferred;
      if (sets_answered_.size() < sets_answered_max)
        sets_answered_.insert(name); // not looked for again before it may be said
      later.push_back(name);
      continue;
    }
    needs_.erase(name);
    if (!found.value()) {
      ++counters_.sets_missing;
      spend(missing_set_bytes);
      answer.missing.push_back(name.second);
      if (answer.missing.size() == link::need_sets_max && !flush())
        return;
      continue;
    }
    bytes += found.value()->encoded.view.size();
    answer.found.push_back(link::pack(*found.value()));
    if (again)
      spend(answer.found.back().packed.view.size());
    else if (sets_answered_.size() < sets_answered_max)
      sets_answered_.insert(name);
    if ((bytes >= sets_message_bytes || answer.found.size() == link::sets_found_max) && !flush())
      return;
  }
  if (flush())
    needs_in_turn_ = std::move(later);
}

void sender::on_bye(const link::bye& bye) {
  refusal_ = bye.message.empty() ? "the receiver closed the session" : bye.message;
  if (bye.reason != link::bye_reason::stopping)
    ++counters_.refusals;
  if (std::exchange(refusal_logged_, refusal_) != refusal_ && session_log_.allow())
    spdlog::warn("uplink: {}", refusal_);
  // What may have come late is to be said again over the same connection: soon, or another address may be tried before.
  const bool again = bye.reason == link::bye_reason::superseded && phase_ == sender_phase::greeting
                     && !std::exchange(said_again_, true);
  reset_session(sender_phase::waiting);
  retry_at_ns_ = clock_.monotonic_ns() + (again ? config_.retry_min : retry_.next()).count();
}

// A session that came to nothing is not followed by another one at once.
void sender::achieved() {
  achieved_ = true;
  retry_.reset();
  refusal_logged_.clear();
}

// What is refused is pending as before; as set aside it waits for a probe.
void sender::on_refusal(const link::refusal& refusal) {
  const auto& key = refusal.key;
  if (refusal.scope == link::refusal_scope::edge)
    origins_.erase(key.edge); // it may be that edge's way by the next try
  if (refusal.batch.first != 0) {
    ++counters_.refused_batches;
    // Only what was named is known not to be stored: others of the stream may be.
    if (config_.under_way) {
      range_set refused;
      refused.add(refusal.batch);
      config_.under_way->release(key, refused);
    }
  }
  const auto of = streams_.find(key);
  const bool known = refusal.scope == link::refusal_scope::everything || of != streams_.end()
                     || (refusal.scope == link::refusal_scope::edge
                         && pending_records({refusal.scope, {key.edge, {}, stream_id{0}}}) != 0);
  if (!known)
    return;
  if (asides_.add(refusal))
    note_set_aside(refusal);
  if (of != streams_.end() && refusal.batch.first != 0) {
    auto& stream = of->second;
    // One that was cut otherwise has more to it, and an answer of its own.
    std::erase_if(in_flight_, [&](const flight& f) {
      if (f.key != key || f.range.first < refusal.batch.first || refusal.batch.last < f.range.last)
        return false;
      auto back = stream.unacked.common_with(f.range);
      if (const auto* aside = asides_.ranges(key))
        back.remove(*aside);
      stream.unsent.add(back);
      for (const auto& range : back.ranges())
        stream.fresh.add(f.fresh.common_with(range));
      landed(f);
      return true;
    });
  }
  if (!in_flight_.empty())
    answer_due_since_ns_ = clock_.monotonic_ns();
}

void sender::note_set_aside(const link::refusal& refusal) {
  if (!set_aside_log_.allow())
    return;
  const auto what = [&]() -> std::string {
    switch (refusal.scope) {
    case link::refusal_scope::batch:
      return fmt::format("records {} to {} of {}", refusal.batch.first, refusal.batch.last,
                         skerry::to_string(refusal.key));
    case link::refusal_scope::stream: return skerry::to_string(refusal.key);
    case link::refusal_scope::edge: return "what comes from edge " + skerry::to_string(refusal.key.edge);
    case link::refusal_scope::everything: break;
    }
    return "anything";
  }();
  spdlog::warn(
      "uplink: the receiver does not take {} ({}): {}; it stays in the spool and is tried again from "
      "time to time, all else goes on",
      what, link::to_string(refusal.reason), refusal.message);
}

std::uint64_t sender::pending_records(const set_asides::name& of) const {
  std::uint64_t n = 0;
  const auto& [scope, wanted] = of;
  if (scope == link::refusal_scope::batch || scope == link::refusal_scope::stream) {
    const auto it = streams_.find(wanted);
    if (it == streams_.end())
      return 0;
    if (scope == link::refusal_scope::stream)
      return it->second.unacked.count();
    if (const auto* ranges = asides_.ranges(wanted))
      for (const auto& range : ranges->ranges())
        n += it->second.unacked.common_with(range).count();
    return n;
  }
  for (auto it = streams_.lower_bound(wanted); it != streams_.end(); ++it) {
    if (scope == link::refusal_scope::edge && it->first.edge != wanted.edge)
      break;
    n += it->second.unacked.count();
  }
  return n;
}

std::vector<set_aside_view> sender::set_aside() const {
  std::vector<set_aside_view> out;
  for (const auto& [name, of] : asides_.entries())
    if (const auto records = pending_records(name); records != 0)
      out.push_back({name.first, name.second, of.reason, of.message, of.since_wall_ns, records});
  return out;
}

void sender::tell_refused() {
  if (config_.under_way)
    config_.under_way->note_refused(asides_.for_good());
}

void sender::probe_set_aside() {
  if (asides_.empty() || level_ == quota_level::exhausted)
    return;
  const auto now = clock_.monotonic_ns();
  int left = probes_per_tick_max;
  for (auto it = asides_.entries().begin(); it != asides_.entries().end() && left > 0;) {
    auto& [name, of] = *it;
    if (of.probe || now < of.due_ns) {
      ++it;
    } else if (pending_records(name) == 0) { // limits or the receiver's word took all of it
      it = asides_.entries().erase(it);
    } else {
      --left;
      if (!probe(name, of))
        return; // the link takes no more
      ++it;
    }
  }
}

// Sends one record of it, in the place of all.
bool sender::probe(const set_asides::name& name, set_asides::entry& of) {
  const auto& [scope, wanted] = name;
  for (auto it = streams_.lower_bound(wanted); it != streams_.end(); ++it) {
    auto& [key, stream] = *it;
    const bool within = scope == link::refusal_scope::everything
                        || (scope == link::refusal_scope::edge ? key.edge == wanted.edge : key == wanted);
    if (!within)
      break;
    if (key.stream != stream_id::alert && level_ > quota_level::no_backlog)
      continue; // when the quota allows it
    sequence from = 0;
    if (scope == link::refusal_scope::batch) {
      range_set left;
      for (const auto& range : of.ranges.ranges())
        left.add(stream.unacked.common_with(range));
      of.ranges = std::move(left);
      from = of.ranges.next(of.cursor);
      if (from == 0)
        from = of.ranges.next(of.cursor = 1);
    } else {
      from = stream.unsent.next(1);
    }
    if (from == 0)
      continue;
    const auto lane = key.stream == stream_id::alert ? link::lane::alert : link::lane::backlog;
    if (!has_room(0, lane))
      return false;
    const auto read = source_.read(key, from, 1);
    if (!read)
      return true; // at the next tick
    // A tombstone may have begun before.
    const auto found = read.value() ? read.value()->header.first : UINT64_MAX;
    if (found > from) {
      drop_missing(stream, {from, found - 1});
      return true;
    }
    const auto& run = *read.value();
    if (hold_back(key, stream, run))
      return true;
    const std::pair probe{key, sequence_range{run.header.first, run.header.last()}};
    if (!send_run(key, stream, run, lane))
      return false;
    of.probe = probe;
    return true;
  }
  return true;
}

void sender::on_committed(const run& run, link::lane lane, bool replaced) {
  const auto& key = run.header.key;
  if (replaced && config_.under_way)
    config_.under_way->told(key, {run.header.first, run.header.last()});
  auto& stream = streams_[key];
  const sequence_range range{run.header.first, run.header.last()};
  stream.unacked.add(range);
  stream.held_back.remove(range); // something stands in its place
  stream.durable.remove(range);
  stream.newest = std::max(stream.newest, range.last);
  if (phase_ != sender_phase::live)
    return;
  stream.unsent.add(range);
  if (lane == link::lane::alert && key.stream != stream_id::alert) {
    stream.urgent.add(range);
    pump();
    return;
  }
  const bool fresh = lane != link::lane::backlog;
  if (fresh)
    stream.fresh.add(range);
  if (!tell_origin_states())
    return;
  if (asides_.blocks(key))
    return;
  // What was just committed is at hand: if nothing fresh waits before it, it goes without being read again.
  const auto own = key.stream == stream_id::alert ? link::lane::alert : link::lane::live;
  const auto level_max = own == link::lane::alert ? quota_level::alerts_only : quota_level::no_backlog;
  if (fresh && level_ <= level_max && !hold_back(key, stream, run)
      && (own == link::lane::alert ? stream.unsent : stream.fresh).next(1) == range.first
      && run.bytes.view.size() <= batch_limit())
    send_run(key, stream, run, own);
  pump();
}

// They stay in the spool, pending, and go to a receiver that can keep them.
bool sender::hold_back(const stream_key& key, stream& from, const run& run) {
  if (keeps_unknown_ && (known_kinds & ~kinds_kept_) == 0)
    return false;
  const auto records = decode_records(run);
  if (!records)
    return false; // the receiver will say so
  range_set out;
  for (const auto& record : records.value())
    if (is_known(record.kind) ? (bit_of(record.kind) & kinds_kept_) == 0 : !keeps_unknown_)
      out.add({record.seq, record.seq});
  if (out.empty())
    return false;
  from.unsent.remove(out);
  from.fresh.remove(out);
  from.urgent.remove(out);
  from.held_back.add(out);
  if (!std::exchange(told_held_back_, true) && session_log_.allow())
    spdlog::warn(
        "uplink: the receiver is too old for some records (from {} of {} on): they stay in the spool until "
        "it is upgraded; all else goes on",
        out.ranges().front().first, skerry::to_string(key));
  return true;
}

std::uint64_t sender::held_back_records() const noexcept {
  std::uint64_t n = 0;
  for (const auto& [key, of] : streams_)
    n += of.held_back.count();
  return n;
}

sequence sender::stop_at(const stream_key& key, const stream& of, sequence from) const {
  auto stop = UINT64_MAX;
  for (const auto* set : {&of.held_back, &of.durable, asides_.ranges(key)})
    if (const auto one = set != nullptr ? set->next(from) : 0; one != 0)
      stop = std::min(stop, one);
  return stop;
}

bool sender::send_run(const stream_key& key, stream& from, const run& run, link::lane lane) {
  const auto bytes = run.bytes.view.size();
  const sequence_range range{run.header.first, run.header.last()};
  if (!has_room(bytes, lane))
    return false;
  if (key.edge != config_.edge && !origins_.contains(key.edge)) {
    if (!send(link::origins{{key.edge}}))
      return false;
    origins_.insert(key.edge);
  }
  std::optional<range_set> claimed;
  if (config_.under_way && !(claimed = config_.under_way->claim(key, range)))
    return false;
  link::batch batch;
  batch.number = batch_number_ + 1;
  batch.lane = lane;
  batch.run = run;
  batch.pending_records = pending_records() - refused_records_pending();
  batch.link = link_now();
  if (!send(std::move(batch))) {
    if (claimed)
      config_.under_way->release(key, *claimed);
    return false;
  }
  ++batch_number_;
  from.unsent.remove(range);
  auto fresh = from.fresh.common_with(range);
  from.fresh.remove(range);
  const auto now = clock_.monotonic_ns();
  if (answer_due_since_ns_ == 0)
    answer_due_since_ns_ = now;
  in_flight_.push_back({key, range, bytes, lane, estimate_.on_sent(in_flight_bytes_, now), std::move(fresh)});
  in_flight_bytes_ += bytes;
  all_bytes_.spend(bytes);
  if (lane == link::lane::backlog) {
    backlog_in_flight_bytes_ += bytes;
    backlog_bytes_.spend(bytes);
  }
  ++counters_.batches;
  counters_.bytes += bytes;
  counters_.records += run.header.record_count;
  return true;
}

std::size_t sender::batch_limit() const noexcept {
  return credit_bytes_ == 0 ? batch_bytes_max_ : std::min<std::size_t>(batch_bytes_max_, credit_bytes_);
}

bool sender::has_room(std::size_t bytes, link::lane lane) {
  if (!in_flight_.empty() && in_flight_bytes_ + bytes > credit_bytes_)
    return false;
  const auto now = clock_.monotonic_ns();
  if (lane == link::lane::alert)
    return true; // they are few, and nothing is in front of them
  if (!all_bytes_.open(now) && !planted(config_.planted, planted_fault::bandwidth_unbounded))
    return false;
  if (lane != link::lane::backlog || planted(config_.planted, planted_fault::backlog_unbounded))
    return true;
  // A quarter of the credit stays free for what is fresh.
  const auto window =
      std::min(estimate_.window_bytes(sink_.backlog_apart()), credit_bytes_ - credit_bytes_ / 4);
  return backlog_bytes_.open(now)
         && (backlog_in_flight_bytes_ == 0 || backlog_in_flight_bytes_ + bytes <= window);
}

void sender::landed(const flight& what) {
  in_flight_bytes_ -= what.bytes;
  if (what.lane == link::lane::backlog)
    backlog_in_flight_bytes_ -= what.bytes;
}

// The spool no longer has these (salvaged without them): nothing to wait for.
void sender::drop_missing(stream& of, sequence_range range) {
  of.unsent.remove(range);
  of.fresh.remove(range);
  of.unacked.remove(range);
  of.held_back.remove(range);
}

bool sender::pump_range(const stream_key& key, stream& of, sequence from, sequence to, link::lane lane) {
  if (asides_.blocks(key))
    return true;
  for (std::size_t i = 0; i < batches_per_pump_max; ++i) {
    from = of.unsent.next(from);
    if (from == 0 || from > to)
      return true;
    if (!has_room(0, lane))
      return false;
    const auto bytes_max = lane == link::lane::backlog ? estimate_.batch_bytes(batch_limit()) : batch_limit();
    auto read = source_.read(key, from, bytes_max);
    if (!read)
      return false; // at the next tick
    auto& run = read.value();
    if (run && hold_back(key, of, *run) && of.held_back.contains(from))
      continue;
    if (const auto stop = stop_at(key, of, from);
        run && stop <= run->header.last() && stop > run->header.first) {
      auto cut = cut_before(*run, stop);
      if (!cut)
        return false;
      run = std::move(cut).value();
    }
    const auto found = run ? run->header.first : UINT64_MAX;
    if (found > from) {
      drop_missing(of, {from, found - 1});
      continue;
    }
    if (!send_run(key, of, *run, lane))
      return false;
    from = run->header.last() + 1;
  }
  return true;
}

bool sender::pump_alerts() {
  for (auto& [key, state] : streams_)
    if (key.stream == stream_id::alert) {
      if (!pump_range(key, state, 1, UINT64_MAX, link::lane::alert))
        return false;
    } else if (!state.urgent.empty()) {
      const auto urgent = state.urgent;
      for (const auto& range : urgent.ranges())
        if (!pump_range(key, state, range.first, range.last, link::lane::alert))
          return false;
    }
  return true;
}

bool sender::pump_fresh() {
  const auto now = clock_.monotonic_ns();
  const bool thinned = level_ == quota_level::thinned;
  if (level_ > quota_level::thinned || (thinned && now < next_slice_ns_))
    return true;
  for (auto& [key, state] : streams_) {
    if (key.stream == stream_id::alert)
      continue;
    const auto from = thinned ? state.slice_from : 0;
    const auto fresh = state.fresh; // it changes meanwhile
    for (const auto& range : fresh.ranges())
      if (range.last >= from
          && !pump_range(key, state, std::max(range.first, from), range.last, link::lane::live))
        return false;
  }
  if (thinned)
    next_slice_ns_ = now + thin_interval_ns_;
  return true;
}

// When thinned, a slice goes at each interval: what was committed since the mark before it.
void sender::mark_slices() {
  const auto now = clock_.monotonic_ns();
  if (level_ != quota_level::thinned || now - slice_marked_ns_ < thin_slice_ns)
    return;
  slice_marked_ns_ = now;
  for (auto& [key, state] : streams_)
    state.slice_from = state.unacked.highest() + 1;
}

bool sender::pump_backlog() {
  if (!backlog_may_go())
    return true;
  if (config_.backlog == backlog_order::oldest_first) {
    for (auto& [key, state] : streams_)
      if (!pump_range(key, state, 1, UINT64_MAX, link::lane::backlog))
        return false;
    return true;
  }
  for (auto it = streams_.rbegin(); it != streams_.rend(); ++it) {
    auto& [key, state] = *it;
    if (asides_.blocks(key))
      continue;
    for (std::size_t i = 0; i < batches_per_pump_max && !state.unsent.empty(); ++i) {
      // The last records of the newest range: as many as fit a batch, judged by what was sent so far.
      const auto newest = state.unsent.ranges().back();
      const auto bytes_each =
          std::max<std::uint64_t>(1, counters_.records == 0 ? 256 : counters_.bytes / counters_.records);
      const auto count = std::max<std::uint64_t>(1, estimate_.batch_bytes(batch_limit()) / bytes_each);
      const auto from = newest.last - newest.first + 1 > count ? newest.last - count + 1 : newest.first;
      if (!pump_range(key, state, from, newest.last, link::lane::backlog))
        return false;
    }
  }
  return true;
}

void sender::pump() {
  if (phase_ != sender_phase::live || level_ == quota_level::exhausted || !tell_origin_states())
    return;
  if (planted(config_.planted, planted_fault::backlog_before_live) && !pump_backlog())
    return;
  if (!pump_alerts() || !pump_fresh())
    return;
  if (std::exchange(probes_due_, false))
    probe_set_aside();
  pump_backlog();
}

void sender::limit(quota_level level, std::chrono::nanoseconds thin_interval,
                   std::uint64_t link_bytes_today) {
  thin_interval_ns_ = thin_interval.count();
  link_bytes_today_ = link_bytes_today;
  if (std::exchange(level_, level) != level && phase_ == sender_phase::live)
    send_ping(); // the other side is to know why less comes, or that more does again
}

link::link_state sender::link_now() const { return {static_cast<std::uint16_t>(level_), link_bytes_today_}; }

bool sender::send_ping() {
  const auto now = clock_.monotonic_ns();
  const auto wall = clock_.wall_ns();
  if (!send(link::ping{wall, now, link_now()}))
    return false;
  clock_said_ns_ = wall - now;
  if (answer_due_since_ns_ == 0)
    answer_due_since_ns_ = now;
  return true;
}

bool sender::has_backlog() const noexcept {
  return std::any_of(streams_.begin(), streams_.end(), [this](const auto& entry) {
    const auto& [key, state] = entry;
    if (asides_.blocks(key))
      return false;
    auto backlog = state.unsent;
    backlog.remove(state.fresh);
    return key.stream != stream_id::alert && !backlog.empty();
  });
}

bool sender::backlog_flows() const noexcept { return backlog_may_go() && has_backlog(); }

void sender::on_tick() {
  tell_refused();
  const auto now = clock_.monotonic_ns();
  if (phase_ == sender_phase::waiting && now >= retry_at_ns_) {
    phase_ = sender_phase::greeting;
    say_hello();
    return;
  }
  if (phase_ != sender_phase::live && phase_ != sender_phase::greeting)
    return;
  if (answer_due_since_ns_ != 0 && now - answer_due_since_ns_ > config_.dead_after.count()) {
    ++counters_.dead_links;
    oldest_first_ = !in_flight_.empty();
    spdlog::warn("uplink: no answer for {} s; the link is built anew",
                 config_.dead_after.count() / 1'000'000'000);
    reset_session(sender_phase::down);
    sink_.reconnect();
    return;
  }
  // A batch whose ack was lost, or that the receiver could not take then, goes again; it trims what it has.
  std::erase_if(in_flight_, [&](const flight& f) {
    if (now - f.sent.at_ns <= config_.dead_after.count())
      return false;
    if (const auto it = streams_.find(f.key); it != streams_.end()) {
      auto again = it->second.unacked.common_with(f.range);
      asides_.on_unanswered(f.key, f.range);
      if (const auto* aside = asides_.ranges(f.key))
        again.remove(*aside);
      it->second.unsent.add(again);
      for (const auto& range : again.ranges())
        it->second.fresh.add(f.fresh.common_with(range));
    }
    landed(f);
    ++counters_.unanswered_batches;
    return true;
  });
  mark_slices();
  if (phase_ == sender_phase::live && level_ != quota_level::exhausted && waits_for_safe()) {
    ++counters_.asked_whether_safe;
    safe_asked_ = true;
    reset_session(sender_phase::greeting);
    say_hello();
    return;
  }
  if (phase_ == sender_phase::live) {
    if (!achieved_ && now - live_since_ns_ > config_.retry_max.count())
      achieved();
    probes_due_ = true;
    tell_origin_links();
    if (!needs_in_turn_.empty())
      answer_needs();
  }
  const bool clock_jumped = std::llabs(clock_.wall_ns() - now - clock_said_ns_) > clock_jump_ns;
  if (phase_ == sender_phase::live && level_ != quota_level::exhausted
      && (clock_jumped || now - last_sent_ns_ > config_.ping_interval.count()))
    send_ping();
  pump();
}

// Where something becomes safe again after long, what is not said to be so by then may have been missed.
void sender::became_safe() {
  const auto now = clock_.monotonic_ns();
  safe_wait_.reset();
  if (safe_due_ns_ - now > config_.safe_wait_min.count())
    safe_due_ns_ = now + safe_wait_.next().count();
}

// Whether something has been durable since the last time that this was due, or since Welcome.
bool sender::waits_for_safe() {
  const auto now = clock_.monotonic_ns();
  if (now < safe_due_ns_)
    return false;
  bool waits = false;
  for (auto& [key, stream] : streams_) {
    for (const auto& range : stream.long_durable.ranges())
      waits = waits || !stream.durable.common_with(range).empty();
    stream.long_durable = stream.durable;
  }
  if (!waits) {
    safe_wait_.reset();
    safe_due_ns_ = now + safe_wait_.next().count();
  }
  return waits;
}

void sender::say_bye() {
  if (phase_ == sender_phase::live)
    send(link::bye{link::bye_reason::stopping, "the edge is stopping"});
  reset_session(sender_phase::down);
}

std::uint64_t sender::refused_records_pending() const {
  std::uint64_t n = 0;
  for (const auto& [name, of] : asides_.entries())
    if (of.reason != link::refusal_reason::not_now && !asides_.within_another(name))
      n += pending_records(name);
  return n;
}

std::uint64_t sender::durable_records() const noexcept {
  std::uint64_t n = 0;
  for (const auto& [key, stream] : streams_)
    n += stream.durable.count();
  return n;
}

std::uint64_t sender::pending_records() const noexcept {
  std::uint64_t n = 0;
  for (const auto& [key, stream] : streams_)
    n += stream.unacked.count();
  return n;
}

} // namespace skerry::delivery
