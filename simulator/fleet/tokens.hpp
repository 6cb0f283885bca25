#pragma once

// The file with a fleet's join tokens: whatever `skerry invite` printed, one token a line, or its table, or its JSON.

#include "schemas/error.hpp"

#include <istream>
#include <string>
#include <vector>

namespace skerry::sim {

inline constexpr std::size_t tokens_max = 100'000;

// Every word of `from` that looks like a token, in order. exhausted: more than tokens_max.
[[nodiscard]] result<std::vector<std::string>> find_tokens(std::istream& from);

} // namespace skerry::sim
