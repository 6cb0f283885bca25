#pragma once

// The records that an edge writes about itself: clock notes, and time in which it collected nothing.

#include "actors/base/clock.hpp"
#include "edge/spool/spool.hpp"
#include "schemas/model/payload.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace skerry::edge {

// First records of an epoch: a clock note (whose offset goes to `offset_ns`), and, where the spool was written
// before, what was not collected since: up to `commit_interval` lost with an unclean stop, the rest off.
[[nodiscard]] std::vector<pending_record> opening_records(const open_report& report, clock_source& clock,
                                                          std::chrono::nanoseconds commit_interval,
                                                          std::int64_t& offset_ns);

// A new note where wall time has moved against the monotonic clock since `offset_ns`, which is then updated.
[[nodiscard]] std::optional<pending_record> clock_note_if_moved(clock_source& clock, std::int64_t& offset_ns);

[[nodiscard]] pending_record not_collected_record(std::int64_t from_ns, std::int64_t to_ns, loss_cause cause,
                                                  std::string detail);

} // namespace skerry::edge
