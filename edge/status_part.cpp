#include "edge/status_part.hpp"

#include "actors/link/address.hpp"

#include <fmt/format.h>

namespace skerry::edge {

namespace {

// "tcp://*:7491" as bound, with a host that others can reach.
std::string advertised(const edge_config& config, const std::string& bound) {
  if (!config.link.advertise.empty())
    return link::with_scheme(config.link.advertise);
  return fmt::format("tcp://{}{}", config.collect.host, bound.substr(bound.rfind(':')));
}

} // namespace

status_part::status_part(const edge_config& config, const edge_identity& identity,
                         const link::curve_keypair& keys, const pipeline& records,
                         const downlink_part* downlink, std::shared_ptr<status_board> board,
                         config_reload& reload, const node_metrics& metrics)
    : metrics_(metrics) {
  context_.identity = identity;
  context_.store = records.store();
  context_.board = std::move(board);
  context_.reload = [&reload] { return reload(); };
  context_.pause_backlog = [to = records.uplink()](bool paused) { caf::anon_send(to, pause_atom_v, paused); };
  if (downlink == nullptr)
    return;
  context_.registry = downlink->registry();
  context_.server_key = keys.public_key;
  context_.on_revoked = [to = downlink->actor()](edge_id edge) {
    caf::anon_send(to, revoked_atom_v, static_cast<std::uint64_t>(edge));
  };
  context_.advertise = advertised(config, downlink->address());
}

std::vector<http::route> status_part::routes() {
  auto all = make_status_routes(context_);
  all.push_back(metrics_.route());
  return all;
}

} // namespace skerry::edge
