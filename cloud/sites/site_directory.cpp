#include "cloud/sites/site_directory.hpp"

#include "actors/link/registry.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace skerry::cloud {

namespace {

constexpr std::int64_t second_ns = 1'000'000'000;
constexpr std::int64_t day_ns = 86'400 * second_ns;
constexpr std::int64_t rate_window_ns = 5 * second_ns;
// Of an edge behind a gateway that does not say how it stands.
constexpr std::int64_t silent_after_ns = 300 * second_ns;
constexpr std::int64_t host_gone_ns = 3600 * second_ns;

link_state state_of(link::presence now) noexcept {
  switch (now) {
  case link::presence::never: return link_state::never;
  case link::presence::connected: return link_state::connected;
  case link::presence::stopped: return link_state::stopped;
  case link::presence::unreachable: return link_state::unreachable;
  case link::presence::quota: return link_state::quota;
  case link::presence::refused: return link_state::refused;
  case link::presence::revoked: return link_state::revoked;
  case link::presence::duplicate: return link_state::duplicate;
  }
  return link_state::unreachable;
}

void take(const delivery::edge_presence& from, site_status& to) {
  to.state = state_of(from.now);
  to.cause = from.cause;
  to.since_ns = from.since_ns;
  to.last_heard_ns = from.heard_ns;
}

std::string completeness_of(const site_status& site, std::int64_t now_ns) {
  if (site.state == link_state::pushed)
    return "not known: it is pushed";
  if (site.complete_watermark_ns == 0)
    return "nothing yet";
  const auto behind_s = (now_ns - site.complete_watermark_ns) / second_ns;
  if (site.state != link_state::connected && site.state != link_state::refused)
    return fmt::format("unknown since {} s", behind_s);
  if (site.state == link_state::refused)
    return fmt::format("incomplete: refused since {} s", behind_s);
  if (!site.refused.empty())
    return fmt::format("incomplete: {} edge{} refused", site.refused.size(),
                       site.refused.size() == 1 ? " is" : "s are");
  if (site.pending_records > 1000 || behind_s > 120)
    return fmt::format("complete up to {} s ago", behind_s);
  return "complete";
}

} // namespace

std::string_view to_string(link_state state) noexcept {
  switch (state) {
  case link_state::connected: return "connected";
  case link_state::unreachable: return "unreachable";
  case link_state::never: return "never";
  case link_state::revoked: return "revoked";
  case link_state::duplicate: return "duplicate";
  case link_state::quota: return "quota";
  case link_state::stopped: return "stopped";
  case link_state::refused: return "refused";
  case link_state::pushed: return "pushed";
  }
  return "unknown";
}

site_directory::site_directory(std::shared_ptr<link::registry> registry,
                               std::shared_ptr<const host_table> hosts,
                               std::shared_ptr<const edge_board> board, clock_source& clock)
    : registry_(std::move(registry)), hosts_(std::move(hosts)), board_(std::move(board)), clock_(clock) {}

