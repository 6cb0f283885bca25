#include "cloud/tool/fleet.hpp"

#include "actors/node/config.hpp"
#include "cloud/tool/format.hpp"
#include "cloud/tool/options.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <optional>

namespace skerry::cloud {

using nlohmann::json;

namespace {

std::string text(const json& from, const char* key) {
  const auto at = from.find(key);
  return at != from.end() && at->is_string() ? at->get<std::string>() : std::string{};
}
double number(const json& from, const char* key) {
  const auto at = from.find(key);
  return at != from.end() && at->is_number() ? at->get<double>() : 0;
}
std::string bytes(const json& from, const char* key) {
  return format_bytes(static_cast<std::uint64_t>(std::clamp(number(from, key), 0.0, 1e18)));
}
std::string count(const json& from, const char* key) { return format_count(number(from, key)); }
// Zero and null stand for never.
std::string ago(const json& from, const char* key, double now) {
  const auto at = number(from, key);
  return at == 0 ? "never" : format_age(now - at) + " ago";
}
// What a link takes is no wrong clock.
std::string clock_of(const json& site) {
  constexpr double told_s = 2;
  const auto offset = number(site, "clock_offset");
  return std::abs(offset) < told_s ? "-" : format_age(std::abs(offset)) + (offset > 0 ? " ahead" : " behind");
}
// The word, and why: "unreachable (connection closed)". Of what is behind a gateway that is not there, the gateway says all.
std::string link_of(const json& from) {
  const auto state = text(from, "state");
  const auto cause = text(from, "cause");
  if (cause.empty())
    return state;
  return cause.starts_with("behind gateway ") ? cause : fmt::format("{} ({})", state, cause);
}
std::string or_dash(std::string value) { return value.empty() ? "-" : value; }

std::string pending(const json& site) {
  const auto records = number(site, "pending_records");
  return records == 0 ? "0" : fmt::format("{} ({})", format_count(records), bytes(site, "pending_bytes"));
}

std::string keys(const json& site) {
  std::string out;
  const auto at = site.find("key_fingerprints");
  if (at != site.end() && at->is_array())
    for (const auto& key : *at)
      if (key.is_string())
        out += (out.empty() ? "" : " ") + key.get<std::string>();
  return or_dash(out);
}

void print_json(const json& data) {
  fmt::print("{}\n", data.dump(2, ' ', false, json::error_handler_t::replace));
}

// The entries of setAside, or none.
json set_aside_in(const json& status) {
  if (const auto link = status.find("link"); link != status.end() && link->is_object())
    if (const auto aside = link->find("setAside"); aside != link->end() && aside->is_array())
      return *aside;
  return json::array();
}

table edges_table(const json& edges, const json& set_aside) {
  table out{{{"EDGE"}, {"LINK"}, {"LAST HEARD"}, {"PENDING", align::right}, {"UPSTREAM"}, {"SOFTWARE"}}};
  for (const auto& e : edges) {
    std::string upstream = "-";
    for (const auto& one : set_aside)
      if (text(one, "edge") == text(e, "edge"))
        upstream = "not taken (" + text(one, "reason") + ")";
    const auto heard = number(e, "lastHeardNs") / 1e9;
    out.add({text(e, "edge"), link_of(e), heard == 0 ? "never" : format_age(wall_seconds() - heard) + " ago",
             format_count(number(e, "pendingRecords")), upstream, or_dash(text(e, "software"))});
  }
  return out;
}

// An edge node has no fleet; a gateway knows the edges behind it. Nothing: this is no edge node either.
std::optional<int> answer_of_edge(api_client& client, const global_options& global, bool edges_wanted) {
  const auto status = client.get("/api/v1/status");
  if (!status || !status.value().is_object() || !status.value().contains("edges"))
    return std::nullopt;
  const auto& edges = status.value()["edges"];
  if (!edges_wanted || !edges.is_array()) {
    fmt::print(
        stderr,
        "skerry: this is edge node {} of site {}: it answers `skerry sites` (the edges behind it); ask the "
        "cloud node for the rest\n",
        printable(text(status.value(), "edge")), printable(text(status.value(), "site")));
    return exit_failure;
  }
  if (global.json)
    print_json(edges);
  else
    fmt::print("{}{}", edges_table(edges, set_aside_in(status.value())).render(),
               set_aside_lines(status.value()));
  return exit_ok;
}

int print_list(const global_options& global, const char* path, const form& parameters,
               table (*make)(const json&, double), bool edges_will_do = false) {
  auto to = global.for_reading();
  if (!to)
    return report(to.error());
  api_client client{std::move(to.value())};
  const auto data = client.get(path, parameters);
  if (!data) {
    if (data.error().code == errc::not_found)
      if (const auto code = answer_of_edge(client, global, edges_will_do))
        return *code;
    return report(data.error());
  }
  if (global.json)
    print_json(data.value());
  else
    fmt::print("{}", make(data.value(), wall_seconds()).render());
  return exit_ok;
}

form ledger_form(const ledger_options& options) {
  form out;
  for (const auto& [name, value] : {std::pair{"site", options.site},
                                    {"host", options.host},
                                    {"start", options.start},
                                    {"end", options.end}})
    if (!value.empty())
      out.emplace_back(name, value);
  return out;
}

std::string moment(const json& from, const char* key) {
  const auto at = number(from, key);
  return at == 0 ? "?" : format_time(at);
}

// What a ledger entry is about.
std::string whose(const json& entry) {
  if (text(entry, "edge").empty())
    return "all (the store's disk)";
  return text(entry, "host").empty() ? "all of edge " + text(entry, "edge") : text(entry, "host");
}

} // namespace

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

table sites_table(const json& sites, double now) {
  table out{{{"SITE"},
             {"EDGE"},
             {"LINK"},
             {"LAST HEARD"},
             {"CLOCK"},
             {"HOSTS", align::right},
             {"SERIES", align::right},
             {"SAMPLES/S", align::right},
             {"PENDING", align::right},
             {"COMPLETENESS"},
             {"KEYS"}}};
  for (const auto& s : sites)
    out.add({text(s, "site"), or_dash(text(s, "edge")), link_of(s), ago(s, "last_heard", now), clock_of(s),
             count(s, "hosts"), count(s, "series"), count(s, "samples_per_second"), pending(s),
             or_dash(text(s, "completeness")), keys(s)});
  return out;
}

std::string detail_of(const json& loss) {
  const auto retracted = text(loss, "retracted");
  const auto detail = text(loss, "detail");
  return retracted.empty() ? detail
                           : fmt::format("{}taken back {}", detail.empty() ? "" : detail + "; ", retracted);
}

table loss_table(const json& losses, double) {
  table out{
      {{"SITE"}, {"HOST"}, {"STATE"}, {"CAUSE"}, {"FROM"}, {"TO"}, {"RECORDS", align::right}, {"DETAIL"}}};
  for (const auto& l : losses) {
    const auto records = number(l, "records");
    out.add({or_dash(text(l, "site")), whose(l), text(l, "state"), text(l, "cause"), moment(l, "start"),
             moment(l, "end"), records == 0 ? "-" : format_count(records), detail_of(l)});
  }
  return out;
}

table completeness_table(const json& hosts, double) {
  table out{{{"SITE"}, {"HOST"}, {"STATE"}, {"CAUSE"}, {"FROM"}, {"TO"}}};
  for (const auto& h : hosts)
    if (const auto ranges = h.find("ranges"); ranges != h.end())
      for (const auto& range : *ranges)
        out.add({text(h, "site"), text(h, "host"), text(range, "state"), or_dash(text(range, "cause")),
                 moment(range, "start"), moment(range, "end")});
  return out;
}

table hosts_table(const json& hosts, double now) {
  table out{
      {{"SITE"}, {"HOST"}, {"SERIES", align::right}, {"LAST SAMPLE"}, {"LIVE"}, {"COMPLETE"}, {"LINK"}}};
  for (const auto& h : hosts)
    out.add({text(h, "site"), text(h, "host"), count(h, "series"), ago(h, "last_sample", now),
             ago(h, "live_watermark", now), ago(h, "complete_watermark", now), or_dash(link_of(h))});
  return out;
}

table status_table(const json& sites) {
  table out{{{"SITE"},
             {"HOSTS", align::right},
             {"SERIES", align::right},
             {"SAMPLES/S", align::right},
             {"PENDING", align::right},
             {"LINK"},
             {"COMPLETENESS"},
             {"LINK TODAY", align::right}}};
  for (const auto& s : sites)
    out.add({text(s, "site"), count(s, "hosts"), count(s, "series"), count(s, "samples_per_second"),
             pending(s), link_of(s), or_dash(text(s, "completeness")), bytes(s, "bytes_on_link_today")});
  return out;
}

std::string refused_lines(const json& sites) {
  std::string out;
  for (const auto& s : sites)
    if (const auto refused = s.find("refused"); refused != s.end() && refused->is_array())
      for (const auto& one : *refused)
        out += printable(fmt::format("{}: nothing is taken of edge {}: {}", text(s, "site"),
                                     text(one, "edge"), text(one, "message")))
               + '\n';
  return out;
}

std::string set_aside_lines(const json& status) {
  std::string out;
  for (const auto& one : set_aside_in(status)) {
    const auto what = text(one, "stream").empty() ? (text(one, "edge").empty() ? std::string{"everything"}
                                                                               : "edge " + text(one, "edge"))
                                                  : text(one, "stream");
    out +=
        printable(fmt::format("not taken upstream ({}): {} records of {}, kept here: {}", text(one, "reason"),
                              format_count(number(one, "records")), what, text(one, "message")))
        + '\n';
  }
  return out;
}

std::string status_lines(const json& sites, double now) {
  std::string out;
  for (const auto& s : sites)
    out += printable(fmt::format(
               "{} site={} hosts={} series={} samples_per_second={:.1f} pending_records={:.0f} "
               "pending_bytes={:.0f} link={}{} completeness=\"{}\" bytes_on_link_today={:.0f}",
               format_time(now), text(s, "site"), number(s, "hosts"), number(s, "series"),
               number(s, "samples_per_second"), number(s, "pending_records"), number(s, "pending_bytes"),
               text(s, "state"),
               text(s, "cause").empty() ? std::string{} : fmt::format(" cause=\"{}\"", text(s, "cause")),
               text(s, "completeness"), number(s, "bytes_on_link_today")))
           + '\n';
  return out;
}

int run_sites(const global_options& global) {
  return print_list(global, "/api/v1/sites", {}, sites_table, true);
}

int run_loss(const global_options& global, const ledger_options& options) {
  return print_list(global, "/api/v1/loss", ledger_form(options), loss_table);
}

int run_retract(const global_options& global, const retract_options& options) {
  auto to = global.for_changing();
  if (!to)
    return report(to.error());
  api_client client{std::move(to.value())};
  const auto done = client.post("/api/v1/admin/loss/retract", {{"edge", options.edge},
                                                               {"host", options.host},
                                                               {"start", options.start},
                                                               {"end", options.end},
                                                               {"reason", options.reason}});
  if (!done)
    return report(done.error());
  if (global.json)
    fmt::print("{}\n", done.value().dump(2));
  else
    fmt::print(
        stderr,
        "What edge {} said of that time is taken back: `skerry loss` shows it with your reason, and it "
        "counts for no host's completeness.\n",
        options.edge);
  return exit_ok;
}

int run_completeness(const global_options& global, const ledger_options& options) {
  return print_list(global, "/api/v1/completeness", ledger_form(options), completeness_table);
}

int run_hosts(const global_options& global, const std::string& site) {
  return print_list(global, "/api/v1/hosts", site.empty() ? form{} : form{{"site", site}}, hosts_table);
}

int run_revoke(const global_options& global, const std::string& edge) {
  auto to = global.for_changing();
  if (!to)
    return report(to.error());
  api_client client{std::move(to.value())};
  const auto done = client.post(fmt::format("/api/v1/admin/edges/{}/revoke", edge));
  if (!done)
    return report(done.error());
  if (global.json)
    fmt::print("{}\n", done.value().dump(2));
  else
    fmt::print(stderr,
               "Edge {} is revoked: its session is closed and its keys open no new one. What it sent stays. "
               "`skerry invite --site NAME --edge {}` lets it join again.\n",
               edge, edge);
  return exit_ok;
}

} // namespace skerry::cloud
