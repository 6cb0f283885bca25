// Sessions: who says Hello, and what it is told.

#include "actors/delivery/receiver.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace skerry::delivery {

namespace {

constexpr std::int64_t clock_offset_told_ns = 60'000'000'000;
constexpr std::uint64_t small_parts_max = 16;        // of a job that waits for no place that large ones take
constexpr double unread_bytes_per_second = 32 << 10; // are taken as read, or as gone with their connection
constexpr std::int64_t session_line_interval_ns =
    10'000'000'000; // between two lines about sessions of one key
constexpr std::int64_t ping_interval_max_ns = 3'600'000'000'000;
constexpr std::uint64_t welcome_stream_bytes = 72; // about
constexpr std::uint64_t welcome_range_bytes = 16;
constexpr std::size_t asked_again_max =
    3; // Hellos in a row that are asked for, to hear what is not kept any more
constexpr std::size_t refused_shown_max = 64; // edges of one session
constexpr std::size_t refusals_told_max =
    256; // for one message; of further edges when something of them comes
// Of a gateway about edges behind it: beyond, they are dropped.
constexpr double origin_links_per_second = 1;
constexpr std::int64_t origin_links_burst_ns = 100'000'000'000;

token_bucket new_unread(const receiver_config& config) {
  const auto seconds = static_cast<double>(config.unread_bytes_max) / unread_bytes_per_second;
  return {unread_bytes_per_second, static_cast<std::int64_t>(seconds * 1e9)};
}

} // namespace

receiver::receiver(receiver_config config, clock_source& clock, random_source& random,
                   receiver_backend& backend)
    : config_(std::move(config)),
      clock_(clock),
      random_(random),
      backend_(backend),
      holdings_(config_.epochs_max, config_.planted),
      to_store_(config_.storing_parts_max, small_parts_max) {}

void receiver::restore_held(const stream_key& key, held_stream held) {
  holdings_.restore(key, std::move(held));
}

void receiver::refuse(const link::peer_id& to, std::uint64_t session, link::bye_reason reason,
                      std::string message) {
  backend_.send(to, {session, link::bye{reason, std::move(message)}});
}

void receiver::refuse_records(session& of, edge_id user, link::refusal what) {
  const auto number = of.number;
  auto& refused = of.view.refused;
  const bool first = !refused.contains(what.key.edge);
  if (refused.size() < refused_shown_max || !first)
    refused[what.key.edge] = {what.reason, what.message};
  if (first && may_log())
    spdlog::warn("{}: what edge {} brings of edge {} is not taken ({}): {}", config_.name, to_string(user),
                 to_string(what.key.edge), link::to_string(what.reason), what.message);
  if (what.batch.first != 0)
    ++counters_.refused_batches;
  if (of.knows_refusals) {
    backend_.send(of.peer, {number, std::move(what)});
    return;
  }
  refuse(of.peer, number,
         what.reason == link::refusal_reason::not_now ? link::bye_reason::stopping
                                                      : link::bye_reason::protocol_error,
         what.message);
  end_session(of, link::presence::refused, std::move(what.message));
}

bool receiver::is_own(edge_id origin) const noexcept {
  if (planted(config_.planted, planted_fault::loop_unnoticed))
    return false;
  return origin == edge_pushed || (origin == config_.self && origin != edge_id::none);
}

