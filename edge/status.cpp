#include "edge/status.hpp"

#include "actors/base/clock.hpp"
#include "actors/base/version.hpp"
#include "actors/link/address.hpp"
#include "actors/link/registry.hpp"
#include "actors/link/token.hpp"
#include "actors/node/config.hpp"
#include "edge/targets.hpp"
#include "schemas/time.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace skerry::edge {

namespace {

constexpr std::chrono::nanoseconds ttl_default = std::chrono::hours{24};

http::response success(nlohmann::json data) {
  return {200,
          "application/json",
          nlohmann::json{{"status", "success"}, {"data", std::move(data)}}.dump(
              -1, ' ', false, nlohmann::json::error_handler_t::replace),
          {}};
}

http::response failure(unsigned status, std::string_view type, std::string_view message) {
  return {status,
          "application/json",
          nlohmann::json{{"status", "error"}, {"errorType", type}, {"error", message}}.dump(
              -1, ' ', false, nlohmann::json::error_handler_t::replace),
          {}};
}

http::response plain(unsigned status, std::string text) {
  return {status, "text/plain; charset=utf-8", std::move(text), {}};
}

// What the receiver does not take. A field that says nothing is null.
nlohmann::json set_aside_of(const uplink_status& link) {
  nlohmann::json out = nlohmann::json::array();
  for (const auto& one : link.set_aside) {
    const bool of_stream =
        one.scope == link::refusal_scope::batch || one.scope == link::refusal_scope::stream;
    nlohmann::json edge, stream;
    if (one.scope != link::refusal_scope::everything)
      edge = to_string(one.key.edge);
    if (of_stream)
      stream = to_string(one.key);
    out.push_back({{"edge", edge},
                   {"stream", stream},
                   {"reason", link::to_string(one.reason)},
                   {"message", one.message},
                   {"records", one.records},
                   {"sinceNs", one.since_wall_ns}});
  }
  return out;
}

nlohmann::json status_of(const status_context& context) {
  const auto link = context.board->uplink();
  const auto held = context.store->usage();
  std::map<edge_id, delivery::edge_view> sessions;
  for (auto& view : context.board->edges())
    sessions[view.edge] = std::move(view);
  nlohmann::json edges = nlohmann::json::array();
  for (const auto& one : context.board->how()) {
    const auto session = sessions.find(one.edge);
    const bool known = session != sessions.end();
    edges.push_back(
        {{"edge", to_string(one.edge)},
         {"connected", delivery::is_there(one.now)},
         {"state", link::to_string(one.now)},
         {"cause", one.cause},
         {"sinceNs", one.since_ns},
         {"lastHeardNs", one.heard_ns},
         {"behind", one.behind == edge_id::none ? nlohmann::json{} : nlohmann::json(to_string(one.behind))},
         {"pendingRecords", known ? session->second.pending_records : 0},
         {"software", known ? session->second.software : std::string{}}});
  }
  return {{"version", version},
          {"edge", to_string(context.identity.edge)},
          {"site", context.identity.site},
          {"epoch", to_string(context.store->epoch())},
          {"link",
           {{"state", delivery::to_string(link.phase)},
            {"refusal", link.refusal},
            {"pendingRecords", link.pending_records},
            {"durableRecords", link.durable_records},
            {"inFlightBytes", link.in_flight_bytes},
            {"bytesSent", link.bytes_sent},
            {"bytesReceived", link.bytes_received},
            {"address", link.address},
            {"bytesToday", link.bytes_today},
            {"bytesThisMonth", link.bytes_this_month},
            {"bytesMonthForecast", link.bytes_month_forecast},
            {"quotaBytes", link.quota_bytes},
            {"quota", delivery::to_string(link.quota)},
            {"quotaClockAheadSeconds", std::chrono::duration<double>(link.quota_clock_ahead).count()},
            {"bytesSetBack", link.set_back_bytes},
            {"backlogPaused", link.backlog_paused},
            {"setAside", set_aside_of(link)},
            {"setAsides", link.set_asides},
            {"setAsideRecords", link.set_aside_records}}},
          {"spool",
           {{"records", held.records},
            {"bytes", held.bytes},
            {"diskBytes", held.disk_bytes},
            {"segments", held.segments},
            {"refusal", context.board->refusal()},
            {"oldestNs", held.oldest_ns},
            {"clockAheadSeconds", std::chrono::duration<double>(held.clock_ahead).count()}}},
          {"collect", {{"behind", context.board->behind(system_clock().monotonic_ns())}}},
          {"edges", std::move(edges)}};
}

http::response make_invite(const status_context& context, const http::request& request) {
  auto ttl = ttl_default;
  if (const auto* text = request.parameter("ttl")) {
    auto parsed = parse_duration(*text);
    if (!parsed)
      return failure(400, "bad_data", parsed.error().message);
    ttl = parsed.value();
  }
  const auto now_s = system_clock().wall_ns() / 1'000'000'000;
  // Edges further out belong to this gateway's site: the cloud takes the site from the key that speaks.
  const auto* site = request.parameter("site");
  if (site != nullptr && *site != context.identity.site)
    return failure(400, "bad_data",
                   fmt::format("edges behind this gateway belong to its site, '{}': say --site {}",
                               context.identity.site, context.identity.site));
  auto rejoins = edge_id::none;
  if (const auto* text = request.parameter("edge"); text != nullptr && !text->empty()) {
    const auto parsed = parse_edge_id(*text);
    if (!parsed)
      return failure(400, "bad_data", parsed.error().message);
    rejoins = parsed.value();
  }
  if (const auto usable = link::check_advertised(context.advertise); !usable)
    return failure(422, "execution",
                   fmt::format("no token was made: {}: set link.advertise", usable.error().message));
  auto made = context.registry->create_invite(context.identity.site, ttl.count() / 1'000'000'000, now_s,
                                              system_random(), rejoins);
  if (!made)
    return failure(422, "execution", made.error().message);
  const auto& invite = made.value();
  link::join_token token;
  token.addresses = {context.advertise};
  token.server_key = context.server_key;
  token.one_time = invite.one_time;
  token.expiry_s = invite.expiry_s;
  token.site = context.identity.site;
  return success(nlohmann::json::array({{{"id", link::to_string(invite.id)},
                                         {"site", invite.site},
                                         {"expires", token.expiry_s},
                                         {"edge", nullptr},
                                         {"used", false},
                                         {"token", link::encode_token(token)}}}));
}

http::response revoke(const status_context& context, const http::request& request) {
  const auto edge = parse_edge_id(request.capture);
  if (!edge)
    return failure(400, "bad_data", edge.error().message);
  if (const auto done = context.registry->revoke(edge.value(), system_clock().wall_ns() / 1'000'000'000);
      !done)
    return failure(done.error().code == errc::not_found ? 404 : 500,
                   done.error().code == errc::not_found ? "not_found" : "internal", done.error().message);
  context.on_revoked(edge.value());
  return success({{"edge", to_string(edge.value())}, {"state", "revoked"}});
}

} // namespace

std::string status_board::behind(std::int64_t now_ns) const {
  std::shared_ptr<const due_watch> host;
  {
    const std::lock_guard lock{mutex_};
    host = host_;
  }
  std::string out;
  if (const auto late = host ? host->behind_ns(now_ns) : 0; late != 0)
    out = fmt::format("this machine's own values were due {} s ago and are not collected", late / ns_per_s);
  std::int64_t latest = 0;
  std::size_t count = 0;
  scrape_target_ptr which;
  for (const auto& target : targets()) {
    const auto late = target->watch.behind_ns(now_ns);
    count += late != 0 ? 1 : 0;
    if (late > latest) {
      latest = late;
      which = target;
    }
  }
  if (which) {
    const auto& url = which->resolved().url;
    out += fmt::format(
        "{}{} of the targets were due more than an interval ago and are not scraped, {} since {} s",
        out.empty() ? "" : "; ", count, url.substr(0, url.find('?')), latest / ns_per_s);
  }
  return out;
}

std::vector<http::route> make_status_routes(status_context settings) {
  auto context = std::make_shared<const status_context>(std::move(settings));
  std::vector<http::route> routes;
  const auto add = [&routes](std::string method, std::string path, right needs, auto answer) {
    routes.emplace_back(
        std::move(method), std::move(path), needs,
        [answer](const http::request& request, http::responder_ptr to) { to->answer(answer(request)); });
  };
  add("GET", "/api/v1/status", right::read,
      [context](const http::request&) { return success(status_of(*context)); });
  add("GET", "/api/v1/targets", right::read, [context](const http::request& request) {
    const auto* state = request.parameter("state");
    const auto* pool = request.parameter("scrapePool");
    return success(targets_json(context->board->targets(), state != nullptr ? *state : "",
                                pool != nullptr ? *pool : ""));
  });
  add("GET", "/-/healthy", right::read, [context](const http::request&) {
    if (const auto refusal = context->board->refusal(); !refusal.empty())
      return plain(503, fmt::format("skerry-edge is not healthy: nothing can be stored: {}\n", refusal));
    const auto behind = context->board->behind(system_clock().monotonic_ns());
    return behind.empty() ? plain(200, "skerry-edge is healthy.\n")
                          : plain(503, fmt::format("skerry-edge is behind with collecting: {}.\n", behind));
  });
  add("GET", "/-/ready", right::read,
      [](const http::request&) { return plain(200, "skerry-edge is ready.\n"); });
  for (const auto* method : {"POST", "PUT"})
    add(method, "/-/reload", right::administer, [context](const http::request&) {
      const auto done = context->reload();
      return done ? plain(200, done.value() + "\n")
                  : plain(500, fmt::format("failed to reload config: {}\n", done.error().message));
    });
  for (const bool paused : {true, false})
    add("POST", paused ? "/api/v1/admin/backlog/pause" : "/api/v1/admin/backlog/resume", right::operate,
        [context, paused](const http::request&) {
          context->pause_backlog(paused);
          return success({{"backlogPaused", paused}});
        });
  if (context->registry) {
    add("POST", "/api/v1/admin/invites", right::administer,
        [context](const http::request& request) { return make_invite(*context, request); });
    add("POST", "/api/v1/admin/edges/{}/revoke", right::administer,
        [context](const http::request& request) { return revoke(*context, request); });
  }
  return routes;
}

} // namespace skerry::edge
