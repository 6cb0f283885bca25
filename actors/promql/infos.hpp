#pragma once

// What later versions of Prometheus (3.x) remark on a query that works and may not mean what it says.

#include "actors/promql/ast.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace skerry::promql {

inline constexpr std::size_t infos_max = 100;

// `query` is the text that `e` was parsed from. In the order of the text, each once, infos_max at the most: `rate` and
// `increase` of a metric whose name is no counter's.
[[nodiscard]] std::vector<std::string> infos_of(const expression& e, std::string_view query);

} // namespace skerry::promql
