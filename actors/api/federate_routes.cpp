// GET /federate: the newest sample of each series, as a Prometheus scrapes it.

#include "actors/api/parameters.hpp"
#include "actors/api/route_list.hpp"
#include "actors/promql/json.hpp"

#include <fmt/format.h>

#include <map>

namespace skerry::api {

namespace {

constexpr std::int64_t ns_per_ms = 1'000'000;
constexpr const char* exposition_type = "text/plain; version=0.0.4; charset=utf-8";

// Metric name first: series of a family stand together.
struct newest_sample {
  std::int64_t time_ms = 0;
  double value = 0;
};
using found_series = std::map<std::pair<std::string, labels>, newest_sample>;

void append_value(std::string& out, std::string_view text) {
  for (const char c : text)
    switch (c) {
    case '\\': out += "\\\\"; break;
    case '"': out += "\\\""; break;
    case '\n': out += "\\n"; break;
    default: out += c;
    }
}

std::string exposition(const found_series& all) {
  std::string out;
  std::string_view family;
  for (const auto& [key, newest] : all) {
    const auto& [name, rest] = key;
    if (name != family || out.empty()) {
      out += fmt::format("# TYPE {} untyped\n", name);
      family = name;
    }
    out += name;
    out += '{';
    bool instance = false;
    for (const auto& label : rest) {
      out += fmt::format("{}=\"", label.name);
      append_value(out, label.value);
      out += "\",";
      instance = instance || label.name == "instance";
    }
    // Without it the scraper would put its own there.
    if (!instance)
      out += "instance=\"\",";
    out.back() = '}';
    out += ' ';
    promql::append_number(out, newest.value);
    out += fmt::format(" {}\n", newest.time_ms);
  }
  return out;
}

result<found_series> newest_of(const query_context& context, const std::vector<promql::select_request>& asked,
                               const query_ticket& ticket) {
  found_series all;
  for (auto one : asked) {
    one.cancelled = &ticket.cancelled();
    one.samples_max = context.limits.samples_max;
    BOOST_OUTCOME_TRYV(context.source->select(one, [&](const promql::series_view& series) {
      if (series.times_ms.empty() || promql::is_stale(series.values.back()))
        return;
      std::string name;
      labels rest;
      for (const auto& label : series.all)
        if (label.name == label_name)
          name = label.value;
        else
          rest.push_back(label);
      if (!name.empty() && all.size() <= context.limits.series_max)
        all[{std::move(name), std::move(rest)}] = {series.times_ms.back(), series.values.back()};
    }));
  }
  if (all.size() > context.limits.series_max)
    return fail(errc::exhausted,
                fmt::format("more than {} series match; narrow match[]", context.limits.series_max));
  return all;
}

void federate(const query_context_ptr& context, const http::request& request, http::responder_ptr to) {
  if (request.all("match[]").empty())
    return to->answer({200, exposition_type, {}, {}});
  auto asked = select_parameters(request, true);
  if (!asked)
    return to->answer({400, "text/plain; charset=utf-8", asked.error().message + "\n", {}});
  const auto now_ms = context->clock->wall_ns() / ns_per_ms;
  for (auto& one : asked.value()) {
    one.from_ms = now_ms - context->limits.lookback.count();
    one.to_ms = now_ms;
    one.newest_only = true;
  }
  run_on_pool(*context->lookups, std::move(to), {},
              [context, asked = std::move(asked).value()](const query_ticket& ticket) -> http::response {
                const auto found = newest_of(*context, asked, ticket);
                if (!found)
                  return query_failure(found.error(), ticket);
                return {200, exposition_type, exposition(found.value()), {}};
              });
}

} // namespace

void add_federate_routes(const query_context_ptr& context, std::vector<http::route>& into) {
  add_route(into, context, {"GET"}, "/federate", federate);
}

} // namespace skerry::api
