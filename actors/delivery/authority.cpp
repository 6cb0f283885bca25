#include "actors/delivery/authority.hpp"

#include "actors/link/registry.hpp"

#include <spdlog/spdlog.h>

namespace skerry::delivery {

bool registry_authority::may_speak(edge_id user, edge_id origin) { return keys_.may_speak(user, origin); }

result<std::string> registry_authority::site_of(edge_id edge) { return keys_.site_of(edge); }

result<void> registry_authority::register_origin(edge_id user, edge_id origin, std::int64_t now_s) {
  return keys_.register_origin(user, origin, now_s);
}

std::optional<std::string> authorized_backend::site_of(edge_id edge) {
  if (!keys_.may_speak(edge, edge))
    return std::nullopt;
  auto site = keys_.site_of(edge);
  return site ? std::optional{std::move(site).value()} : std::nullopt;
}

bool authorized_backend::register_origin(edge_id user, edge_id origin) {
  if (keys_.may_speak(user, origin))
    return true;
  const auto done = keys_.register_origin(user, origin, clock_.wall_ns() / 1'000'000'000);
  if (!done)
    spdlog::warn("link: edge {} may not speak for {}: {}", to_string(user), to_string(origin),
                 done.error().message);
  return done.has_value();
}

} // namespace skerry::delivery
