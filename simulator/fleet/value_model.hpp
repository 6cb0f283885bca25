#pragma once

// What simulated series say: a value is a pure function of (seed, host, series, time), so that a fleet needs no memory
// for it, and that a host which comes back, or a second run with the same seed, goes on with the same curves.
// Immutable; any thread.

#include "schemas/error.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace skerry::sim {

enum class value_kind : std::uint8_t {
  counter, // grows at a rate of its own with noise, starts again at 0 every 20 to 40 days
  gauge,   // wanders around a base, three decimals
  diurnal, // a gauge that follows the hour of the day, each site at its own hour
  burst,   // a small constant, and now and then minutes of large noise
};
inline constexpr std::size_t value_kinds = 4;
[[nodiscard]] std::string_view to_string(value_kind kind) noexcept;

// How many parts of a host's series are of each kind.
struct value_mix {
  std::array<std::uint32_t, value_kinds> parts{40, 30, 20, 10};

  // "counter=40,gauge=30,diurnal=20,burst=10"; kinds that are not named get 0. invalid_argument: an unknown kind, no
  // number, or nothing but zeros.
  [[nodiscard]] static result<value_mix> parse(std::string_view text);
};

class value_model {
public:
  // `interval` bounds a counter's noise: from one collection to the next it never falls.
  value_model(std::uint64_t seed, value_mix mix, std::size_t series_per_host,
              std::chrono::nanoseconds interval);

  [[nodiscard]] std::size_t series_per_host() const noexcept { return series_per_host_; }
  [[nodiscard]] value_kind kind_of(std::size_t series) const noexcept;
  [[nodiscard]] double value(std::uint64_t host, std::uint64_t site, std::size_t series,
                             std::int64_t time_ns) const noexcept;

private:
  std::uint64_t seed_;
  std::size_t series_per_host_;
  std::int64_t interval_ns_;
  std::array<std::size_t, value_kinds> ends_{}; // series [ends_[k - 1], ends_[k]) are of kind k
};

} // namespace skerry::sim
