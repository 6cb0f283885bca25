#pragma once

// A tree back to text, as Prometheus writes it: on one line, or broken where a part is longer than
// pretty_line_max.

#include "actors/promql/ast.hpp"

#include <string>

namespace skerry::promql {

inline constexpr std::size_t pretty_line_max = 100;

[[nodiscard]] std::string to_string(const expression& e);
// What /api/v1/format_query answers.
[[nodiscard]] std::string pretty(const expression& e, std::size_t line_max = pretty_line_max);
[[nodiscard]] std::string to_string(const matcher& m); // name=~"value"

} // namespace skerry::promql
