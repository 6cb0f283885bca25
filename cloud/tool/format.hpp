#pragma once

// Numbers and times for people.

#include <cstdint>
#include <string>

namespace skerry::cloud {

[[nodiscard]] std::string format_count(double value); // "507", "1.2 k", "3.4 M"
// "now", "now-5m", "now+1h", "-1h" (before now) as Unix seconds; everything else as it is, for the node to read or refuse.
[[nodiscard]] std::string absolute_time(const std::string& text, double now_seconds);
[[nodiscard]] std::string format_time(double seconds); // "2026-11-20T05:22:00.000Z"
[[nodiscard]] std::string format_age(double seconds);  // "3s", "2m 10s", "5h 3m", "4d 2h"

} // namespace skerry::cloud
