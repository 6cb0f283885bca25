#pragma once

// Who asks, and what they may. Plain data that travels with a request into the queries and jobs that it starts. A copy is
// cheap; any thread may read one.

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skerry {

// What a route may need. A role is a set of these.
enum class right : std::uint8_t {
  read,       // see data, states and health
  push,       // bring samples
  name_site,  // say of samples that are brought which site they are of
  operate,    // what operators do day by day: pause a backlog, take back an entry of the ledger
  administer, // decide who joins, what is deleted, and which configuration is in force
};
[[nodiscard]] constexpr std::string_view to_string(right one) noexcept {
  switch (one) {
  case right::read: return "read";
  case right::push: return "push";
  case right::name_site: return "name_site";
  case right::operate: return "operate";
  case right::administer: return "administer";
  }
  return "unknown";
}

class rights {
public:
  constexpr rights() = default; // none
  constexpr rights(std::initializer_list<right> all) {
    for (const auto one : all)
      bits_ |= bit(one);
  }
  [[nodiscard]] static constexpr rights every() {
    return {right::read, right::push, right::name_site, right::operate, right::administer};
  }
  [[nodiscard]] constexpr bool has(right one) const noexcept { return (bits_ & bit(one)) != 0; }

private:
  static constexpr unsigned bit(right one) noexcept { return 1u << static_cast<unsigned>(one); }
  unsigned bits_ = 0;
};

struct principal {
  std::string subject; // for people and logs: "operator socket", "bearer token", "this machine"
  rights may;
  std::optional<std::vector<std::string>> sites; // that it may see; none given: all

  [[nodiscard]] bool sees(std::string_view site) const {
    return !sites || std::find(sites->begin(), sites->end(), site) != sites->end();
  }
};

} // namespace skerry
