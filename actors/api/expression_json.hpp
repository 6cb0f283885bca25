#pragma once

// A parsed expression as JSON: what /api/v1/parse_query answers (Prometheus 3).

#include "actors/promql/ast.hpp"

#include <string>

namespace skerry::api {

[[nodiscard]] std::string to_json(const promql::expression& e);

} // namespace skerry::api
