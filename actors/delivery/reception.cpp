#include "actors/delivery/reception.hpp"

#include "actors/link/registry.hpp"

#include <spdlog/spdlog.h>

namespace skerry::delivery {

reception::reception(receiver& to, link::registry& registry, clock_source& clock, random_source& random,
                     std::size_t message_bytes_max, send_function send)
    : to_(to),
      registry_(registry),
      clock_(clock),
      random_(random),
      message_bytes_max_(message_bytes_max),
      send_(std::move(send)) {}

void reception::on_message(const link::peer_id& from, const std::string& user_id,
                           const link::message_parts& parts) {
  const auto user = link::parse_user_id(user_id);
  if (!user) {
    ++counters_.unauthorized;
  } else if (user.value().what != link::link_user::kind::edge) {
    on_join(from, user.value().invite, parts);
  } else if (budgets_.take(user.value().edge, parts, clock_.monotonic_ns())) {
    to_.on_message(from, user.value().edge, link::decode(parts, message_bytes_max_));
  } else {
    ++counters_.over_budget;
    if (budget_log_.allow())
      spdlog::warn("link: edge {} sends more than {} bytes of envelopes a second: what is beyond is dropped",
                   to_string(user.value().edge), envelope_bytes_per_second);
  }
}

void reception::on_closed(const link::peer_id& from, const std::string& user_id) {
  if (const auto user = link::parse_user_id(user_id);
      user && user.value().what == link::link_user::kind::edge)
    to_.on_closed(from, user.value().edge);
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
