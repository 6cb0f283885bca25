#pragma once

// The routes by subject; make_routes() puts them together. Private to the API.

#include "actors/api/envelope.hpp"
#include "cloud/api/context.hpp"

#include <functional>
#include <memory>

namespace skerry::cloud {

using context_ptr = std::shared_ptr<const api_context>;
using namespace api; // envelope and parameters

void add_admin_routes(const context_ptr& context, std::vector<http::route>& into);
void add_ledger_routes(const context_ptr& context, std::vector<http::route>& into);
void add_node_routes(const context_ptr& context, std::vector<http::route>& into);

inline void run_on_pool(const context_ptr& context, const principal& who, http::responder_ptr to,
                        std::chrono::nanoseconds timeout,
                        std::function<http::response(const query_ticket&)> work) {
  api::run_on_pool(*context->lookups, who, std::move(to), timeout, nullptr, std::move(work));
}

} // namespace skerry::cloud
