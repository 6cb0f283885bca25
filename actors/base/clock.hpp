#pragma once

// Time and randomness as interfaces, so that a seeded world can stand behind the same code.

#include <array>
#include <cstdint>
#include <span>

namespace skerry {

// All methods may be called from any thread.
class clock_source {
public:
  virtual ~clock_source() = default;
  [[nodiscard]] virtual std::int64_t wall_ns() const noexcept = 0;      // CLOCK_REALTIME; may jump
  [[nodiscard]] virtual std::int64_t monotonic_ns() const noexcept = 0; // CLOCK_BOOTTIME; never goes back
};

// A wall clock that moves against the boot clock by less is slewed, as NTP does; by more, it was set.
inline constexpr std::int64_t clock_step_min_ns = 50'000'000;

class random_source {
public:
  virtual ~random_source() = default;
  virtual void fill(std::span<std::uint8_t> out) noexcept = 0;
  [[nodiscard]] std::uint64_t next() noexcept;
  [[nodiscard]] std::array<std::uint8_t, 16> next_128() noexcept;
};

[[nodiscard]] clock_source& system_clock() noexcept;
// The kernel's name for the time since it started: the boot clock counts from there. Zeros where it gives none.
[[nodiscard]] std::array<std::uint8_t, 16> boot_id() noexcept;
[[nodiscard]] random_source& system_random() noexcept; // libsodium; thread-safe

} // namespace skerry
