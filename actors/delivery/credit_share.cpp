#include "actors/delivery/credit_share.hpp"

#include <algorithm>
#include <bit>
#include <map>
#include <numeric>

namespace skerry::delivery {

std::vector<std::uint64_t> fair_shares(std::uint64_t budget, const std::vector<std::uint64_t>& wanted) {
  std::vector<std::size_t> order(wanted.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return wanted[a] < wanted[b]; });
  std::vector<std::uint64_t> out(wanted.size());
  auto left = order.size();
  for (const auto i : order) {
    out[i] = std::min(wanted[i], budget / left--);
    budget -= out[i];
  }
  return out;
}

std::uint64_t round_credit(std::uint64_t bytes, std::uint64_t least) noexcept {
  if (bytes < 8)
    return std::max(bytes, least);
  const auto step = std::uint64_t{1} << (std::bit_width(bytes) - 4);
  return std::max(bytes / step * step, std::min(bytes, least));
}

std::vector<std::uint64_t> share_credit(std::uint64_t budget, std::uint64_t least,
                                        const std::vector<credit_claim>& claims) {
  std::vector<std::uint64_t> out;
  std::map<std::string_view, std::vector<std::size_t>> sites;
  for (std::size_t i = 0; i < claims.size(); ++i) {
    out.push_back(std::min(claims[i].wanted, least));
    budget -= std::min(budget, out.back());
    sites[claims[i].site].push_back(i);
  }
  std::vector<std::uint64_t> by_site;
  for (const auto& [site, members] : sites)
    by_site.push_back(
        std::accumulate(members.begin(), members.end(), std::uint64_t{0},
                        [&](std::uint64_t sum, std::size_t i) { return sum + claims[i].wanted - out[i]; }));
  by_site = fair_shares(budget, by_site);
  std::size_t next = 0;
  for (const auto& [site, members] : sites) {
    std::vector<std::uint64_t> more;
    for (const auto i : members)
      more.push_back(claims[i].wanted - out[i]);
    more = fair_shares(by_site[next++], more);
    for (std::size_t m = 0; m < members.size(); ++m) {
      auto& mine = out[members[m]];
      mine += more[m];
      if (mine < claims[members[m]].wanted)
        mine = round_credit(mine, least);
    }
  }
  return out;
}

} // namespace skerry::delivery
