#pragma once

// Divides what a receiver may hold in memory among its sessions: first among the sites, then among the edges of each,
// max-min fair. A site with many edges takes nothing from one with few. Pure functions.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace skerry::delivery {

struct credit_claim {
  std::string_view site;
  std::uint64_t wanted = 0; // bytes
};

// Nobody gets more than it wants; whoever wants more than its part gets as much as anybody else who does.
[[nodiscard]] std::vector<std::uint64_t> fair_shares(std::uint64_t budget,
                                                     const std::vector<std::uint64_t>& wanted);

// By claim. Everyone has `least` (or what it wants, if that is less), also where all of that is beyond the budget; the
// rest is shared. Rounded down to steps of an eighth, so that little changes when one comes or goes.
[[nodiscard]] std::vector<std::uint64_t> share_credit(std::uint64_t budget, std::uint64_t least,
                                                      const std::vector<credit_claim>& claims);

[[nodiscard]] std::uint64_t round_credit(std::uint64_t bytes, std::uint64_t least) noexcept;

} // namespace skerry::delivery
