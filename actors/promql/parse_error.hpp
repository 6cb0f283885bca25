#pragma once

// "2:5: parse error: …": a message with its line and column, both from 1. A tab or a wide character counts by its bytes.

#include "schemas/error.hpp"

#include <string>
#include <string_view>

namespace skerry::promql {

[[nodiscard]] std::string line_and_column(std::string_view query, std::size_t at); // "2:5"
[[nodiscard]] std::string at_position(std::string_view query, std::size_t at, std::string_view what);

[[nodiscard]] inline auto parse_failure(std::string_view query, std::size_t at, std::string_view what) {
  return fail(errc::invalid_argument, at_position(query, at, what));
}

} // namespace skerry::promql
