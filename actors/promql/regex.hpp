#pragma once

// Regular expressions with a bound on what they take. Only for sources: it pulls RE2 in.

#include "schemas/error.hpp"

#include <re2/re2.h>

#include <cstdint>
#include <memory>
#include <string>

namespace skerry::promql {

struct compiled_regex {
  std::unique_ptr<const re2::RE2> regex; // anchored at both ends
  std::uint64_t memory_max = 0;          // program, and what matching may add to it
};

// invalid_argument: RE2's message.
[[nodiscard]] result<compiled_regex> compile_regex(const std::string& pattern);

} // namespace skerry::promql
