#include "actors/delivery/reception.hpp"

#include "actors/link/registry.hpp"

#include <spdlog/spdlog.h>

namespace skerry::delivery {

namespace {

constexpr std::uint64_t waiting_slack_bytes = 8 << 20; // one large Hello, and what is no batch
constexpr std::int64_t work_ns = 1'000'000;
constexpr std::uint64_t message_cost = 1'000; // ns that every message takes at least

// Those who join share one turn.
edge_id whose(const result<link::link_user>& user) {
  return user && user.value().what == link::link_user::kind::edge ? user.value().edge : edge_id::none;
}

} // namespace

reception::reception(receiver& to, link::registry& registry, clock_source& clock, random_source& random,
                     std::size_t message_bytes_max, std::uint64_t credit_bytes, send_function send)
    : to_(to),
      registry_(registry),
      clock_(clock),
      random_(random),
      message_bytes_max_(message_bytes_max),
      waiting_bytes_max_(2 * credit_bytes + waiting_slack_bytes),
      send_(std::move(send)) {}

bool reception::arrived(arrival what) {
  const auto user = whose(link::parse_user_id(what.user_id));
  waiting one{std::move(what), 0};
  one.bytes = link::memory_of(one.what.parts);
  auto& waiting_bytes = waiting_bytes_[user];
  if (!one.what.closed && waiting_bytes != 0 && waiting_bytes + one.bytes > waiting_bytes_max_) {
    ++counters_.crowded_out;
    if (budget_log_.allow())
      spdlog::warn("link: edge {} sends faster than it is served: more than {} bytes wait, what is beyond is "
                   "not taken, and comes again",
                   to_string(user), waiting_bytes_max_);
    return false;
  }
  waiting_bytes += one.bytes;
  turns_.add(user, std::move(one));
  return !std::exchange(working_, true);
}

bool reception::take_some() {
  const auto began = clock_.monotonic_ns();
  for (auto now = began; now - began < work_ns;) {
    auto next = turns_.next();
    if (!next)
      return working_ = false;
    auto& [user, one] = *next;
    if (const auto bytes = waiting_bytes_.find(user); (bytes->second -= one.bytes) == 0)
      waiting_bytes_.erase(bytes);
    take(one.what);
    const auto after = clock_.monotonic_ns();
    const auto cost = message_cost + static_cast<std::uint64_t>(after - now);
    turns_.started(user, cost);
    turns_.ended(user, cost);
    now = after;
  }
  return true;
}

void reception::take(const arrival& what) {
  const auto user = link::parse_user_id(what.user_id);
  if (what.closed) {
    if (user && user.value().what == link::link_user::kind::edge)
      to_.on_closed(what.from, user.value().edge);
  } else if (!user) {
    ++counters_.unauthorized;
  } else if (user.value().what != link::link_user::kind::edge) {
    on_join(what.from, user.value().invite, what.parts);
  } else {
    on_message(what.from, user.value().edge, what.parts);
  }
}

void reception::on_message(const link::peer_id& from, edge_id user, const link::message_parts& parts) {
  if (budgets_.take(user, parts, clock_.monotonic_ns())) {
    to_.on_message(from, user, link::decode(parts, message_bytes_max_));
    return;
  }
  ++counters_.over_budget;
  if (budget_log_.allow())
    spdlog::warn("link: edge {} sends more than {} bytes of envelopes a second: what is beyond is dropped",
                 to_string(user), envelope_bytes_per_second);
}

void reception::on_join(const link::peer_id& from, link::invite_id invite, const link::message_parts& parts) {
  const auto message = link::decode(parts, message_bytes_max_);
  const auto* join = message ? std::get_if<link::join>(&message.value().body) : nullptr;
  if (join == nullptr) {
    ++counters_.unauthorized;
    if (join_log_.allow())
      spdlog::warn("link: a key that may only join sent something else: dropped");
    return;
  }
  auto joined = registry_.complete_join(invite, join->public_key, clock_.wall_ns() / 1'000'000'000, random_,
                                        join->edge);
  if (!joined) {
    ++counters_.joins_refused;
    if (join_log_.allow())
      spdlog::warn("link: a join was refused: {}", joined.error().message);
    send_(from, {0, link::bye{link::bye_reason::expired, joined.error().message}});
    return;
  }
  ++counters_.joined;
  if (join_log_.allow())
    spdlog::info("link: edge {} joined site '{}'", to_string(joined.value().edge), joined.value().site);
  send_(from, {0, link::joined{joined.value().edge, joined.value().site}});
}

} // namespace skerry::delivery
