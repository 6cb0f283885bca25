#pragma once

// By which clock commits were stamped: the boot, and how far the wall clock was from the boot clock. Within one boot it
// tells when a commit was by the wall clock as it is set now. Plain values; no I/O.

#include "actors/base/clock.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <span>

namespace skerry::edge {

using boot_name = std::array<std::uint8_t, 16>;

struct clock_stamp {
  boot_name boot{};
  std::int64_t offset_ns = 0; // wall clock minus boot clock
  std::int64_t since_ns = 0;  // of the last commit before, by the boot clock

  bool operator==(const clock_stamp&) const = default;

  [[nodiscard]] static clock_stamp of(const clock_source& clock, const boot_name& boot) {
    const auto boot_ns = clock.monotonic_ns();
    return {boot, clock.wall_ns() - boot_ns, boot_ns};
  }
  // Whether that clock still runs as it did: NTP's slewing is no change, setting it is.
  [[nodiscard]] bool holds(const clock_stamp& now) const noexcept {
    return boot == now.boot && std::llabs(offset_ns - now.offset_ns) < clock_step_min_ns;
  }

  // When the newest of `commits` was, by the clock of `now`; each has the wall time that it was stamped with. Of a boot
  // that is over nobody knows how its clock stood: the newest stamp.
  [[nodiscard]] std::int64_t newest_by(const clock_stamp& now,
                                       std::span<const std::int64_t> commits) const noexcept {
    if (commits.empty())
      return 0;
    if (boot != now.boot)
      return *std::max_element(commits.begin(), commits.end());
    // What was stamped before the clock was set does not fit in.
    auto newest_ns = since_ns;
    for (const auto wall_ns : commits)
      if (const auto boot_ns = wall_ns - offset_ns; boot_ns <= now.since_ns)
        newest_ns = std::max(newest_ns, boot_ns);
    return newest_ns + now.offset_ns;
  }
};

} // namespace skerry::edge
