#include "cloud/operations.hpp"

#include "actors/link/address.hpp"
#include "actors/link/registry.hpp"
#include "actors/link/token.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <unistd.h>

namespace skerry::cloud {

namespace {

constexpr std::int64_t second_ns = 1'000'000'000;
constexpr std::int64_t day_ns = 86'400 * second_ns;
constexpr std::int64_t rate_window_ns = 5 * second_ns;
// An edge with nothing to say pings every two minutes: silent for longer, it is not there.
constexpr std::int64_t silent_after_ns = 300 * second_ns;
constexpr std::int64_t host_gone_ns = 3600 * second_ns;

std::string completeness_of(const site_status& site, std::int64_t now_ns) {
  if (site.complete_watermark_ns == 0)
    return "nothing yet";
  const auto behind_s = (now_ns - site.complete_watermark_ns) / second_ns;
  if (site.state != link_state::connected)
    return fmt::format("unknown since {} s", behind_s);
  if (!site.refused.empty())
    return fmt::format("incomplete: {} edge{} refused", site.refused.size(),
                       site.refused.size() == 1 ? " is" : "s are");
  if (site.pending_records > 1000 || behind_s > 120)
    return fmt::format("complete up to {} s ago", behind_s);
  return "complete";
}

} // namespace

operations::operations(operations_settings settings, clock_source& clock, random_source& random)
    : settings_(std::move(settings)), clock_(clock), random_(random) {}

std::vector<site_status> operations::sites() {
  const auto now = clock_.wall_ns();
  const auto edges = settings_.registry->list_edges();
  if (!edges)
    return {};
  // Edges behind a gateway have no row of their own: their hosts count for it.
  std::map<edge_id, edge_id> row_of;
  for (const auto& edge : edges.value())
    row_of[edge.edge] = edge.keys.empty() ? edge.parent : edge.edge;
  std::map<edge_id, site_status> totals;
  for (const auto& [edge, samples] : settings_.hosts->samples_of_edges())
    totals[row_of[edge]].samples_total += samples;
  for (const auto& host : settings_.hosts->hosts()) {
    totals[row_of[host.edge]].series += host.series;
    std::set<edge_id> rows;
    for (const auto& said : host.statements) {
      if (said.ended)
        continue;
      auto& site = totals[row_of[said.edge]];
      if (rows.insert(row_of[said.edge]).second)
        ++site.hosts;
      site.live_watermark_ns = std::max(site.live_watermark_ns, said.live_watermark_ns);
      // A host that was taken away long ago holds nobody back.
      const auto complete = said.complete_watermark_ns;
      if (said.live_watermark_ns + host_gone_ns > now || site.complete_watermark_ns == 0)
        site.complete_watermark_ns =
            site.complete_watermark_ns == 0 ? complete : std::min(site.complete_watermark_ns, complete);
    }
  }
  std::map<edge_id, delivery::edge_view> sessions;
  for (auto& view : settings_.board->edges())
    sessions[view.edge] = std::move(view);
  std::vector<site_status> out;
  const std::lock_guard lock{mutex_};
  for (const auto& edge : edges.value()) {
    if (edge.keys.empty())
      continue;
    site_status site = totals[edge.edge];
    site.site = edge.site;
    site.edge = edge.edge;
    for (const auto& key : edge.keys)
      if (key.revoked_s == 0)
        site.key_fingerprints.push_back(link::to_hex(key.public_key).substr(0, 16));
    const auto session = sessions.find(edge.edge);
    if (session != sessions.end()) {
      const auto& view = session->second;
      site.last_heard_ns = view.last_heard_wall_ns;
      site.clock_offset_ns = view.clock_offset_ns;
      site.pending_records = view.pending_records;
      if (view.connected)
        for (const auto& [origin, why] : view.refused)
          site.refused.emplace_back(origin, fmt::format("{}: {}", link::to_string(why.reason), why.message));
      const bool silent = now - view.last_heard_wall_ns > silent_after_ns;
      site.state = view.duplicate              ? link_state::duplicate
                   : view.link.quota != 0      ? link_state::quota
                   : view.connected && !silent ? link_state::connected
                                               : link_state::unreachable;
      if (view.last_heard_wall_ns / day_ns == now / day_ns)
        site.bytes_on_link_today = view.link.bytes_today;
      for (const auto& [origin, rate] : rates_)
        if (row_of[origin] == edge.edge)
          site.samples_per_second += rate.samples_per_second;
    } else {
      site.state = site.live_watermark_ns != 0 ? link_state::unreachable : link_state::never;
    }
    if (edge.revoked_s != 0)
      site.state = link_state::revoked;
    site.completeness = completeness_of(site, now);
    out.push_back(std::move(site));
  }
  return out;
}

void operations::on_tick() {
  const auto totals = settings_.hosts->samples_of_edges();
  const auto now = clock_.monotonic_ns();
  const std::lock_guard lock{mutex_};
  for (const auto& [edge, samples] : totals) {
    auto& rate = rates_[edge];
    if (rate.at_ns != 0 && now - rate.at_ns < rate_window_ns)
      continue;
    if (rate.at_ns != 0)
      rate.samples_per_second =
          static_cast<double>(samples - rate.samples) * 1e9 / static_cast<double>(now - rate.at_ns);
    rate.at_ns = now;
    rate.samples = samples;
  }
}

std::vector<host_status> operations::hosts() {
  std::vector<host_status> out;
  for (const auto& host : settings_.hosts->hosts())
    out.push_back({host.site, host.host, host.series, host.last_sample_ns, host.live_watermark_ns,
                   host.complete_watermark_ns});
  return out;
}

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
  settings_.hosts->end(edge, clock_.wall_ns());
  settings_.on_revoked(edge);
  return ok();
}

} // namespace skerry::cloud
