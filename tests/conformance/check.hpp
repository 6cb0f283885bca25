#pragma once

// Runs one eval command against a source: the query itself, the same with every selector pinned (`@`) at other
// times, and each of these in the middle of a range query. Prometheus' own harness checks the same.

#include "actors/promql/evaluator.hpp"
#include "tests/conformance/script.hpp"

#include <string>

namespace skerry::conformance {

// What went wrong, with what was expected and what came; "" when all is well.
[[nodiscard]] std::string check(const eval_command& what, promql::series_source& source);

} // namespace skerry::conformance
