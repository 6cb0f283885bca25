// Credit: how many bytes each session may have under way.

#include "actors/delivery/credit_share.hpp"
#include "actors/delivery/receiver.hpp"

#include <algorithm>

namespace skerry::delivery {

namespace {

constexpr std::int64_t second_ns = 1'000'000'000;
constexpr std::int64_t share_interval_ns = second_ns;
constexpr std::int64_t credit_settles_ns = 30 * second_ns; // as a sender waits for an answer
constexpr std::int64_t waits_for_ns = 10 * second_ns;      // after it last said that more waits
constexpr std::int64_t share_again_ns = 10 * second_ns;    // also where nothing was noticed
constexpr std::int64_t silent_after_ns = 600 * second_ns;  // longer than between two pings
constexpr std::uint64_t credit_slack =
    2; // batches that a sender believes lost may still be on their way to the disk

} // namespace

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
  out.sets_bytes = fresh_bytes_;
  const auto now = clock_.monotonic_ns();
  for (const auto& [user, session] : sessions_)
    if (!silent(session, now)) {
      ++out.sessions;
      out.credit += session.credit;
    }
  return out;
}

} // namespace skerry::delivery
