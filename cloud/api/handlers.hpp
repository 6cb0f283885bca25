#pragma once

// The routes by subject; make_routes() puts them together. Private to the API.

#include "cloud/api/context.hpp"
#include "cloud/api/envelope.hpp"

#include <functional>
#include <memory>

namespace skerry::cloud {

using context_ptr = std::shared_ptr<const api_context>;

void add_query_routes(const context_ptr& context, std::vector<http::route>& into);
void add_metadata_routes(const context_ptr& context, std::vector<http::route>& into);
void add_ledger_routes(const context_ptr& context, std::vector<http::route>& into);
void add_node_routes(const context_ptr& context, std::vector<http::route>& into);

// Runs `work` on the query pool and sends what it returns; a full pool answers 503 at once.
void run_on_pool(const context_ptr& context, http::responder_ptr to, std::chrono::nanoseconds timeout,
                 std::function<http::response(const query_ticket&)> work);
// A failure of a query, told apart by why it was stopped.
[[nodiscard]] http::response query_failure(const error& e, const query_ticket& ticket);

} // namespace skerry::cloud
