#pragma once

// "2:5: parse error: …": a message with its line and column, both from 1.

#include "schemas/error.hpp"

#include <string_view>

namespace skerry::promql {

[[nodiscard]] std::string at_position(std::string_view query, std::size_t at, std::string_view what);

[[nodiscard]] inline auto parse_failure(std::string_view query, std::size_t at, std::string_view what) {
  return fail(errc::invalid_argument, at_position(query, at, what));
}

} // namespace skerry::promql
