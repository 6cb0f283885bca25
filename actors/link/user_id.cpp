// Names of link users and invites as text.

#include "actors/link/registry.hpp"

#include <fmt/format.h>

#include <charconv>

namespace skerry::link {

namespace {

constexpr std::string_view edge_prefix = "edge:";
constexpr std::string_view join_prefix = "join:";

} // namespace

std::string to_string(invite_id id) { return fmt::format("{:016x}", static_cast<std::uint64_t>(id)); }

result<invite_id> parse_invite_id(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.size() != 16 || code != std::errc{} || end != text.data() + text.size())
    return fail(errc::malformed,
                fmt::format("'{}' is no invite's id: 16 hexadecimal digits are expected", text));
  return invite_id{value};
}

std::string user_id_of(edge_id edge) { return fmt::format("{}{}", edge_prefix, to_string(edge)); }
std::string user_id_of(invite_id invite) { return fmt::format("{}{}", join_prefix, to_string(invite)); }

result<link_user> parse_user_id(std::string_view text) {
  if (text.starts_with(edge_prefix)) {
    BOOST_OUTCOME_TRY(edge, parse_edge_id(text.substr(edge_prefix.size())));
    return link_user{link_user::kind::edge, edge, {}};
  }
  if (text.starts_with(join_prefix)) {
    BOOST_OUTCOME_TRY(invite, parse_invite_id(text.substr(join_prefix.size())));
    return link_user{link_user::kind::join, edge_id::none, invite};
  }
  return fail(errc::malformed, fmt::format("'{}' names no user of the link", text));
}

std::string_view to_string(invite_info::state state) noexcept {
  switch (state) {
  case invite_info::state::open: return "open";
  case invite_info::state::used: return "used";
  case invite_info::state::expired: return "expired";
  case invite_info::state::cancelled: return "cancelled";
  }
  return "unknown";
}

} // namespace skerry::link