std::vector<site_status> site_directory::sites() {
  const auto now = clock_.wall_ns();
  const auto edges = registry_->list_edges();
  if (!edges)
    return {};
  std::map<edge_id, site_status> totals;
  std::map<std::string, site_status> pushed; // by site
  for (const auto& host : hosts_->hosts()) {
    const auto row = [&](edge_id edge) -> site_status& {
      return edge == edge_pushed ? pushed[host.site] : totals[edge];
    };
    auto& newest = row(host.edge);
    newest.series += host.series;
    newest.last_heard_ns = std::max(newest.last_heard_ns, std::min(now, host.last_sample_ns));
    for (const auto& said : host.statements) {
      if (said.ended)
        continue;
      auto& site = row(said.edge);
      ++site.hosts;
      site.live_watermark_ns = std::max(site.live_watermark_ns, said.live_watermark_ns);
      // A host that was taken away long ago holds nobody back.
      const auto complete = said.complete_watermark_ns;
      if (said.live_watermark_ns + host_gone_ns > now || site.complete_watermark_ns == 0)
        site.complete_watermark_ns =
            site.complete_watermark_ns == 0 ? complete : std::min(site.complete_watermark_ns, complete);
    }
  }
  for (const auto& [whose, samples] : hosts_->samples())
    if (const auto site = pushed.find(whose.second); whose.first != edge_pushed)
      totals[whose.first].samples_total = samples;
    else if (site != pushed.end())
      site->second.samples_total = samples;
  std::map<edge_id, delivery::edge_view> sessions;
  for (auto& view : board_->edges())
    sessions[view.edge] = std::move(view);
  const auto how = board_->how();
  std::map<edge_id, site_status> rows; // those of gateways are asked for what is behind them
  for (const auto& edge : edges.value()) {
    site_status site = std::move(totals[edge.edge]);
    const auto data_heard_ns = site.last_heard_ns; // by the edge's own clock
    site.site = edge.site;
    site.edge = edge.edge;
    site.behind = edge.keys.empty() ? edge.parent : edge_id::none;
    for (const auto& key : edge.keys)
      if (key.revoked_s == 0)
        site.key_fingerprints.push_back(link::to_hex(key.public_key).substr(0, 16));
    site.state = site.live_watermark_ns != 0 ? link_state::unreachable : link_state::never;
    const auto session = sessions.find(edge.edge);
    if (session != sessions.end() && !edge.keys.empty()) {
      const auto& view = session->second;
      take(delivery::presence_of(view, now), site);
      site.clock_offset_ns = view.clock_offset_ns;
      site.pending_records = view.pending_records;
      if (view.connected)
        for (const auto& [origin, why] : view.refused)
          site.refused.emplace_back(origin, fmt::format("{}: {}", link::to_string(why.reason), why.message));
      if (view.last_heard_wall_ns / day_ns == now / day_ns)
        site.bytes_on_link_today = view.link.bytes_today;
    } else if (const auto known = how->find(edge.edge); known != how->end()) {
      take(known->second, site);
      if (site.state == link_state::revoked && edge.revoked_s == 0 && !edge.keys.empty()) {
        site.state = link_state::unreachable;
        site.cause = "joined again";
      }
    }
    if (site.last_heard_ns == 0 || site.behind != edge_id::none)
      site.last_heard_ns = std::max(site.last_heard_ns, data_heard_ns);
    if (edge.revoked_s != 0) {
      site.state = link_state::revoked;
      site.cause.clear();
      site.since_ns = edge.revoked_s * second_ns;
    }
    rows.emplace(edge.edge, std::move(site));
  }
  std::vector<site_status> out;
  const std::lock_guard lock{mutex_};
  const auto finish = [&](site_status& site) {
    if (const auto rate = rates_.find({site.edge == edge_id::none ? edge_pushed : site.edge,
                                       site.edge == edge_id::none ? site.site : std::string{}});
        rate != rates_.end())
      site.samples_per_second = rate->second.samples_per_second;
    site.completeness = completeness_of(site, now);
    out.push_back(std::move(site));
  };
  for (auto& [edge, site] : rows) {
    if (site.behind == edge_id::none || site.state == link_state::revoked || how->contains(edge)) {
      finish(site);
      continue;
    }
    // Its gateway has not said how it stands, or can't: what comes of it tells.
    const auto gateway = rows.find(site.behind);
    const auto of_gateway = gateway == rows.end() ? link_state::unreachable : gateway->second.state;
    const bool there = of_gateway == link_state::connected || of_gateway == link_state::quota
                       || of_gateway == link_state::refused || of_gateway == link_state::duplicate;
    if (!there) {
      site.state = link_state::unreachable;
      site.cause = fmt::format("behind gateway {} ({})", to_string(site.behind), to_string(of_gateway));
    } else if (site.last_heard_ns != 0) {
      site.state =
          now - site.last_heard_ns > silent_after_ns ? link_state::unreachable : link_state::connected;
      site.cause = site.state == link_state::unreachable ? "silent" : "";
    }
    finish(site);
  }
  for (auto& [name, site] : pushed) {
    site.site = name;
    site.state = link_state::pushed;
    finish(site);
  }
  return out;
}

void site_directory::on_tick() {
  const auto totals = hosts_->samples();
  const auto now = clock_.monotonic_ns();
  const std::lock_guard lock{mutex_};
  for (const auto& [whose, samples] : totals) {
    auto& rate = rates_[whose];
    if (rate.at_ns != 0 && now - rate.at_ns < rate_window_ns)
      continue;
    if (rate.at_ns != 0)
      rate.samples_per_second =
          static_cast<double>(samples - rate.samples) * 1e9 / static_cast<double>(now - rate.at_ns);
    rate.at_ns = now;
    rate.samples = samples;
  }
}

std::vector<host_status> site_directory::hosts() {
  std::map<edge_id, site_status> rows;
  for (auto& site : sites())
    rows.emplace(site.edge, std::move(site));
  std::vector<host_status> out;
  for (const auto& host : hosts_->hosts()) {
    auto& to = out.emplace_back(host_status{host.site,
                                            host.host,
                                            host.series,
                                            host.last_sample_ns,
                                            host.live_watermark_ns,
                                            host.complete_watermark_ns,
                                            host.edge,
                                            link_state::never,
                                            {}});
    if (host.only_pushed()) {
      to.state = link_state::pushed;
    } else if (const auto row = rows.find(host.edge); row != rows.end()) {
      to.state = row->second.state;
      to.cause = row->second.cause;
    }
  }
  return out;
}

} // namespace skerry::cloud
