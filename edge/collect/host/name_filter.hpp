#pragma once

// A regular expression over names that repeat in every collection: each name is matched once and remembered.
// Not thread-safe.

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

namespace re2 {
class RE2;
}

namespace skerry::edge::host {

inline constexpr std::size_t filter_names_max =
    4096; // remembered; beyond, all are forgotten and learned anew

class name_filter {
public:
  explicit name_filter(const std::string& expression); // one that compile_error() passed
  name_filter(name_filter&&) noexcept;
  ~name_filter();

  [[nodiscard]] bool matches(std::string_view name); // anywhere in the name

  // What is wrong with the expression, or "".
  [[nodiscard]] static std::string compile_error(const std::string& expression);

private:
  struct hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const noexcept { return std::hash<std::string_view>{}(s); }
  };
  std::unique_ptr<re2::RE2> expression_;
  std::unordered_map<std::string, bool, hash, std::equal_to<>> known_;
};

} // namespace skerry::edge::host
