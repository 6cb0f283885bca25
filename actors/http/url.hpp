#pragma once

// Percent-decoding of paths, query strings and form bodies. Pure functions.

#include "schemas/error.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace skerry::http {

// A query or a form with more parameters than this is malformed.
inline constexpr std::size_t parameters_max = 16'384;

enum class plus : bool { literal, is_space }; // a space in queries and forms, itself in paths

// malformed: a `%` without two hexadecimal digits after it.
[[nodiscard]] result<std::string> percent_decode(std::string_view text, plus meaning);

using parameter_list = std::vector<std::pair<std::string, std::string>>;
// Appends what "a=1&b=x+y" says. malformed: a bad escape, or more than `parameters_max` in the list.
[[nodiscard]] result<void> decode_parameters(std::string_view text, parameter_list& into);

struct target_parts {
  std::string_view path; // still encoded; begins with '/'
  std::string_view query;
  std::string_view authority; // "host:port" of the second form
};
// From the request line: "/path?query", or "http://host/path?query". malformed: anything else.
[[nodiscard]] result<target_parts> split_target(std::string_view target);

} // namespace skerry::http
