#include "actors/api/parameters.hpp"
#include "cloud/api/completeness_notes.hpp"
#include "cloud/api/handlers.hpp"
#include "cloud/api/json.hpp"
#include "cloud/api/routes.hpp"
#include "cloud/api/site_feed.hpp"
#include "schemas/model/site_name.hpp"
#include "schemas/time.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace skerry::cloud {

namespace {

json to_json(const site_status& s) {
  json refused = json::array();
  for (const auto& [edge, why] : s.refused)
    refused.push_back({{"edge", to_string(edge)}, {"message", why}});
  return {{"site", s.site},
          {"edge", s.edge == edge_id::none ? json{} : json(to_string(s.edge))},
          {"state", to_string(s.state)},
          {"cause", s.cause.empty() ? json{} : json(s.cause)},
          {"since", seconds(s.since_ns)},
          {"behind", s.behind == edge_id::none ? json{} : json(to_string(s.behind))},
          {"last_heard", seconds(s.last_heard_ns)},
          {"clock_offset",
           s.clock_offset_ns ? json(static_cast<double>(*s.clock_offset_ns / 1'000'000) / 1'000) : json{}},
          {"hosts", s.hosts},
          {"series", s.series},
          {"samples_total", s.samples_total},
          {"samples_per_second", s.samples_per_second},
          {"pending_records", s.pending_records},
          {"pending_bytes", s.pending_bytes},
          {"live_watermark", seconds(s.live_watermark_ns)},
          {"complete_watermark", seconds(s.complete_watermark_ns)},
          {"completeness", s.completeness},
          {"bytes_on_link_today", s.bytes_on_link_today},
          {"key_fingerprints", s.key_fingerprints},
          {"refused", std::move(refused)}};
}

json to_json(const host_status& h) {
  return {{"site", h.site},
          {"host", h.host},
          {"series", h.series},
          {"last_sample", seconds(h.last_sample_ns)},
          {"live_watermark", seconds(h.live_watermark_ns)},
          {"complete_watermark", seconds(h.complete_watermark_ns)},
          {"edge", h.edge == edge_id::none || h.edge == edge_pushed ? json{} : json(to_string(h.edge))},
          {"state", to_string(h.state)},
          {"cause", h.cause.empty() ? json{} : json(h.cause)}};
}

json to_json(const invite& i) {
  json out{{"id", i.id},
           {"site", i.site},
           {"expires", seconds(i.expires_ns)},
           {"edge", i.edge == edge_id::none ? json{} : json(to_string(i.edge))},
           {"used", i.used}};
  if (!i.token.empty())
    out["token"] = i.token;
  return out;
}

template <class T>
std::string list_of(const std::vector<T>& all) {
  json out = json::array();
  for (const auto& one : all)
    out.push_back(to_json(one));
  return dump(out);
}

void sites(const context_ptr& context, const http::request& request, http::responder_ptr to) {
  auto all = context->node->sites();
  if (const auto only = text_parameter(request, "site"); !only.empty())
    std::erase_if(all, [&](const site_status& s) { return s.site != only; });
  to->answer(success(list_of(all)));
}

void follow_sites(const context_ptr& context, const http::request& request, http::responder_ptr to) {
  if (auto opened = to->open_stream())
    context->feed->follow(std::move(opened), request.last_event_id());
}

void hosts(const context_ptr& context, const http::request& request, http::responder_ptr to) {
  auto all = context->node->hosts();
  if (const auto only = text_parameter(request, "site"); !only.empty())
    std::erase_if(all, [&](const host_status& h) { return h.site != only; });
  to->answer(success(list_of(all)));
}

void healthy(const context_ptr& context, const http::request&, http::responder_ptr to) {
  const auto now = context->node->healthy();
  to->answer(now ? plain_text(200, "Skerry is Healthy.\n")
                 : plain_text(503, fmt::format("Skerry is not healthy: {}\n", now.error().message)));
}

void ready(const context_ptr& context, const http::request&, http::responder_ptr to) {
  const auto now = context->node->ready();
  to->answer(now ? plain_text(200, "Skerry is Ready.\n")
                 : plain_text(503, fmt::format("Skerry is not ready: {}\n", now.error().message)));
}

void reload(const context_ptr& context, const http::request& request, http::responder_ptr to) {
  run_on_pool(context, request.who, std::move(to), {}, [context](const query_ticket&) {
    const auto done = context->node->reload();
    return done ? plain_text(200, done.value() + "\n")
                : plain_text(500, fmt::format("failed to reload config: {}\n", done.error().message));
  });
}

struct invite_order {
  invite_request each;
  std::uint64_t count = 1;
};

result<invite_order> read_invite(const http::request& request) {
  invite_order order;
  order.each.site = std::string{text_parameter(request, "site")};
  if (!is_site_name(order.each.site))
    return invalid_parameter(
        "site", fmt::format("it must be 1 to {} letters, digits, '.', '_' or '-', beginning with "
                            "a letter or a digit",
                            site_name_bytes_max));
  BOOST_OUTCOME_TRY(ttl, duration_parameter(request, "ttl", order.each.ttl));
  if (ttl <= std::chrono::nanoseconds::zero() || ttl > invite_ttl_max)
    return invalid_parameter("ttl", "it must be above 0 and at most a year");
  order.each.ttl = ttl;
  if (const auto edge = text_parameter(request, "edge"); !edge.empty()) {
    const auto parsed = parse_edge_id(edge);
    if (!parsed)
      return invalid_parameter("edge", parsed.error().message);
    order.each.edge = parsed.value();
  }
  if (const auto text = text_parameter(request, "count"); !text.empty()) {
    const auto [stop, failed] = std::from_chars(text.data(), text.data() + text.size(), order.count);
    if (failed != std::errc{} || stop != text.data() + text.size() || order.count == 0
        || order.count > invites_per_request_max)
      return invalid_parameter("count", fmt::format("it must be 1 to {}", invites_per_request_max));
    if (order.count > 1 && order.each.edge != edge_id::none)
      return invalid_parameter("count", "one edge needs one invite");
  }
  return order;
}

void make_invites(const context_ptr& context, const http::request& request, http::responder_ptr to) {
  const auto order = read_invite(request);
  if (!order)
    return to->answer(failure(to_api_error(order.error())));
  run_on_pool(context, request.who, std::move(to), {}, [context, order = order.value()](const query_ticket&) {
    std::vector<invite> made;
    for (std::uint64_t i = 0; i < order.count; ++i) {
      auto one = context->node->make_invite(order.each);
      if (!one)
        return failure(to_api_error(one.error()));
      made.push_back(std::move(one.value()));
    }
    return success(list_of(made));
  });
}

void list_invites(const context_ptr& context, const http::request& request, http::responder_ptr to) {
  run_on_pool(context, request.who, std::move(to), {}, [context](const query_ticket&) {
    auto all = context->node->invites();
    if (!all)
      return failure(to_api_error(all.error()));
    for (auto& one : all.value())
      one.token.clear(); // a token is shown once, when it is made
    return success(list_of(all.value()));
  });
}

void revoke(const context_ptr& context, const http::request& request, http::responder_ptr to) {
  const auto edge = parse_edge_id(request.capture);
  if (!edge)
    return to->answer(failure({api_errc::bad_data, edge.error().message}));
  run_on_pool(context, request.who, std::move(to), {}, [context, edge = edge.value()](const query_ticket&) {
    const auto done = context->node->revoke(edge);
    if (!done)
      return failure(to_api_error(done.error()));
    return success(dump(json{{"edge", to_string(edge)}, {"state", to_string(link_state::revoked)}}));
  });
}

} // namespace

void add_node_routes(const context_ptr& context, std::vector<http::route>& into) {
  const auto add = [&](const char* method, const char* path, right needs, auto function) {
    into.emplace_back(method, path, needs,
                      [context, function](const http::request& r, http::responder_ptr to) {
                        function(context, r, std::move(to));
                      });
  };
  add("GET", "/api/v1/sites", right::read, sites);
  add("GET", "/api/v1/sites/stream", right::read, follow_sites);
  add("GET", "/api/v1/hosts", right::read, hosts);
  add("GET", "/-/healthy", right::read, healthy);
  add("GET", "/-/ready", right::read, ready);
  add("POST", "/-/reload", right::administer, reload);
  add("PUT", "/-/reload", right::administer, reload);
  // Listing invites changes nothing, but who may join is the operator's business alone.
  add("POST", "/api/v1/admin/invites", right::administer, make_invites);
  add("GET", "/api/v1/admin/invites", right::administer, list_invites);
  add("POST", "/api/v1/admin/edges/{}/revoke", right::administer, revoke);
}

std::vector<http::route> make_routes(api_context given) {
  const auto context = std::make_shared<const api_context>(std::move(given));
  api::query_context queries;
  queries.source = context->source;
  queries.queries = context->queries;
  queries.lookups = context->lookups;
  queries.clock = context->clock;
  queries.limits = context->limits;
  queries.memory = context->memory;
  queries.answers = context->answers;
  queries.status = {context->build, context->started_ns, context->config_text,
                    context->flags, context->retention,  context->reloaded};
  queries.watch = [context](const principal&) -> std::unique_ptr<api::query_watch> {
    return std::make_unique<completeness_watch>(*context->source, context->ledger, context->cache,
                                                *context->clock);
  };
  auto all = api::make_query_routes(std::move(queries));
  add_admin_routes(context, all);
  add_ledger_routes(context, all);
  add_node_routes(context, all);
  if (context->metrics)
    all.emplace_back("GET", "/metrics", right::read, context->metrics);
  return all;
}

} // namespace skerry::cloud
