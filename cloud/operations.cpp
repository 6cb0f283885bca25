#include "cloud/operations.hpp"

#include "actors/link/address.hpp"
#include "actors/link/registry.hpp"
#include "actors/link/token.hpp"

#include <fmt/format.h>

#include <array>
#include <unistd.h>

namespace skerry::cloud {

namespace {

constexpr std::int64_t second_ns = 1'000'000'000;

} // namespace

operations::operations(operations_settings settings, clock_source& clock, random_source& random)
    : settings_(std::move(settings)), clock_(clock), random_(random) {}

result<void> operations::healthy() { return settings_.takes_data(); }

result<void> operations::ready() { return ok(); } // serves queries from the moment that it listens

result<std::string> operations::reload() { return settings_.reload(); }

std::string operations::token_address() const {
  if (!settings_.advertise.empty())
    return link::with_scheme(settings_.advertise);
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0)
    name[0] = '\0';
  const std::string host = name[0] == '\0' ? "127.0.0.1" : name.data();
  return fmt::format("tcp://{}{}", host, settings_.link_address.substr(settings_.link_address.rfind(':')));
}

result<invite> operations::make_invite(const invite_request& request) {
  const auto now_s = clock_.wall_ns() / second_ns;
  const auto address = token_address();
  if (const auto usable = link::check_advertised(address); !usable)
    return fail(errc::invalid_argument,
                fmt::format("no token was made: {}: set link.advertise", usable.error().message));
  BOOST_OUTCOME_TRY(made, settings_.registry->create_invite(request.site, request.ttl.count() / second_ns,
                                                            now_s, random_, request.edge));
  link::join_token token;
  token.addresses = {address};
  token.server_key = settings_.server_key;
  token.one_time = made.one_time;
  token.expiry_s = made.expiry_s;
  token.site = made.site;
  invite out;
  out.id = link::to_string(made.id);
  out.site = made.site;
  out.token = link::encode_token(token);
  out.expires_ns = made.expiry_s * second_ns;
  out.edge = request.edge;
  return out;
}

result<std::vector<invite>> operations::invites() {
  BOOST_OUTCOME_TRY(all, settings_.registry->list_invites(clock_.wall_ns() / second_ns));
  std::vector<invite> out;
  for (const auto& info : all) {
    invite one;
    one.id = link::to_string(info.id);
    one.site = info.site;
    one.expires_ns = info.expiry_s * second_ns;
    one.used = info.now == link::invite_info::state::used;
    one.edge = one.used ? info.joined : info.rejoins;
    out.push_back(std::move(one));
  }
  return out;
}

result<void> operations::revoke(edge_id edge) {
  BOOST_OUTCOME_TRYV(settings_.registry->revoke(edge, clock_.wall_ns() / second_ns));
  settings_.on_revoked(edge);
  return ok();
}

} // namespace skerry::cloud
