#pragma once

// Units of time. Times are nanoseconds in std::int64_t (`_ns`): of the wall clock since 1970 where a name says time or
// watermark, of the boot clock where it says monotonic. PromQL and Prometheus' HTTP API count milliseconds.

#include <cstdint>

namespace skerry {

inline constexpr std::int64_t ns_per_ms = 1'000'000;
inline constexpr std::int64_t ns_per_s = 1'000'000'000;

} // namespace skerry
