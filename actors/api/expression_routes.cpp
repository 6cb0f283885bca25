// Expressions that are looked at, not evaluated: format_query, parse_query, query_exemplars.

#include "actors/api/expression_json.hpp"
#include "actors/api/parameters.hpp"
#include "actors/api/route_list.hpp"
#include "actors/promql/ast_print.hpp"
#include "actors/promql/json.hpp"
#include "actors/promql/parser.hpp"

#include <fmt/format.h>

namespace skerry::api {

namespace {

http::response parse_failure(const error& e) {
  return failure(to_api_error(e.code == errc::invalid_argument ? invalid_parameter("query", e.message) : e));
}

void format_query(const query_context_ptr& context, const http::request& request, http::responder_ptr to) {
  const auto memory = make_memory(*context);
  const auto tree = promql::parse(text_parameter(request, "query"), memory.get());
  if (!tree)
    return to->answer(parse_failure(tree.error()));
  std::string data;
  promql::append_string(data, promql::pretty(*tree.value()));
  to->answer(success(data));
}

void parse_query(const query_context_ptr& context, const http::request& request, http::responder_ptr to) {
  const auto memory = make_memory(*context);
  const auto tree = promql::parse(text_parameter(request, "query"), memory.get());
  if (!tree)
    return to->answer(parse_failure(tree.error()));
  to->answer(success(to_json(*tree.value())));
}

// Exemplars are not kept: a query that is right finds none.
void query_exemplars(const query_context_ptr& context, const http::request& request, http::responder_ptr to) {
  const auto start_ms = time_parameter(request, "start", time_ms_min);
  if (!start_ms)
    return to->answer(failure(to_api_error(start_ms.error())));
  const auto end_ms = time_parameter(request, "end", time_ms_max);
  if (!end_ms)
    return to->answer(failure(to_api_error(end_ms.error())));
  if (end_ms.value() < start_ms.value())
    return to->answer(
        failure(to_api_error({errc::invalid_argument, "end timestamp must not be before start timestamp"})));
  const auto memory = make_memory(*context);
  if (const auto tree = promql::parse(text_parameter(request, "query"), memory.get()); !tree)
    return to->answer(failure(to_api_error(tree.error())));
  to->answer(success("[]"));
}

} // namespace

void add_expression_routes(const query_context_ptr& context, std::vector<http::route>& into) {
  add_route(into, context, {"GET", "POST"}, "/api/v1/format_query", format_query);
  add_route(into, context, {"GET", "POST"}, "/api/v1/parse_query", parse_query);
  add_route(into, context, {"GET", "POST"}, "/api/v1/query_exemplars", query_exemplars);
}

} // namespace skerry::api
