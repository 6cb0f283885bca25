// /api/v1/status/…: what the node is, how it was started, what it holds.

#include "actors/api/parameters.hpp"
#include "actors/api/route_list.hpp"
#include "schemas/time.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <thread>

namespace skerry::api {

using json = nlohmann::ordered_json;

namespace {

// The Prometheus whose API this is: Grafana decides by it which requests to send.
constexpr const char* prometheus_version = "2.42.0";
constexpr std::int64_t tsdb_span_ms = 3'600'000; // of which series are counted
constexpr std::uint64_t tsdb_limit_default = 10;

std::string dump(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

std::string rfc3339(std::int64_t time_ns) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(time_ns / 1'000'000'000)));
}

void buildinfo(const query_context_ptr& context, const http::request&, http::responder_ptr to) {
  const auto& build = context->status.build;
  to->answer(success(dump(json{{"version", prometheus_version},
                               {"revision", build.revision},
                               {"branch", ""},
                               {"buildUser", ""},
                               {"buildDate", ""},
                               {"goVersion", ""},
                               {"application", "skerry"},
                               {"skerryVersion", build.version}})));
}

void config(const query_context_ptr& context, const http::request&, http::responder_ptr to) {
  to->answer(success(dump(json{{"yaml", context->status.config_text}})));
}

void flags(const query_context_ptr& context, const http::request&, http::responder_ptr to) {
  json all = json::object();
  for (const auto& [name, value] : context->status.flags)
    all[name] = value;
  to->answer(success(dump(all)));
}

void runtimeinfo(const query_context_ptr& context, const http::request&, http::responder_ptr to) {
  const auto started = rfc3339(context->status.started_ns);
  const auto config = context->status.reloaded ? context->status.reloaded()
                                               : config_reload::outcome{true, context->status.started_ns};
  std::error_code ignored;
  to->answer(success(dump(json{{"startTime", started},
                               {"CWD", std::filesystem::current_path(ignored).string()},
                               {"reloadConfigSuccess", config.successful},
                               {"lastConfigTime", rfc3339(config.success_ns)},
                               {"corruptionCount", 0},
                               {"goroutineCount", 0},
                               {"GOMAXPROCS", std::thread::hardware_concurrency()},
                               {"GOGC", ""},
                               {"GODEBUG", ""},
                               {"storageRetention", context->status.retention}})));
}

// Series by whatever one wants to know how many there are of.
using counts = std::map<std::string, std::uint64_t, std::less<>>;

json largest(const counts& of, std::uint64_t limit) {
  std::vector<std::pair<std::string_view, std::uint64_t>> all{of.begin(), of.end()};
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  if (all.size() > limit)
    all.resize(limit);
  json out = json::array();
  for (const auto& [name, count] : all)
    out.push_back({{"name", name}, {"value", count}});
  return out;
}

http::response tsdb_answer(const query_context& context, std::uint64_t limit, const query_ticket& ticket) {
  promql::select_request asked;
  asked.to_ms = context.clock->wall_ns() / ns_per_ms;
  asked.from_ms = asked.to_ms - tsdb_span_ms;
  asked.cancelled = &ticket.cancelled();
  asked.samples_max = context.limits.samples_max;
  counts by_name, by_pair, memory_of_name;
  std::map<std::string, std::set<std::string>, std::less<>> values;
  std::uint64_t series = 0;
  promql::query_memory memory{context.memory, context.limits.memory_each_bytes_max};
  memory.started();
  asked.memory = &memory;
  bool fits = true;
  const auto keep = [&](std::uint64_t bytes) { fits = fits && memory.take(bytes); };
  const auto watch = make_watch(context, ticket);
  const auto done = watch->source().series(asked, [&](const labels& all) {
    if (++series > context.limits.series_max || !fits)
      return;
    for (const auto& [name, value] : all) {
      if (name == label_name)
        ++by_name[value];
      ++by_pair[name + "=" + value];
      if (values[name].insert(value).second) {
        memory_of_name[name] += value.size();
        // In three tables at the most.
        keep(3 * (promql::table_entry_bytes + sizeof value + name.size() + promql::memory_of(value)));
      }
    }
  });
  if (!done)
    return query_failure(done.error(), ticket);
  if (!fits)
    return query_failure(memory.refusal(), ticket);
  counts by_label;
  for (const auto& [name, all] : values)
    by_label[name] = all.size();
  return success(dump(json{{"headStats",
                            {{"numSeries", series},
                             {"numLabelPairs", by_pair.size()},
                             {"chunkCount", 0},
                             {"minTime", asked.from_ms},
                             {"maxTime", asked.to_ms}}},
                           {"seriesCountByMetricName", largest(by_name, limit)},
                           {"labelValueCountByLabelName", largest(by_label, limit)},
                           {"memoryInBytesByLabelName", largest(memory_of_name, limit)},
                           {"seriesCountByLabelValuePair", largest(by_pair, limit)}}));
}

void tsdb(const query_context_ptr& context, const http::request& request, http::responder_ptr to) {
  const auto limit = limit_parameter(request);
  if (!limit)
    return to->answer(failure(to_api_error(limit.error())));
  run_on_pool(*context->lookups, request.who, std::move(to), {}, nullptr,
              [context, limit = limit.value().value_or(tsdb_limit_default)](const query_ticket& ticket) {
                return tsdb_answer(*context, limit, ticket);
              });
}

} // namespace

void add_status_routes(const query_context_ptr& context, std::vector<http::route>& into) {
  add_route(into, context, {"GET"}, "/api/v1/status/buildinfo", buildinfo);
  add_route(into, context, {"GET"}, "/api/v1/status/config", config);
  add_route(into, context, {"GET"}, "/api/v1/status/flags", flags);
  add_route(into, context, {"GET"}, "/api/v1/status/runtimeinfo", runtimeinfo);
  add_route(into, context, {"GET"}, "/api/v1/status/tsdb", tsdb);
}

} // namespace skerry::api
