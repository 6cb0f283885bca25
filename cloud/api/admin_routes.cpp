// Prometheus' admin API: deleting series. Off unless http.admin_api is set, and for the operator alone.

#include "actors/api/parameters.hpp"
#include "cloud/api/handlers.hpp"
#include "cloud/query/deletions.hpp"

namespace skerry::cloud {

namespace {

http::response no_content() { return {204, "", "", {}}; }

http::response disabled() {
  auto answer = failure({api_errc::unavailable, "admin APIs disabled"});
  answer.headers.clear(); // to try again changes nothing
  return answer;
}

void delete_series(const context_ptr& context, const http::request& request, http::responder_ptr to) {
  if (context->deleted == nullptr)
    return to->answer(disabled());
  if (request.all("match[]").empty())
    return to->answer(failure({api_errc::bad_data, "no match[] parameter provided"}));
  const auto memory =
      std::make_shared<promql::query_memory>(context->memory, context->limits.memory_each_bytes_max);
  auto asked = select_parameters(request, *memory);
  if (!asked)
    return to->answer(failure(to_api_error(asked.error())));
  run_on_pool(context, request.who, std::move(to), {},
              [context, memory, asked = std::move(asked).value()](const auto&) {
                std::vector<std::vector<promql::matcher>> selectors;
                for (const auto& one : asked)
                  selectors.push_back(one.matchers);
                const auto done =
                    context->deleted->remove(selectors, asked.front().from_ms, asked.front().to_ms,
                                             context->clock->wall_ns() / 1'000'000);
                return done ? no_content() : failure(to_api_error(done.error()));
              });
}

// The bytes go with their partition; nothing is gained by rewriting it.
void clean_tombstones(const context_ptr& context, const http::request&, http::responder_ptr to) {
  to->answer(context->deleted == nullptr ? disabled() : no_content());
}

} // namespace

void add_admin_routes(const context_ptr& context, std::vector<http::route>& into) {
  const auto add = [&](const char* path, auto function) {
    for (const auto* method : {"POST", "PUT"})
      into.emplace_back(method, path, right::administer,
                        [context, function](const http::request& r, http::responder_ptr to) {
                          function(context, r, std::move(to));
                        });
  };
  add("/api/v1/admin/tsdb/delete_series", delete_series);
  add("/api/v1/admin/tsdb/clean_tombstones", clean_tombstones);
}

} // namespace skerry::cloud
