#include "simulator/fleet/tokens.hpp"

#include <fmt/format.h>

namespace skerry::sim {

result<std::vector<std::string>> find_tokens(std::istream& from) {
  constexpr std::string_view begin = "skerry-join-";
  constexpr std::string_view around = " \t\r\",;'";
  std::vector<std::string> out;
  for (std::string line; std::getline(from, line);) {
    const auto at = line.find(begin);
    if (at == std::string::npos || line.find_first_not_of(" \t") == line.find('#'))
      continue;
    if (out.size() == tokens_max)
      return fail(errc::exhausted, fmt::format("there are more than {} tokens", tokens_max));
    out.push_back(line.substr(at, line.find_first_of(around, at) - at));
  }
  return out;
}

} // namespace skerry::sim
