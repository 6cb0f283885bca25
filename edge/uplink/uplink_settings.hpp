#pragma once

// What of an uplink is for its user to say, besides what the sender has.

#include "actors/delivery/quota.hpp"

#include <chrono>

namespace skerry::edge {

struct uplink_settings {
  std::chrono::nanoseconds failover_after = std::chrono::seconds{20}; // without a session: the next address
  // A backlog that lasts gets a connection of its own where the round trip is at least this long; 0: never.
  std::chrono::nanoseconds backlog_apart_from = std::chrono::milliseconds{200};
  delivery::quota_config quota;
};

} // namespace skerry::edge
