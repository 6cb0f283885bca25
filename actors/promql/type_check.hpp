#pragma once

// Whether operators and functions are given what they take. Runs over a whole tree once its syntax is fine.

#include "actors/promql/ast.hpp"

namespace skerry::promql {

// invalid_argument: the first misfit, in Prometheus' words and order.
[[nodiscard]] result<void> check_types(const expression& tree, std::string_view query);
// What a selector must keep to, wherever it stands.
[[nodiscard]] result<void> check_selector(const vector_selector& selector, std::size_t at,
                                          std::string_view query);

} // namespace skerry::promql
