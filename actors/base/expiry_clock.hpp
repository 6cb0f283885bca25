#pragma once

// The time by which age is judged where what is old is destroyed. It follows the wall clock, but for a jump ahead:
// a clock that stands ahead of the time that has passed, after a start too, is believed only when it has said so for
// a while of running. Until then this time goes on from what it was. Never ahead of the wall clock. Plain: one thread
// at a time.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace skerry {

class expiry_clock {
public:
  // Ahead by less is no jump: a restart, a clock that is set.
  static constexpr std::chrono::nanoseconds jump_min = std::chrono::hours{1};

  // `began_ns`: where nothing is known of earlier runs, the latest time that is sure to have passed.
  // `jump_wait`: how long of running a jump is waited for.
  expiry_clock(std::chrono::nanoseconds jump_wait, std::int64_t began_ns) noexcept
      : jump_wait_ns_(jump_wait.count()), passed_ns_(began_ns) {}

  // From what note() gave; nullopt: it does not parse.
  [[nodiscard]] static std::optional<expiry_clock> from_note(std::chrono::nanoseconds jump_wait,
                                                             std::string_view note);
  // To be kept now and then, at least once in jump_min.
  [[nodiscard]] std::string note() const;

  // Ask at least once in jump_min. `boot_ns` does not go back within a process.
  [[nodiscard]] std::int64_t now_ns(std::int64_t wall_ns, std::int64_t boot_ns) noexcept;
  // By how much the wall clock was ahead when it was last read, while that is not believed; else 0.
  [[nodiscard]] std::chrono::nanoseconds ahead() const noexcept {
    return std::chrono::nanoseconds{ahead_ns_};
  }

private:
  std::int64_t jump_wait_ns_;
  std::int64_t passed_ns_;                 // what the wall clock should say at least
  std::optional<std::int64_t> claimed_ns_; // what it says since a jump
  std::int64_t waited_ns_ = 0;             // for how long of running it has said so
  std::optional<std::int64_t> boot_ns_;    // as of the last call
  std::int64_t ahead_ns_ = 0;
};

} // namespace skerry
