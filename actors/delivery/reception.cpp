#include "actors/delivery/reception.hpp"

#include "actors/link/registry.hpp"

#include <spdlog/spdlog.h>

namespace skerry::delivery {

namespace {

constexpr std::string_view edge_prefix = "edge:";
constexpr std::string_view join_prefix = "join:";

} // namespace

reception::reception(receiver& to, link::registry& registry, clock_source& clock, random_source& random,
                     std::size_t message_bytes_max, send_function send)
  : to_(to), registry_(registry), clock_(clock), random_(random), message_bytes_max_(message_bytes_max),
    send_(std::move(send)) {}

void reception::on_message(const link::peer_id& from, const std::string& user_id, const link::message_parts& parts) {
  const std::string_view user{user_id};
  if (user.starts_with(edge_prefix)) {
    if (const auto edge = parse_edge_id(user.substr(edge_prefix.size()))) {
      to_.on_message(from, edge.value(), link::decode(parts, message_bytes_max_));
      return;
    }
  } else if (user.starts_with(join_prefix)) {
    on_join(from, std::string{user.substr(join_prefix.size())}, parts);
    return;
  }
  ++counters_.unauthorized;
}

void reception::on_join(const link::peer_id& from, const std::string& invite, const link::message_parts& parts) {
  const auto message = link::decode(parts, message_bytes_max_);
  const auto* join = message ? std::get_if<link::join>(&message.value().body) : nullptr;
  if (join == nullptr) {
    ++counters_.unauthorized;
    spdlog::warn("link: a key that may only join sent something else: dropped");
    return;
  }
  auto joined = registry_.complete_join(invite, join->public_key, clock_.wall_ns(), random_);
  if (!joined) {
    ++counters_.joins_refused;
    spdlog::warn("link: a join was refused: {}", joined.error().message);
    send_(from, {0, link::bye{link::bye_reason::expired, joined.error().message}});
    return;
  }
  ++counters_.joined;
  spdlog::info("link: edge {} joined site '{}'", to_string(joined.value().edge), joined.value().site);
  send_(from, {0, link::joined{joined.value().edge, joined.value().site}});
}

} // namespace skerry::delivery
