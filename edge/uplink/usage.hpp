#pragma once

// What the link has carried, and whether the backlog is paused: kept over restarts.

#include "actors/delivery/quota.hpp"

#include <string>

namespace skerry::edge {

struct kept_usage {
  delivery::link_usage usage;
  std::string clock; // quota_meter::clock_note()
  bool backlog_paused = false;

  bool operator==(const kept_usage&) const = default;
};

// Where it is kept. The uplink's thread.
class usage_keeper {
public:
  virtual ~usage_keeper() = default;
  // Nothing was kept, or it is damaged: empty. unsupported_version: a newer version wrote it.
  [[nodiscard]] virtual result<kept_usage> load() = 0;
  // Durable when it returns; a failure leaves what was kept before.
  [[nodiscard]] virtual result<void> store(const kept_usage& from) = 0;
};

} // namespace skerry::edge
