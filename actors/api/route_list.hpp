#pragma once

// The routes by subject; make_query_routes() puts them together. Private to this folder.

#include "actors/api/query_api.hpp"

namespace skerry::api {

void add_expression_routes(const query_context_ptr& context, std::vector<http::route>& into);
void add_federate_routes(const query_context_ptr& context, std::vector<http::route>& into);
void add_metadata_routes(const query_context_ptr& context, std::vector<http::route>& into);
void add_query_routes(const query_context_ptr& context, std::vector<http::route>& into);
void add_status_routes(const query_context_ptr& context, std::vector<http::route>& into);
void add_target_routes(const query_context_ptr& context, std::vector<http::route>& into);

[[nodiscard]] inline std::unique_ptr<query_watch> make_watch(const query_context& context,
                                                             const query_ticket& ticket) {
  return context.watch ? context.watch(ticket.who()) : std::make_unique<query_watch>(*context.source);
}

// One handler under several methods; all of it is reading.
using query_handler = void (*)(const query_context_ptr&, const http::request&, http::responder_ptr);
inline void add_route(std::vector<http::route>& into, const query_context_ptr& context,
                      std::initializer_list<const char*> methods, const char* path, query_handler function) {
  for (const auto* method : methods)
    into.emplace_back(method, path, right::read,
                      [context, function](const http::request& r, http::responder_ptr to) {
                        function(context, r, std::move(to));
                      });
}

} // namespace skerry::api
