#pragma once

// What of a gateway is for its user to say.

#include "edge/gateway/spool_limits.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>

namespace skerry::edge {

struct gateway_settings {
  std::chrono::milliseconds commit_interval{100}; // what is lost at most with a killed process; up to 1 s
  std::uint64_t group_bytes_max = 4 << 20;        // committed at once when reached
  std::uint64_t queue_bytes_max =
      64 << 20; // while the spool refuses; beyond, collections are dropped and noted
  spool_limits_config limits;
  // A line for each commit, after it returned: "edge epoch stream first last". For tests; empty: none.
  std::filesystem::path journal;

  [[nodiscard]] result<void> validate() const;
};

} // namespace skerry::edge