refused_origins receiver::ask_for(edge_id user, std::vector<edge_id> origins) {
  std::sort(origins.begin(), origins.end());
  origins.erase(std::unique(origins.begin(), origins.end()), origins.end());
  std::erase(origins, user);
  refused_origins refused;
  std::erase_if(origins, [&](edge_id origin) {
    if (!is_own(origin))
      return false;
    refused.emplace(origin, origin_refusal{link::refusal_reason::forbidden, own_records});
    return true;
  });
  if (!origins.empty())
    refused.merge(backend_.register_origins(user, origins));
  counters_.forbidden += refused.size();
  return refused;
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
    if (it != sessions_.end() && it->second.peer == from && it->second.number != 0)
      end_session(it->second, link::presence::refused, message.error().message);
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
    if (it != sessions_.end() && heard_of_elder(user, it->second, message.value()))
      return;
    // It was under way, or who speaks lives and says Hello again: then a second node is noticed.
    if (!std::holds_alternative<link::bye>(message.value().body))
      refuse(from, message.value().session, link::bye_reason::superseded,
             "this session has ended; say Hello again");
    return;
  }
  auto& session = it->second;
  credit_due_ = credit_due_ || silent(session, clock_.monotonic_ns());
  session.heard_ns = clock_.monotonic_ns();
  session.probe_ns = 0;
  session.unread = new_unread(config_); // the session's number stood in the last Welcome
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
    std::size_t told = 0;
    for (auto& [edge, why] : ask_for(user, origins->edges)) {
      if (!session.knows_refusals || ++told > refusals_told_max)
        break;
      refuse_records(session, user,
                     {{edge, {}, stream_id{0}}, {0, 0}, link::refusal_scope::edge, why.reason, why.message});
    }
  } else if (const auto* epochs = std::get_if<link::origin_state>(&body)) {
    if (epochs->edge == user || !ask_for(user, {epochs->edge}).empty() || !may_announce(user, *epochs)) {
      ++counters_.forbidden;
      return;
    }
    holdings_.announce(*epochs);
    backend_.on_epochs(*epochs);
    forget_epochs(epochs->edge);
  } else if (const auto* links = std::get_if<link::origin_links>(&body)) {
    on_origin_links(session, user, *links);
  } else if (std::holds_alternative<link::bye>(body)) {
    end_session(session, link::presence::stopped);
  }
}

void receiver::on_origin_links(session& from, edge_id user, const link::origin_links& said) {
  if (!from.origin_words.open(clock_.monotonic_ns())) {
    ++counters_.origin_links_dropped;
    return;
  }
  from.origin_words.spend(1);
  std::vector<edge_id> edges;
  edges.reserve(said.links.size());
  for (const auto& one : said.links)
    edges.push_back(one.edge);
  const auto refused = ask_for(user, std::move(edges)); // hence no more entries than a key may have origins
  from.view.behind.reset();
  // Whoever looked at it keeps what was there.
  if (!from.behind || from.behind.use_count() != 1)
    from.behind = from.behind ? std::make_shared<origin_map>(*from.behind) : std::make_shared<origin_map>();
  for (const auto& one : said.links)
    if (one.edge != user && !refused.contains(one.edge))
      (*from.behind)[one.edge] = one;
  from.view.behind = from.behind;
}

void receiver::on_closed(const link::peer_id& from, edge_id user) {
  if (const auto doubted = doubted_.find(user); doubted != doubted_.end() && doubted->second == from)
    doubted_.erase(doubted);
  const auto it = sessions_.find(static_cast<std::uint64_t>(user));
  if (it == sessions_.end() || !it->second.view.connected || it->second.peer != from)
    return; // of the backlog alone, or of a session that has ended
  ++counters_.closed_sessions;
  end_session(it->second, link::presence::unreachable, "connection closed");
  share_credit();
}

// Why no session began stays with what is known of the edge, unless another one is open.
void receiver::refuse_hello(const link::peer_id& to, edge_id user, link::bye_reason reason,
                            std::string message) {
  auto& session = sessions_[static_cast<std::uint64_t>(user)];
  if (session.number == 0) {
    if (session.view.edge == edge_id::none)
      session.unread = new_unread(config_);
    session.view.edge = user;
    session.view.last_heard_wall_ns = clock_.wall_ns();
    end_session(session, link::presence::refused, message);
  }
  refuse(to, 0, reason, std::move(message));
}

