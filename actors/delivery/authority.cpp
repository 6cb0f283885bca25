#include "actors/delivery/authority.hpp"

#include "actors/link/registry.hpp"

namespace skerry::delivery {

bool registry_authority::may_speak(edge_id user, edge_id origin) { return keys_.may_speak(user, origin); }

result<std::string> registry_authority::site_of(edge_id edge) { return keys_.site_of(edge); }

std::map<edge_id, error>
registry_authority::register_origins(edge_id user, const std::vector<edge_id>& origins, std::int64_t now_s) {
  return keys_.register_origins(user, origins, now_s);
}

std::optional<std::string> authorized_backend::site_of(edge_id edge) {
  if (!keys_.may_speak(edge, edge))
    return std::nullopt;
  auto site = keys_.site_of(edge);
  return site ? std::optional{std::move(site).value()} : std::nullopt;
}

refused_origins authorized_backend::register_origins(edge_id user, const std::vector<edge_id>& origins) {
  refused_origins out;
  for (auto& [origin, why] : keys_.register_origins(user, origins, clock_.wall_ns() / 1'000'000'000)) {
    const auto reason = [&] {
      switch (why.code) {
      case errc::exhausted: return link::refusal_reason::over_limit;
      case errc::io:
      case errc::corrupt:
      case errc::unavailable: return link::refusal_reason::not_now;
      default: return link::refusal_reason::forbidden;
      }
    }();
    out.emplace(origin, origin_refusal{reason, std::move(why.message)});
  }
  return out;
}

} // namespace skerry::delivery
