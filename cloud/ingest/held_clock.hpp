#pragma once

// A wall clock that does not go back over a restart: what was noted in the store, and the time since this start, is the
// least that it says. A node that starts in the past would take what its edges send for samples from the future, and
// write them off. Any thread; note() on one.

#include "actors/base/clock.hpp"
#include "cloud/store/state.hpp"

#include <memory>

namespace skerry::cloud {

class held_clock final : public clock_source {
public:
  // Reads what was noted.
  held_clock(clock_source& clock, state_store& store);

  [[nodiscard]] std::int64_t wall_ns() const noexcept override;
  [[nodiscard]] std::int64_t monotonic_ns() const noexcept override { return clock_.monotonic_ns(); }
  [[nodiscard]] state_update note() const; // to be put into the store now and then

private:
  clock_source& clock_;
  std::int64_t least_ns_ = INT64_MIN; // wall time minus monotonic time
};

} // namespace skerry::cloud
