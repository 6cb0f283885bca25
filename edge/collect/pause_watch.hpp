#pragma once

// Tells when collecting paused: the process was stopped or had no time, or the machine slept. What is due is said by the
// wall clock; how long something took, the boot clock alone says: a wall clock that is set is no pause. Plain logic for
// the agent and the simulator's world; not thread-safe.

#include "actors/base/clock.hpp"
#include "actors/base/planted.hpp"
#include "schemas/time.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <utility>

namespace skerry::edge {

class pause_watch {
public:
  explicit pause_watch(planted_faults planted = nullptr) noexcept : planted_(planted) {}

  // First at each turn: by how much the wall clock was set since the turn before, in whole milliseconds. What is due and
  // what is being waited for moves along. 0: it was not.
  [[nodiscard]] std::int64_t follow(const clock_source& clock) {
    const auto offset_ns = clock.wall_ns() - clock.monotonic_ns();
    const auto before = std::exchange(offset_ns_, offset_ns);
    const auto moved = offset_ns - before;
    if (before == 0 || std::llabs(moved) < clock_step_min_ns
        || planted(planted_, planted_fault::pause_by_wall_clock))
      return 0;
    return moved / ns_per_ms * ns_per_ms;
  }

  // Something is collected every `interval_ns`, and is due next at `due_ns`, 0: not yet. So late that the next one was due
  // already, it was missed.
  void look(std::int64_t due_ns, std::int64_t interval_ns, std::int64_t now_ns) noexcept {
    if (due_ns == 0 || now_ns - due_ns < interval_ns)
      return;
    found_.from_ns = found_.from_ns == 0 ? due_ns : std::min(found_.from_ns, due_ns);
    found_.missed += static_cast<std::uint64_t>((now_ns - due_ns) / interval_ns);
  }

  struct pause {
    std::int64_t from_ns = 0; // 0: nothing was missed
    std::uint64_t missed = 0; // collections
  };
  // Of all that was looked at since the last call.
  [[nodiscard]] pause take() noexcept { return std::exchange(found_, {}); }

private:
  planted_faults planted_;
  std::int64_t offset_ns_ = 0; // wall clock minus boot clock, at the last turn; 0: there was none
  pause found_;
};

} // namespace skerry::edge
