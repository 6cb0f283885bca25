// What Prometheus says of what it scrapes and evaluates: targets (from what edges report of them), and rules and
// alerts, of which there are none yet.

#include "actors/api/parameters.hpp"
#include "actors/api/route_list.hpp"
#include "actors/promql/evaluator.hpp"
#include "actors/promql/parser.hpp"
#include "schemas/time.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <map>

namespace skerry::api {

using nlohmann::json;

namespace {

constexpr std::uint64_t target_bytes = 4 << 10; // of one as JSON in memory and as text, beside its labels

std::string rfc3339(std::int64_t time_ms) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(static_cast<std::time_t>(time_ms / 1'000)),
                     time_ms % 1'000);
}

// The labels that say which target, without the metric's name.
labels target_of(const labels& metric) {
  labels out;
  for (const auto& label : metric)
    if (label.name != label_name)
      out.push_back(label);
  return out;
}

result<promql::vector_value> now(const query_context& context, const query_ticket& ticket,
                                 promql::query_memory& memory, const char* query) {
  BOOST_OUTCOME_TRY(tree, promql::parse(query));
  promql::evaluate_options options;
  options.lookback_ms = context.limits.lookback.count();
  options.samples_max = context.limits.samples_max;
  options.cancelled = &ticket.cancelled();
  options.memory = &memory;
  const auto watch = make_watch(context, ticket);
  BOOST_OUTCOME_TRY(
      found, promql::evaluate_instant(*tree, watch->source(), context.clock->wall_ns() / ns_per_ms, options));
  auto* vector = std::get_if<promql::vector_value>(&found);
  return vector != nullptr ? std::move(*vector) : promql::vector_value{};
}

http::response active_targets(const query_context& context, const query_ticket& ticket,
                              const std::string& pool) {
  promql::query_memory memory{context.memory, context.limits.memory_each_bytes_max};
  memory.started();
  const auto up = now(context, ticket, memory, "up");
  if (!up)
    return query_failure(up.error(), ticket);
  const auto times = now(context, ticket, memory, "timestamp(up)");
  const auto durations = now(context, ticket, memory, "scrape_duration_seconds");
  if (!times || !durations)
    return query_failure(!times ? times.error() : durations.error(), ticket);
  std::map<labels, double> time_of, duration_of;
  for (const auto& sample : times.value())
    time_of[target_of(sample.metric)] = sample.at.value;
  for (const auto& sample : durations.value())
    duration_of[target_of(sample.metric)] = sample.at.value;
  json active = json::array();
  for (const auto& sample : up.value()) {
    const auto target = target_of(sample.metric);
    const std::string job{value_of(target, "job")};
    if (!pool.empty() && pool != job)
      continue;
    if (!memory.take(target_bytes + 2 * promql::memory_of(target)))
      return query_failure(memory.refusal(), ticket);
    json named = json::object();
    for (const auto& label : target)
      named[label.name] = label.value;
    const bool is_up = sample.at.value == 1;
    active.push_back({{"discoveredLabels", json::object()},
                      {"labels", named},
                      {"scrapePool", job},
                      {"scrapeUrl", ""},
                      {"globalUrl", ""},
                      {"lastError", is_up ? "" : "the edge reports that the last scrape failed"},
                      {"lastScrape", rfc3339(static_cast<std::int64_t>(time_of[target] * 1'000))},
                      {"lastScrapeDuration", duration_of[target]},
                      {"health", is_up ? "up" : "down"},
                      {"scrapeInterval", ""},
                      {"scrapeTimeout", ""}});
  }
  return success(json{{"activeTargets", active}, {"droppedTargets", json::array()}}.dump(
      -1, ' ', false, json::error_handler_t::replace));
}

void targets(const query_context_ptr& context, const http::request& request, http::responder_ptr to) {
  if (text_parameter(request, "state") == "dropped")
    return to->answer(success(R"({"activeTargets":[],"droppedTargets":[]})"));
  run_on_pool(*context->lookups, request.who, std::move(to), {}, nullptr,
              [context, pool = std::string{text_parameter(request, "scrapePool")}](
                  const query_ticket& ticket) { return active_targets(*context, ticket, pool); });
}

void rules(const query_context_ptr&, const http::request&, http::responder_ptr to) {
  to->answer(success(R"({"groups":[]})"));
}

void alerts(const query_context_ptr&, const http::request&, http::responder_ptr to) {
  to->answer(success(R"({"alerts":[]})"));
}

void alertmanagers(const query_context_ptr&, const http::request&, http::responder_ptr to) {
  to->answer(success(R"({"activeAlertmanagers":[],"droppedAlertmanagers":[]})"));
}

} // namespace

void add_target_routes(const query_context_ptr& context, std::vector<http::route>& into) {
  if (context->targets_from_up)
    add_route(into, context, {"GET"}, "/api/v1/targets", targets);
  add_route(into, context, {"GET"}, "/api/v1/rules", rules);
  add_route(into, context, {"GET"}, "/api/v1/alerts", alerts);
  add_route(into, context, {"GET"}, "/api/v1/alertmanagers", alertmanagers);
}

} // namespace skerry::api
