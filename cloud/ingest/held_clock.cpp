#include "cloud/ingest/held_clock.hpp"

#include "schemas/time.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>

namespace skerry::cloud {

namespace {

constexpr std::string_view clock_key = "ingest/clock";

} // namespace

held_clock::held_clock(clock_source& clock, state_store& store) : clock_(clock) {
  std::int64_t noted_ns = 0;
  const auto scanned = store.scan_state(clock_key, [&](std::string_view key, std::string_view value) {
    if (key == clock_key)
      std::from_chars(value.data(), value.data() + value.size(), noted_ns);
  });
  if (!scanned)
    spdlog::error("ingest: when this node last ran cannot be read: {}", scanned.error().message);
  if (noted_ns <= 0)
    return;
  least_ns_ = noted_ns - clock_.monotonic_ns();
  if (const auto behind = noted_ns - clock_.wall_ns(); behind > ns_per_s)
    spdlog::warn(
        "ingest: this machine's clock is {} s behind what it was when this node last ran: set it right; what "
        "edges send is judged by the later time",
        behind / ns_per_s);
}

std::int64_t held_clock::wall_ns() const noexcept {
  const auto wall = clock_.wall_ns();
  return least_ns_ == INT64_MIN ? wall : std::max(wall, least_ns_ + clock_.monotonic_ns());
}

state_update held_clock::note() const { return {std::string{clock_key}, std::to_string(wall_ns())}; }

} // namespace skerry::cloud
