#include "simulator/fleet/report.hpp"

#include "actors/node/config.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>

namespace skerry::sim {

namespace {

constexpr double second = 1e9;

double since(std::int64_t from_ns, std::int64_t to_ns) {
  return static_cast<double>(to_ns - from_ns) / second;
}

double per(double what, double of) { return of > 0 ? what / of : 0; }

std::string with_commas(std::uint64_t n) {
  auto out = fmt::format("{}", n);
  for (auto at = static_cast<std::ptrdiff_t>(out.size()) - 3; at > 0; at -= 3)
    out.insert(static_cast<std::size_t>(at), 1, ',');
  return out;
}

std::string kilobytes(double bytes) {
  return bytes > 0 ? fmt::format("{:.1f} KB", bytes / 1000) : std::string{"not measured"};
}

} // namespace

recovery summarize(std::string what, double outage_s, std::int64_t returned_ns,
                   const std::vector<edge_moments>& edges) {
  recovery out;
  out.what = std::move(what);
  out.edges = edges.size();
  out.outage_s = outage_s;
  std::int64_t connected = returned_ns, live = returned_ns, current = returned_ns;
  std::size_t handshakes = 0;
  std::map<std::int64_t, std::uint64_t> by_second;
  std::vector<double> waits;
  for (const auto& one : edges) {
    if (one.connected_ns >= returned_ns) {
      ++handshakes;
      connected = std::max(connected, one.connected_ns);
      ++by_second[(one.connected_ns - returned_ns) / 1'000'000'000];
    }
    if (one.welcome_ns >= returned_ns)
      live = std::max(live, one.welcome_ns);
    if (one.welcome_ns >= returned_ns && one.current_ns >= one.welcome_ns) {
      ++out.back;
      current = std::max(current, one.current_ns);
      waits.push_back(since(one.welcome_ns, one.current_ns));
    }
  }
  out.connected_s = since(returned_ns, connected);
  out.live_s = since(returned_ns, live);
  out.current_s = since(returned_ns, current);
  out.connections_per_s = per(static_cast<double>(handshakes), out.connected_s);
  for (const auto& [at, count] : by_second)
    out.connections_per_s_peak = std::max(out.connections_per_s_peak, count);
  std::sort(waits.begin(), waits.end());
  if (!waits.empty()) {
    out.welcome_to_current_p50_s = waits[waits.size() / 2];
    out.welcome_to_current_max_s = waits.back();
  }
  return out;
}

latency_summary summarize(const latency_histogram& from) {
  return {from.count(), from.quantile(0.5).count(), from.quantile(0.9).count(), from.quantile(0.99).count(),
          from.quantile(1).count()};
}

std::string to_table(const fleet_report& r) {
  std::string out;
  const auto line = [&](std::string_view name, const std::string& value) {
    out += fmt::format("{:<22}{}\n", name, value);
  };
  const auto acked = static_cast<double>(r.samples.acked);
  line("fleet", fmt::format("{} agents x {} series every {:g} s, {} edges, {} sites, {} regions, seed {}",
                            r.agents, r.series, r.interval_s, r.edges, r.sites, r.regions, r.seed));
  line("ran", fmt::format("{:.1f} s{}, {} hosts replaced", r.duration_s,
                          r.interrupted ? " (interrupted)" : "", r.hosts_replaced));
  line("samples sent",
       fmt::format("{} ({:.0f}/s)", with_commas(r.sent()), per(static_cast<double>(r.sent()), r.duration_s)));
  line("  acknowledged", with_commas(r.samples.acked));
  line("  pending", with_commas(r.samples.pending()));
  line("  dropped", fmt::format("{} in tombstones, {} never numbered", with_commas(r.samples.dropped),
                                with_commas(r.refused)));
  const auto latency = [&](std::string_view name, const latency_summary& l) {
    line(name, l.samples == 0 ? std::string{"no samples"}
                              : fmt::format("p50 {} ms, p90 {} ms, p99 {} ms, max {} ms", l.p50_ms, l.p90_ms,
                                            l.p99_ms, l.max_ms));
  };
  latency("latency, link up", r.live);
  latency("latency, all", r.all);
  line("links",
       fmt::format("{} connections, {} sessions, {} reconnects", r.connections, r.sessions, r.reconnects));
  line("on the wire", fmt::format("{:.2f} B/sample in TCP payload, {:.2f} B/sample at IP level",
                                  per(static_cast<double>(r.tcp_sent + r.tcp_received), acked),
                                  per(static_cast<double>(r.ip_sent + r.ip_received), acked)));
  line("simulator",
       fmt::format("{:.1f} s CPU ({:.2f} cores, {:.2f} us/sample), RSS {} of which {} anonymous, {:.0f} "
                   "descriptors",
                   r.cpu_s, per(r.cpu_s, r.duration_s), per(r.cpu_s * 1e6, static_cast<double>(r.sent())),
                   format_bytes(static_cast<std::uint64_t>(r.rss_bytes)),
                   format_bytes(static_cast<std::uint64_t>(r.rss_anonymous_bytes)), r.open_fds));
  line("memory", fmt::format("{} an agent, {} a link, {} an edge besides", kilobytes(r.agent_bytes),
                             kilobytes(r.link_bytes), kilobytes(r.edge_bytes)));
  out += fmt::format("\n{:<58}{:>6}{:>8}{:>8}{:>8}{:>9}{:>8}{:>9}\n", "all back after", "edges", "back",
                     "conn s", "live s", "current s", "conn/s", "worst s");
  for (const auto& one : r.recoveries)
    out += fmt::format("{:<58}{:>6}{:>8}{:>8.2f}{:>8.2f}{:>9.2f}{:>8.0f}{:>9.2f}\n", one.what, one.edges,
                       one.back, one.connected_s, one.live_s, one.current_s, one.connections_per_s,
                       one.welcome_to_current_max_s);
  return out;
}

std::string to_json(const fleet_report& r) {
  using json = nlohmann::ordered_json;
  const auto latency = [](const latency_summary& l) {
    return json{{"samples", l.samples},
                {"p50_ms", l.p50_ms},
                {"p90_ms", l.p90_ms},
                {"p99_ms", l.p99_ms},
                {"max_ms", l.max_ms}};
  };
  json recoveries = json::array();
  for (const auto& one : r.recoveries)
    recoveries.push_back({{"what", one.what},
                          {"edges", one.edges},
                          {"back", one.back},
                          {"outage_s", one.outage_s},
                          {"connected_s", one.connected_s},
                          {"live_s", one.live_s},
                          {"current_s", one.current_s},
                          {"connections_per_s", one.connections_per_s},
                          {"connections_per_s_peak", one.connections_per_s_peak},
                          {"welcome_to_current_p50_s", one.welcome_to_current_p50_s},
                          {"welcome_to_current_max_s", one.welcome_to_current_max_s}});
  const auto acked = static_cast<double>(r.samples.acked);
  const json out{
      {"version", r.version},
      {"seed", r.seed},
      {"fleet",
       {{"edges", r.edges},
        {"sites", r.sites},
        {"regions", r.regions},
        {"agents", r.agents},
        {"series_per_agent", r.series},
        {"interval_s", r.interval_s}}},
      {"duration_s", r.duration_s},
      {"interrupted", r.interrupted},
      {"hosts_replaced", r.hosts_replaced},
      {"samples",
       {{"sent", r.sent()},
        {"acked", r.samples.acked},
        {"pending", r.samples.pending()},
        {"dropped", r.samples.dropped},
        {"refused", r.refused}}},
      {"latency", {{"live", latency(r.live)}, {"all", latency(r.all)}}},
      {"links", {{"connections", r.connections}, {"sessions", r.sessions}, {"reconnects", r.reconnects}}},
      {"bytes",
       {{"tcp_sent", r.tcp_sent},
        {"tcp_received", r.tcp_received},
        {"ip_sent", r.ip_sent},
        {"ip_received", r.ip_received},
        {"tcp_per_sample", per(static_cast<double>(r.tcp_sent + r.tcp_received), acked)},
        {"ip_per_sample", per(static_cast<double>(r.ip_sent + r.ip_received), acked)}}},
      {"simulator",
       {{"cpu_s", r.cpu_s},
        {"rss_bytes", r.rss_bytes},
        {"rss_anonymous_bytes", r.rss_anonymous_bytes},
        {"open_fds", r.open_fds},
        {"bytes_per_edge", r.edge_bytes},
        {"bytes_per_link", r.link_bytes},
        {"bytes_per_agent", r.agent_bytes}}},
      {"recoveries", recoveries}};
  return out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

} // namespace skerry::sim
