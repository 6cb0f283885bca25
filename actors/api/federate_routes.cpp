// GET /federate: the newest sample of each series, as a Prometheus scrapes it. What is missing of them stands at the end
// in comments, which a scraper skips and a person reads.

#include "actors/api/answer_text.hpp"
#include "actors/api/parameters.hpp"
#include "actors/api/route_list.hpp"
#include "actors/promql/json.hpp"
#include "schemas/time.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace skerry::api {

namespace {

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

// A comment, whatever the text says: it starts with neither HELP nor TYPE and has one line.
void append_warning(std::string& out, std::string_view text) {
  out += "# warning: ";
  std::transform(text.begin(), text.end(), std::back_inserter(out),
                 [](char c) { return c == '\n' || c == '\r' || c == '\0' ? ' ' : c; });
  out += '\n';
}

result<http::response> exposition(const found_series& all, const std::vector<std::string>& warnings,
                                  const std::shared_ptr<memory_budget>& answers) {
  answer_text text{answers};
  auto& out = text.tail();
  std::string_view family;
  for (const auto& [key, newest] : all) {
    const auto& [name, rest] = key;
    if (!text.go_on())
      break;
    if (name != family) { // no name is empty
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
  for (const auto& warning : warnings)
    if (text.go_on())
      append_warning(out, warning);
  return text.take(exposition_type);
}

result<found_series> newest_of(const query_context& context, promql::series_source& source,
                               const std::vector<promql::select_request>& asked, const query_ticket& ticket) {
  found_series all;
  result<void> fits = ok();
  for (auto one : asked) {
    one.cancelled = &ticket.cancelled();
    one.samples_max = context.limits.samples_max;
    // Stays counted as long as the query's memory does.
    const auto keep = [memory = one.memory](std::uint64_t bytes) -> result<void> {
      if (memory != nullptr && !memory->take(bytes))
        return memory->refusal();
      return ok();
    };
    BOOST_OUTCOME_TRYV(source.select(one, [&](const promql::series_view& series) {
      if (series.times_ms.empty() || promql::is_stale(series.values.back()))
        return;
      std::string name;
      labels rest;
      for (const auto& label : series.all)
        if (label.name == label_name)
          name = label.value;
        else
          rest.push_back(label);
      if (fits && all.size() <= context.limits.series_max)
        fits = keep(2 * sizeof(labels) + promql::memory_of(series.all) + promql::table_entry_bytes);
      if (fits && !name.empty() && all.size() <= context.limits.series_max)
        all[{std::move(name), std::move(rest)}] = {series.times_ms.back(), series.values.back()};
    }));
    BOOST_OUTCOME_TRYV(fits);
  }
  if (all.size() > context.limits.series_max)
    return fail(errc::exhausted,
                fmt::format("more than {} series match; narrow match[]", context.limits.series_max));
  return all;
}

void federate(const query_context_ptr& context, const http::request& request, http::responder_ptr to) {
  if (request.all("match[]").empty())
    return to->answer({200, exposition_type, {}, {}});
  const auto memory = make_memory(*context);
  auto asked = select_parameters(request, *memory, true);
  if (!asked && asked.error().code != errc::invalid_argument)
    return to->answer(failure(to_api_error(asked.error())));
  if (!asked)
    return to->answer({400, "text/plain; charset=utf-8", asked.error().message + "\n", {}});
  const auto now_ms = context->clock->wall_ns() / ns_per_ms;
  for (auto& one : asked.value()) {
    one.from_ms = now_ms - context->limits.lookback.count();
    one.to_ms = now_ms;
    one.newest_only = true;
  }
  run_on_pool(*context->lookups, request.who, std::move(to), {}, memory,
              [context, asked = std::move(asked).value()](const query_ticket& ticket) -> http::response {
                const auto watch = make_watch(*context, ticket);
                const auto found = newest_of(*context, watch->source(), asked, ticket);
                if (!found)
                  return query_failure(found.error(), ticket);
                auto text = exposition(found.value(), watch->warnings(), context->answers);
                return text ? std::move(text).value() : query_failure(text.error(), ticket);
              });
}

} // namespace

void add_federate_routes(const query_context_ptr& context, std::vector<http::route>& into) {
  add_route(into, context, {"GET"}, "/federate", federate);
}

} // namespace skerry::api
