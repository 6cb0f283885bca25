#include "actors/api/parameters.hpp"
#include "cloud/api/handlers.hpp"
#include "cloud/api/json.hpp"
#include "cloud/ledger/ledger.hpp"
#include "cloud/ledger/retractions.hpp"
#include "schemas/time.hpp"

#include <algorithm>

namespace skerry::cloud {

namespace {

constexpr std::int64_t default_span_ms = 3'600'000;

json to_json(const loss_entry& e) {
  json out{{"site", e.site},
           {"host", e.host},
           {"edge", e.origin.edge == edge_id::none ? json{} : json(to_string(e.origin.edge))},
           {"state", to_string(e.collected ? coverage::lost : coverage::not_collected)},
           {"cause", to_string(e.cause)},
           {"start", seconds(e.from_ns)},
           {"end", seconds(e.to_ns)}};
  if (e.first != 0) {
    out["stream"] = to_string(e.origin);
    out["first_sequence"] = e.first;
    out["last_sequence"] = e.last;
  }
  if (e.records != 0)
    out["records"] = e.records;
  if (e.entries != 1)
    out["entries"] = e.entries;
  if (e.samples != 0)
    out["samples"] = e.samples;
  if (e.bytes != 0)
    out["bytes"] = e.bytes;
  if (!e.detail.empty())
    out["detail"] = e.detail;
  if (!e.retracted.empty())
    out["retracted"] = e.retracted;
  return out;
}

json to_json(const host_coverage& h) {
  json ranges = json::array();
  for (const auto& range : h.ranges) {
    json one{
        {"start", seconds(range.from_ns)}, {"end", seconds(range.to_ns)}, {"state", to_string(range.what)}};
    if (range.what == coverage::lost || range.what == coverage::not_collected)
      one["cause"] = to_string(range.cause);
    ranges.push_back(std::move(one));
  }
  return {{"site", h.site},
          {"host", h.host},
          {"live_watermark", seconds(h.facts.live_watermark_ns)},
          {"complete_watermark", seconds(h.facts.complete_watermark_ns)},
          {"ranges", std::move(ranges)}};
}

// `ahead`: what is dated later than now belongs to it where no end is given, as samples of a clock that is ahead are.
result<ledger_request> read_request(const http::request& request, const api_context& context, bool ahead) {
  ledger_request out;
  out.site = text_parameter(request, "site");
  out.host = text_parameter(request, "host");
  const auto now_ms = context.clock->wall_ns() / ns_per_ms;
  const auto* end = request.parameter("end");
  const bool open_end = ahead && (end == nullptr || end->empty());
  BOOST_OUTCOME_TRY(end_ms, time_parameter(request, "end", open_end ? INT64_MAX / ns_per_ms : now_ms));
  BOOST_OUTCOME_TRY(start_ms, time_parameter(request, "start", std::min(end_ms, now_ms) - default_span_ms));
  if (end_ms < start_ms)
    return invalid_parameter("end", "end timestamp must not be before start time");
  out.from_ns = start_ms * ns_per_ms;
  out.to_ns = end_ms * ns_per_ms;
  return out;
}

template <class T>
http::response answer(const result<std::vector<T>>& found) {
  if (!found)
    return failure(to_api_error(found.error()));
  json out = json::array();
  for (const auto& one : found.value())
    out.push_back(to_json(one));
  return success(dump(out));
}

template <class Ask>
http::handler on_pool(const context_ptr& context, bool ahead, Ask ask) {
  return [context, ahead, ask](const http::request& request, http::responder_ptr to) {
    auto asked = read_request(request, *context, ahead);
    if (!asked)
      return to->answer(failure(to_api_error(asked.error())));
    run_on_pool(context, request.who, std::move(to), {},
                [context, ask, what = std::move(asked).value()](const query_ticket&) {
                  return answer(ask(*context->ledger, what));
                });
  };
}

// Both ends are wanted: what is taken back is named exactly.
result<retraction> read_retraction(const http::request& request, const api_context& context) {
  retraction out;
  BOOST_OUTCOME_TRY(edge, parse_edge_id(text_parameter(request, "edge")));
  out.edge = edge;
  out.host = text_parameter(request, "host");
  out.reason = text_parameter(request, "reason");
  out.at_ns = context.clock->wall_ns();
  for (const auto* name : {"start", "end"})
    if (text_parameter(request, name).empty())
      return invalid_parameter(name, "the time range of the entries is wanted");
  BOOST_OUTCOME_TRY(start_ms, time_parameter(request, "start", 0));
  BOOST_OUTCOME_TRY(end_ms, time_parameter(request, "end", 0));
  if (end_ms < start_ms)
    return invalid_parameter("end", "end timestamp must not be before start time");
  out.from_ns = start_ms * ns_per_ms;
  out.to_ns = end_ms * ns_per_ms + ns_per_ms - 1;
  return out;
}

void retract(const context_ptr& context, const http::request& request, http::responder_ptr to) {
  auto asked = read_retraction(request, *context);
  if (!asked)
    return to->answer(failure({api_errc::bad_data, asked.error().message}));
  run_on_pool(context, request.who, std::move(to), {},
              [context, what = std::move(asked).value()](const query_ticket&) {
                const auto done = context->retracted->add(what);
                if (!done)
                  return failure(to_api_error(done.error()));
                return success(dump(json{{"edge", to_string(what.edge)},
                                         {"host", what.host},
                                         {"start", seconds(what.from_ns)},
                                         {"end", seconds(what.to_ns)},
                                         {"reason", what.reason}}));
              });
}

} // namespace

void add_ledger_routes(const context_ptr& context, std::vector<http::route>& into) {
  if (context->ledger == nullptr)
    return;
  into.emplace_back("GET", "/api/v1/loss", right::read,
                    on_pool(context, true, [](ledger_reader& from, const ledger_request& what) {
                      return from.losses(what);
                    }));
  into.emplace_back("GET", "/api/v1/completeness", right::read,
                    on_pool(context, false, [](ledger_reader& from, const ledger_request& what) {
                      return from.completeness(what);
                    }));
  if (context->retracted != nullptr)
    into.emplace_back("POST", "/api/v1/admin/loss/retract", right::operate,
                      [context](const http::request& request, http::responder_ptr to) {
                        retract(context, request, std::move(to));
                      });
}

} // namespace skerry::cloud