void receiver::on_hello(const link::peer_id& from, edge_id user, const link::hello& hello) {
  const auto site = backend_.site_of(user);
  if (!site) {
    ++counters_.refused_revoked;
    refuse(from, 0, link::bye_reason::revoked,
           "the key of this edge was revoked: join again with a new token");
    return;
  }
  if (is_own(user)) {
    ++counters_.forbidden;
    refuse_hello(from, user, link::bye_reason::protocol_error,
                 fmt::format("{} would deliver to itself: look at the addresses that it was joined with",
                             config_.name));
    return;
  }
  if (config_.is_upstream && config_.is_upstream(user)) {
    // Each would acknowledge what the other then deletes, and neither has anybody to pass it on to.
    ++counters_.forbidden;
    refuse_hello(
        from, user, link::bye_reason::protocol_error,
        fmt::format("{} delivers to this edge itself: records would go in a circle of gateways. Look at "
                    "what each of them was joined with; until then each keeps what it has",
                    config_.name));
    return;
  }
  if (hello.edge != user) {
    ++counters_.forbidden;
    refuse_hello(
        from, user, link::bye_reason::protocol_error,
        fmt::format("this key belongs to edge {}, not to {}", to_string(user), to_string(hello.edge)));
    return;
  }
  if (hello.protocol_min > link::protocol_version || hello.protocol < link::protocol_version_min) {
    ++counters_.refused_version;
    refuse_hello(from, user, link::bye_reason::version,
                 fmt::format("{} speaks protocol {} to {}, the edge {} to {}: upgrade the older one",
                             config_.name, link::protocol_version_min, link::protocol_version,
                             hello.protocol_min, hello.protocol));
    return;
  }
  if (is_older(user, hello) && !asked_once_more(from, user)) {
    ++counters_.stale_messages;
    refuse(from, 0, link::bye_reason::superseded,
           "a later process of this edge has said Hello: say it again if this one lives");
    return;
  }
  auto& session = sessions_[static_cast<std::uint64_t>(user)];
  const bool of_elder = session.number != 0 && session.elder && session.elder->instance == hello.instance;
  if (session.number != 0 && (of_elder || session.instance == hello.instance) && is_past(user, hello)) {
    ++counters_.stale_messages;
    return;
  }
  if (of_elder)
    elder_lives(user, session); // it lost its connection, no more
  if (session.number != 0 && session.instance != hello.instance && !elder_yields(from, user, session, hello))
    return;
  const auto totals = session.view;
  const auto duplicate_ns = session.duplicate_ns;
  const auto logged_ns = session.logged_ns;
  auto elder = session.elder; // whom it took over from, now or with an earlier Hello
  const auto copy = session.copy;
  auto unread = session.view.edge == edge_id::none ? new_unread(config_) : session.unread;
  if (!unread.open(clock_.monotonic_ns())) {
    ++counters_.refused_unread;
    refuse(from, 0, link::bye_reason::stopping, "what was answered to earlier Hellos is not read yet");
    return;
  }
  const auto asked_again = session.asked_again;
  auto behind = std::move(session.behind);
  const auto origin_words = session.view.edge == edge_id::none
                                ? token_bucket{origin_links_per_second, origin_links_burst_ns}
                                : session.origin_words;
  end_session(session, link::presence::unreachable);
  session = {};
  session.view = totals;
  session.behind = std::move(behind);
  session.origin_words = origin_words;
  session.asked_again = asked_again;
  session.duplicate_ns = duplicate_ns;
  session.logged_ns = logged_ns;
  session.elder = std::move(elder);
  session.copy = copy;
  session.unread = unread;
  session.peer = from;
  session.instance = hello.instance;
  session.current = hello.current;
  session.hello_ns = hello.monotonic_ns;
  session.knows_refusals = (hello.features & link::feature_refusals) != 0
                           && !planted(config_.planted, planted_fault::refusal_ends_session);
  session.knows_levels = (hello.features & link::feature_ack_levels) != 0;
  session.view.refused.clear();
  do
    session.number = random_.next();
  while (session.number == 0);
  doubted_.erase(user);
  note_restored(user, hello);
  welcome(session, user, *site, hello);
}

bool receiver::may_log() {
  const bool open = refusal_lines_.open(clock_.monotonic_ns());
  if (open)
    refusal_lines_.spend(1);
  return open;
}

// How far older epochs reach, of all edges that a key announces. What is not announced leaves them incomplete.
bool receiver::may_announce(edge_id user, const link::origin_state& state) {
  auto& of_user = announced_[user];
  const auto count = state.closed.size() + 1;
  const auto before = of_user.epochs.find(state.edge);
  const auto others = of_user.total - (before == of_user.epochs.end() ? 0 : before->second);
  if (others + count > config_.announced_max) {
    if (may_log())
      spdlog::warn("{}: edge {} announces more than {} epochs: those of edge {} are not noted", config_.name,
                   to_string(user), config_.announced_max, to_string(state.edge));
    return false;
  }
  of_user.epochs[state.edge] = count;
  of_user.total = others + count;
  return true;
}

