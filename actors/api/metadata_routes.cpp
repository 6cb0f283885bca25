#include "actors/api/answer_text.hpp"
#include "actors/api/parameters.hpp"
#include "actors/api/route_list.hpp"
#include "actors/promql/json.hpp"
#include "actors/promql/lexer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace skerry::api {

using promql::select_request;

namespace {

constexpr std::string_view cut_warning = "results truncated due to limit";

// What to ask of the store, and how much of it to send.
struct listing {
  std::vector<select_request> requests;
  std::uint64_t limit = 0; // 0: none was asked for
  query_memory_ptr memory;

  // Of the list; stays counted as long as the listing does.
  [[nodiscard]] result<void> keep(std::uint64_t bytes) const {
    if (!memory->take(bytes + promql::table_entry_bytes))
      return memory->refusal();
    return ok();
  }
};

result<listing> read_listing(const http::request& request, const query_context& context) {
  auto memory = make_memory(context);
  BOOST_OUTCOME_TRY(requests, select_parameters(request, *memory));
  BOOST_OUTCOME_TRY(limit, limit_parameter(request));
  std::erase_if(requests, [](const select_request& one) { return one.to_ms < one.from_ms; });
  return listing{std::move(requests), limit.value_or(0), std::move(memory)};
}

// Sends elements as a JSON list; over series_max it is an error, over the caller's limit a warning.
template <class Elements, class Append>
http::response send_list(const Elements& all, const listing& asked, const query_context& context,
                         const query_ticket& ticket, std::vector<std::string> warnings, Append append) {
  const auto& limits = context.limits;
  if (asked.limit == 0 && all.size() > limits.series_max)
    return failure(
        {api_errc::execution, fmt::format("the answer has {} elements; at most {} are sent. Narrow match[] "
                                          "or the time range, or set limit",
                                          all.size(), limits.series_max)});
  answer_text text{context.answers};
  auto& body = text.tail();
  body = begin_success() + "[";
  std::uint64_t sent = 0;
  for (const auto& element : all) {
    if (asked.limit != 0 && sent == asked.limit) {
      warnings.emplace_back(cut_warning);
      break;
    }
    if (!text.go_on())
      break;
    if (sent++ > 0)
      body += ',';
    append(body, element);
  }
  body += ']';
  append_end(body, warnings);
  auto made = text.take("application/json");
  return made ? std::move(made).value() : query_failure(made.error(), ticket);
}

// The union of what each request finds, sorted.
using ask_strings =
    std::function<result<std::vector<std::string>>(promql::series_source&, const select_request&)>;

void send_strings(const query_context_ptr& context, const http::request& request, listing asked,
                  http::responder_ptr to, ask_strings ask) {
  const auto memory = asked.memory;
  run_on_pool(
      *context->lookups, request.who, std::move(to), {}, memory,
      [context, asked, ask](const query_ticket& ticket) {
        std::set<std::string> all;
        const auto watch = make_watch(*context, ticket);
        for (auto one : asked.requests) {
          one.cancelled = &ticket.cancelled();
          one.samples_max = context->limits.samples_max;
          auto found = ask(watch->source(), one);
          if (!found)
            return query_failure(found.error(), ticket);
          for (auto& text : found.value())
            if (const auto bytes = sizeof text + promql::memory_of(text); all.insert(std::move(text)).second)
              if (const auto fits = asked.keep(bytes); !fits)
                return query_failure(fits.error(), ticket);
        }
        return send_list(all, asked, *context, ticket, watch->warnings(),
                         [](std::string& out, const std::string& text) { promql::append_string(out, text); });
      });
}

void label_names(const query_context_ptr& context, const http::request& request, http::responder_ptr to) {
  auto asked = read_listing(request, *context);
  if (!asked)
    return to->answer(failure(to_api_error(asked.error())));
  send_strings(context, request, std::move(asked.value()), std::move(to),
               [](promql::series_source& of, const select_request& r) { return of.label_names(r); });
}

void label_values(const query_context_ptr& context, const http::request& request, http::responder_ptr to) {
  const auto& name = request.capture;
  if (!promql::is_label_name(name))
    return to->answer(
        failure({api_errc::bad_data, fmt::format("invalid label name: {}", promql::quote(name))}));
  auto asked = read_listing(request, *context);
  if (!asked)
    return to->answer(failure(to_api_error(asked.error())));
  send_strings(
      context, request, std::move(asked.value()), std::move(to),
      [name](promql::series_source& of, const select_request& r) { return of.label_values(name, r); });
}

void series(const query_context_ptr& context, const http::request& request, http::responder_ptr to) {
  if (request.all("match[]").empty())
    return to->answer(failure({api_errc::bad_data, "no match[] parameter provided"}));
  auto read = read_listing(request, *context);
  if (!read)
    return to->answer(failure(to_api_error(read.error())));
  const auto memory = read.value().memory;
  run_on_pool(*context->lookups, request.who, std::move(to), {}, memory,
              [context, asked = std::move(read.value())](const query_ticket& ticket) {
                std::set<labels> all;
                const auto watch = make_watch(*context, ticket);
                const auto keep_max = std::max<std::uint64_t>(context->limits.series_max, asked.limit);
                for (auto one : asked.requests) {
                  one.cancelled = &ticket.cancelled();
                  one.samples_max = context->limits.samples_max;
                  result<void> fits = ok();
                  const auto done = watch->source().series(one, [&](const labels& found) {
                    if (fits && all.size() <= keep_max && all.insert(found).second)
                      fits = asked.keep(sizeof found + promql::memory_of(found));
                  });
                  if (!done || !fits)
                    return query_failure(!done ? done.error() : fits.error(), ticket);
                }
                return send_list(all, asked, *context, ticket, watch->warnings(), promql::append_labels);
              });
}

http::response metadata_answer(const std::vector<promql::family_metadata>& all, std::string_view metric,
                               std::optional<std::uint64_t> limit) {
  auto body = begin_success() + "{";
  std::uint64_t families = 0;
  for (std::size_t i = 0; i < all.size();) {
    const auto& name = all[i].name;
    std::size_t end = i;
    while (end < all.size() && all[end].name == name)
      ++end;
    if (metric.empty() || name == metric) {
      if (limit && families == *limit)
        break;
      if (families++ > 0)
        body += ',';
      promql::append_string(body, name);
      for (std::size_t k = i; k < end; ++k) {
        body += k == i ? R"(:[{"type":")" : R"(,{"type":")";
        body += to_string(all[k].type);
        body += R"(","help":)";
        promql::append_string(body, all[k].help);
        body += R"(,"unit":)";
        promql::append_string(body, all[k].unit);
        body += '}';
      }
      body += ']';
    }
    i = end;
  }
  return end_success(body + "}");
}

void metadata(const query_context_ptr& context, const http::request& request, http::responder_ptr to) {
  const auto limit = limit_parameter(request);
  if (!limit)
    return to->answer(failure(to_api_error(limit.error())));
  run_on_pool(*context->lookups, request.who, std::move(to), {}, nullptr,
              [context, limit = limit.value(),
               metric = std::string{text_parameter(request, "metric")}](const query_ticket& ticket) {
                const auto all = make_watch(*context, ticket)->source().metadata();
                if (!all)
                  return query_failure(all.error(), ticket);
                return metadata_answer(all.value(), metric, limit);
              });
}

} // namespace

void add_metadata_routes(const query_context_ptr& context, std::vector<http::route>& into) {
  add_route(into, context, {"GET", "POST"}, "/api/v1/series", series);
  add_route(into, context, {"GET", "POST"}, "/api/v1/labels", label_names);
  add_route(into, context, {"GET"}, "/api/v1/label/{}/values", label_values);
  add_route(into, context, {"GET"}, "/api/v1/metadata", metadata);
}

} // namespace skerry::api
