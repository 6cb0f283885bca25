// Two of one key: a process that succeeds another, a copy of a disk beside its original, a disk from an older copy.

#include "actors/delivery/receiver.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace skerry::delivery {

namespace {

constexpr auto second_node =
    "another live node uses this edge's key: if this disk is a copy, join anew with a token of its own";

} // namespace

bool receiver::elder_yields(const link::peer_id& from, edge_id user, session& elder,
                            const link::hello& hello) {
  if (succeeds(user, elder, hello)) {
    // A process that was killed is gone. A disk that was copied while its node ran looks the same: it is asked.
    const auto now = clock_.monotonic_ns();
    if (elder.peer != from) {
      elder.elder =
          elder_session{elder.peer, elder.number, elder.instance, elder.current, elder.hello_ns, now};
      backend_.send(elder.peer, {elder.number, link::ping{clock_.wall_ns(), now, {}}});
    }
    elder.copy = {};
    return true;
  }
  const auto now = clock_.monotonic_ns();
  const auto window = config_.probe_window.count();
  if (elder.probe_ns != 0 && now - elder.probe_ns > window) {
    elder.elder.reset();
    elder.copy = {};
    return true; // asked, and silent since: it is gone
  }
  const bool asked = elder.probe_ns != 0; // and did not answer yet
  if (!asked) {
    elder.probe_ns = now;
    backend_.send(elder.peer, {elder.number, link::ping{clock_.wall_ns(), now, {}}});
  }
  if (asked || elder.heard_ns + window < now) {
    refuse(from, 0, link::bye_reason::duplicate,
           "another session of this edge may still be alive: asking it");
    return false;
  }
  note_duplicate(elder);
  if (may_log())
    spdlog::warn(
        "{}: a second node with the key of edge {} was refused while the first is live: was its disk cloned? "
        "Let it join anew with a token of its own",
        config_.name, to_string(user));
  refuse(from, 0, link::bye_reason::duplicate, second_node);
  return false;
}

// A Hello was welcomed that was said later: by this process, or by one that came after it. It may have been under way for
// long, and who said it may be dead. A disk from an older copy looks the same, and so does a process that lives while a copy
// of its disk has come in.
bool receiver::is_older(edge_id user, const link::hello& hello) {
  const auto last = sessions_.find(static_cast<std::uint64_t>(user));
  if (last != sessions_.end() && last->second.instance == hello.instance)
    return hello.monotonic_ns < last->second.hello_ns;
  const auto& newest = holdings_.newest(user);
  if (newest == epoch_id{} || hello.current == newest)
    return false;
  // What has come of its epoch came before that of the newest did.
  const auto came = [&](stream_id stream) { return holdings_.reach({user, hello.current, stream}) != 0; };
  return hello.current.boot_counter <= newest.boot_counter || came(stream_id::telemetry)
         || came(stream_id::alert);
}

// Who says Hello again over the same connection after it was answered is alive: on a connection one Hello at a time is
// under way.
bool receiver::asked_once_more(const link::peer_id& from, edge_id user) {
  return std::exchange(doubted_[user], from) == from;
}

// It says less of the epoch that its process writes than is here of it already, or than who took over from that process
// knows: it was under way when that connection, or that process, ended. To believe it would be to hear again of epochs that
// have ended, and of none that came since.
bool receiver::is_past(edge_id user, const link::hello& hello) const {
  return std::any_of(hello.streams.begin(), hello.streams.end(), [&](const auto& stream) {
    return stream.key.edge == user && stream.key.epoch == hello.current
           && stream.last < std::max(holdings_.reach(stream.key), holdings_.announced_end(stream.key));
  });
}

// A restarted process knows the epoch that its predecessor wrote, to its end. A clone or a restored copy does not, unless
// nothing was written since. Of an epoch without any record nobody knows.
bool receiver::succeeds(edge_id user, const session& elder, const link::hello& hello) const {
  if (hello.instance == elder.copy)
    return false;
  bool knows = false;
  bool any = false;
  for (const auto stream : {stream_id::alert, stream_id::telemetry}) {
    const stream_key key{user, elder.current, stream};
    const auto said = std::find_if(hello.streams.begin(), hello.streams.end(),
                                   [&](const auto& one) { return one.key == key && one.closed; });
    const auto* stored = holdings_.stored(key);
    knows = knows || said != hello.streams.end();
    any = any || holdings_.reach(key) != 0;
    if (stored != nullptr && stored->highest() > (said == hello.streams.end() ? 0 : said->last))
      return false;
  }
  return knows || (!any && elder.current.boot_counter < hello.current.boot_counter);
}

// What comes in a session that another took over. True: it is dealt with. If it answers what it was asked then, it lives,
// and is the one that was first: its session is its own again, as far as nobody else gets it before it says Hello.
bool receiver::heard_of_elder(edge_id user, session& of, const link::message& message) {
  if (!of.elder || message.session != of.elder->number)
    return false;
  const auto now = clock_.monotonic_ns();
  const auto* pong = std::get_if<link::pong>(&message.body);
  if (pong == nullptr || pong->monotonic_ns != of.elder->ping_ns) {
    if (std::holds_alternative<link::bye>(message.body))
      of.elder.reset();
    return !of.elder || now - of.elder->ping_ns <= config_.probe_window.count(); // it may have been under way
  }
  const auto elder = *of.elder;
  elder_lives(user, of);
  refuse(elder.peer, elder.number, link::bye_reason::superseded, "this session has ended; say Hello again");
  return true;
}

void receiver::elder_lives(edge_id user, session& of) {
  note_duplicate(of);
  if (may_log())
    spdlog::warn(
        "{}: a second node with the key of edge {} took over while the first is live, which goes on: was its "
        "disk cloned? Let the copy join anew with a token of its own",
        config_.name, to_string(user));
  refuse(of.peer, of.number, link::bye_reason::duplicate, second_node);
  const auto elder = *of.elder;
  const auto copy = of.instance;
  end_session(of, link::presence::unreachable);
  of.view.connected = true; // the connection of the first stands
  of.elder.reset();
  of.number = elder.number;
  of.open_bytes = being_stored(user, elder.number); // not what the copy has brought
  of.peer = elder.peer;
  of.instance = elder.instance;
  of.current = elder.current;
  of.hello_ns = elder.hello_ns;
  of.heard_ns = clock_.monotonic_ns();
  of.probe_ns = 0;
  of.copy = copy;
  holdings_.newest(user) = elder.current;
}

void receiver::note_duplicate(session& of) {
  ++counters_.refused_duplicate;
  of.duplicate_ns = clock_.monotonic_ns();
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
  // Of the epochs that are drained a spool keeps the newest: it knows the one before this, if that had any record.
  const auto has_newest = [&](stream_id stream) {
    return holdings_.stored({user, newest, stream}) != nullptr;
  };
  if (why.empty() && hello.current != newest
      && (has_newest(stream_id::telemetry) || has_newest(stream_id::alert))
      && std::none_of(hello.streams.begin(), hello.streams.end(), [&](const auto& stream) {
           return stream.key.edge == user && stream.key.epoch == newest;
         }))
    why = fmt::format("it does not know its epoch {}", to_string(newest));
  newest = hello.current;
  if (why.empty())
    return;
  ++counters_.restored_edges;
  if (may_log())
    spdlog::warn("{}: edge {} came back from an older copy of its disk: {}; no number is reused, what it "
                 "holds again is trimmed",
                 config_.name, to_string(user), why);
}

} // namespace skerry::delivery