void receiver::note_clock(session& of, edge_id user, std::int64_t wall_ns) {
  const auto before = of.view.clock_offset_ns;
  const auto said = std::clamp<std::int64_t>(wall_ns, 0, INT64_MAX / 2); // it may say anything
  backend_.on_clock(user, said);
  const auto offset = of.view.clock_offset_ns = said - clock_.wall_ns();
  if (std::llabs(offset) < clock_offset_told_ns || std::llabs(offset - before) < clock_offset_told_ns
      || !may_log())
    return;
  spdlog::warn("{}: the clock of edge {} is {} s {} ours", config_.name, to_string(user),
               std::llabs(offset) / 1'000'000'000, offset > 0 ? "ahead of" : "behind");
}

void receiver::welcome(session& to, edge_id user, const std::string& site, const link::hello& hello) {
  ++counters_.sessions;
  to.heard_ns = clock_.monotonic_ns();
  to.view.edge = user;
  if (!to.view.connected || to.view.since_wall_ns == 0)
    to.view.since_wall_ns = clock_.wall_ns();
  to.view.connected = true;
  to.view.cause.clear();
  to.view.ping_interval_ns = std::clamp<std::int64_t>(hello.ping_interval_ns, 0, ping_interval_max_ns);
  to.view.last_heard_wall_ns = clock_.wall_ns();
  to.view.software = hello.software;
  note_clock(to, user, hello.wall_ns);
  link::welcome welcome;
  welcome.protocol = std::min(hello.protocol, link::protocol_version);
  welcome.features = link::features_known;
  welcome.kinds = known_kinds;
  welcome.batch_bytes_max = static_cast<std::uint32_t>(config_.batch_bytes_max);
  welcome.server_time_ns = clock_.wall_ns();
  welcome.incarnation = config_.incarnation;
  to.view.pending_records = 0;
  std::vector<link::stream_held> lost;
  link::origin_state epochs{user, hello.current, {}};
  for (const auto& stream : hello.streams)
    if (stream.closed && stream.key.edge == user)
      epochs.closed.push_back({stream.key, stream.last});
  if (may_announce(user, epochs)) {
    holdings_.announce(epochs);
    backend_.on_epochs(epochs);
  }
  auto let_go = holdings_.forget_names(user);
  let_go.insert(user);
  std::vector<edge_id> origins;
  for (const auto& stream : hello.streams)
    if (stream.key.edge != user && (origins.empty() || origins.back() != stream.key.edge))
      origins.push_back(stream.key.edge);
  const auto refused = ask_for(user, std::move(origins));
  for (const auto& [edge, why] : refused) {
    if (to.view.refused.size() < refused_shown_max)
      to.view.refused.emplace(edge, why);
    to.unheard.insert(edge);
    if (to.knows_refusals)
      welcome.refused_edges.push_back(edge);
  }
  if (!refused.empty() && may_log())
    spdlog::warn("{}: edge {} brings something of {} edges that it may not speak for: nothing of them is "
                 "taken; the first is {}: {}",
                 config_.name, to_string(user), refused.size(), to_string(refused.begin()->first),
                 refused.begin()->second.message);
  auto custody_left = config_.custody_ranges_max;
  bool rest = false;
  std::uint64_t bytes = 0; // of the Welcome, about
  for (const auto& stream : hello.streams) {
    holdings_.named(user, stream.key); // also what is refused now: it may be taken later, or has been once
    if (refused.contains(stream.key.edge))
      continue;
    link::stream_held durable{stream.key, {}};
    if (const auto* held = holdings_.held(stream.key))
      for (const auto& range : stream.held.ranges())
        durable.ranges.add(held->common_with(range));
    to.view.pending_records += stream.held.count() - durable.ranges.count();
    bytes += welcome_stream_bytes + welcome_range_bytes * durable.ranges.ranges().size();
    if (!durable.ranges.empty())
      welcome.durable.push_back(std::move(durable));
    link::stream_held gone{stream.key, {}};
    link::stream_held wanted{stream.key, {}};
    for (auto range : stream.released.ranges()) {
      if (planted(config_.planted, planted_fault::tombstone_over_arriving_data))
        range.first = 1;
      auto lacking = holdings_.lacking(stream.key, range);
      // What its sender still has comes again, and is lost only once that says otherwise.
      range_set kept;
      if (!planted(config_.planted, planted_fault::custody_loss_unnoticed)
          && !planted(config_.planted, planted_fault::written_off_unasked))
        for (const auto& part : lacking.ranges())
          kept.add(stream.kept.common_with(part));
      lacking.remove(kept);
      wanted.ranges.add(kept);
      if (lacking.empty())
        continue;
      // Each may be one more range of the stream.
      const bool too_many =
          !holdings_.touches(stream.key, range)
          && holdings_.range_count(stream.key) + gone.ranges.ranges().size() >= config_.ranges_max;
      if (custody_left < lacking.ranges().size() || too_many) {
        rest = true;
        continue;
      }
      custody_left -= lacking.ranges().size();
      gone.ranges.add(lacking);
    }
    bytes += welcome_range_bytes * gone.ranges.ranges().size();
    if (!gone.ranges.empty())
      lost.push_back(std::move(gone));
    if (const auto count = wanted.ranges.count(); count != 0) {
      to.view.pending_records += count;
      counters_.custody_asked_records += count;
      if (may_log())
        spdlog::warn(
            "{}: {} records of {} were acknowledged once and are not here: asked for again (was this node "
            "restored from an older copy?)",
            config_.name, count, to_string(stream.key));
      bytes += welcome_stream_bytes + welcome_range_bytes * wanted.ranges.ranges().size();
      welcome.again.push_back(std::move(wanted));
    }
  }
  if (planted(config_.planted, planted_fault::custody_loss_unnoticed))
    lost.clear();
  to.asked_again = welcome.again.empty() ? 0 : to.asked_again + 1;
  to.custody_rest =
      (rest && (!lost.empty() || to.view.pending_records != 0)) // else it would be the same again
      || (!welcome.again.empty() && to.asked_again <= asked_again_max);
  for (const auto edge : let_go)
    forget_epochs(edge);
  const bool told = !planted(config_.planted, planted_fault::restored_receiver_unnoticed);
  if (told)
    welcome.lost_custody = lost;
  to.unread.spend(bytes);
  if (const auto now = clock_.monotonic_ns();
      to.logged_ns == 0 || now - to.logged_ns >= session_line_interval_ns) {
    to.logged_ns = now;
    spdlog::info("{}: edge {} of site '{}' opened a session, {} records pending", config_.name,
                 to_string(user), site, to.view.pending_records);
  }
  to.site = site;
  if (to.view.pending_records != 0)
    note_waiting(to);
  to.credit = first_credit(to);
  credit_due_ = true;
  welcome.credit_bytes = to.credit;
  backend_.send(to.peer, {to.number, std::move(welcome)});
  for (const auto& [edge, why] : refused)
    if (to.knows_refusals && is_own(edge)) // Welcome says of whom nothing is taken, and not why
      backend_.send(
          to.peer,
          {to.number,
           link::refusal{
               {edge, {}, stream_id{0}}, {0, 0}, link::refusal_scope::edge, why.reason, why.message}});
  for (const auto& gone : lost) {
    counters_.custody_lost_records += told ? gone.ranges.count() : 0;
    if (may_log())
      spdlog::warn("{}: {} records of {} were acknowledged once and are not here: written as lost (custody "
                   "lost at {}); was this node, or that edge's disk, restored from an older copy?",
                   config_.name, gone.ranges.count(), to_string(gone.key), config_.name);
    // It happened after what is held here, and before this Hello. That edge's clock may have been ahead.
    const auto now_ns = clock_.wall_ns();
    const auto newest_ns = holdings_.newest_ns(gone.key);
    store_loss(user, site, gone.key, gone.ranges, loss_cause::custody,
               std::min(newest_ns != 0 ? newest_ns : config_.taken_until_ns, now_ns), now_ns, 0, {}, 0);
  }
}

void receiver::on_revoked(edge_id user) {
  for (const auto edge : holdings_.forget_names(user))
    forget_epochs(edge);
  const auto it = sessions_.find(static_cast<std::uint64_t>(user));
  if (it == sessions_.end())
    return;
  if (it->second.number != 0)
    refuse(it->second.peer, it->second.number, link::bye_reason::revoked, "the key of this edge was revoked");
  end_session(it->second, link::presence::revoked);
}

void receiver::say_bye() {
  for (auto& [user, session] : sessions_) {
    if (session.number != 0)
      refuse(session.peer, session.number, link::bye_reason::stopping, config_.name + " is stopping");
    if (session.number != 0)
      end_session(session, link::presence::unreachable, config_.name + " was stopped");
  }
}

void receiver::end_session(session& of, link::presence how, std::string cause) {
  credit_due_ = credit_due_ || of.number != 0;
  of.number = 0;
  if (of.view.connected || of.view.ended != how || of.view.cause != cause)
    of.view.since_wall_ns = clock_.wall_ns();
  of.view.ended = how;
  of.view.cause = std::move(cause);
  of.view.connected = false;
  of.credit = of.had_credit = 0;
  for (const auto& [number, batch] : of.parked) {
    open_bytes_ -= batch.from.bytes.view.size();
    of.open_bytes -= batch.from.bytes.view.size();
  }
  of.parked.clear();
  of.asked.clear();
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
