#pragma once

// What all messages of one key may cost before they are even decoded: bytes of their first parts, the Cap'n Proto ones. A
// Hello or Origins of megabytes is worked on by the one actor that serves everybody, so a key may send few of them. Runs
// and series sets are not counted here: credit, and what was asked for, bound those. Not thread-safe.

#include "actors/delivery/token_bucket.hpp"
#include "actors/link/transport.hpp"
#include "schemas/model/identity.hpp"

#include <cstdint>
#include <unordered_map>

namespace skerry::delivery {

inline constexpr std::uint64_t envelope_bytes_per_second = 1 << 20; // of one key, in the long run
inline constexpr std::int64_t envelope_burst_ns = 32'000'000'000;   // of so much time at once: 32 MiB

class peer_budget {
public:
  // False: more than it may; the message is to be dropped.
  [[nodiscard]] bool take(edge_id user, const link::message_parts& parts, std::int64_t now_ns) {
    const auto [it, first] =
        of_.try_emplace(static_cast<std::uint64_t>(user),
                        token_bucket{static_cast<double>(envelope_bytes_per_second), envelope_burst_ns});
    auto& left = it->second;
    if (!left.open(now_ns))
      return false;
    left.spend(parts.empty() ? 0 : parts.front().view.size());
    return true;
  }

private:
  std::unordered_map<std::uint64_t, token_bucket> of_; // of keys that were let in: bounded by the registry
};

} // namespace skerry::delivery
