#pragma once

// Tokens to a tree. Messages are worded and placed as Prometheus 2.42's are, since people search for them:
// "1:5: parse error: unexpected identifier \"bar\"".

#include "actors/promql/ast.hpp"

#include <string_view>
#include <vector>

namespace skerry::promql {

inline constexpr std::size_t depth_max = 256; // of nested parentheses
inline constexpr std::size_t matchers_max = 256;

// invalid_argument: not PromQL, or (the message says so) PromQL that this version does not evaluate yet.
[[nodiscard]] result<expression_ptr> parse(std::string_view query);
// For match[]: a selector without range, offset or anything around it.
[[nodiscard]] result<std::vector<matcher>> parse_selector(std::string_view text);

// "1h30m" to milliseconds, as Prometheus reads durations; units in falling order, "0" is allowed.
[[nodiscard]] result<std::int64_t> parse_duration_ms(std::string_view text);

} // namespace skerry::promql
