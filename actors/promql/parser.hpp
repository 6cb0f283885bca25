#pragma once

// Tokens to a tree, all of PromQL 2.42. Messages are worded and placed as Prometheus 2.42's are, since people
// search for them: "1:5: parse error: unexpected identifier \"bar\"".
//
// Recursive descent with precedence climbing. Both the recursion and the tree are bounded in depth, so neither
// parsing nor anything that walks a tree later can overflow the stack, whatever the query.

#include "actors/promql/ast.hpp"
#include "actors/promql/literals.hpp"
#include "actors/promql/query_memory.hpp"

#include <string_view>
#include <vector>

namespace skerry::promql {

inline constexpr std::size_t depth_max = 256;      // of nested parentheses, calls, signs, powers
inline constexpr std::size_t tree_depth_max = 512; // a + b + c + … is a tree as deep as it has operators
inline constexpr std::size_t matchers_max = 256;

// A tree whose types fit; it stays counted in `memory` (null: nowhere). invalid_argument: not PromQL; exhausted,
// unavailable: over a bound of its memory.
[[nodiscard]] result<expression_ptr> parse(std::string_view query, query_memory* memory = nullptr);
// For match[]: a selector without range, offset or anything around it. `anything`: also one that every series matches.
[[nodiscard]] result<std::vector<matcher>> parse_selector(std::string_view text, bool anything = false,
                                                          query_memory* memory = nullptr);

} // namespace skerry::promql
