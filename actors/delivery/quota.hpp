#pragma once

// Bytes that a metered link may carry in a day or a month, and what still goes as they run out. Periods are those of
// UTC. Plain value with what it has counted; not thread-safe.

#include "actors/base/expiry_clock.hpp"
#include "schemas/error.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace skerry::delivery {

enum class quota_period : std::uint8_t { day, month };

struct quota_config {
  std::uint64_t bytes = 0; // of one period; 0: not metered
  quota_period per = quota_period::month;
  double backlog_until = 0.8; // part of `bytes` at which the backlog stops
  double live_until = 0.9;    // ... at which fresh data is thinned to `thin_interval`
  double reserve = 0.05;      // the last part: alerts and what tells of losses only
  std::chrono::nanoseconds thin_interval = std::chrono::minutes{5};

  [[nodiscard]] result<void> validate() const;
};

enum class quota_level : std::uint8_t {
  open,        // everything goes
  no_backlog,  // alerts and fresh data
  thinned,     // alerts, and fresh data once in a while
  alerts_only, // within the reserve
  exhausted,   // nothing until the next period
};
[[nodiscard]] const char* to_string(quota_level level) noexcept;

// What crossed the link, by the day that it was counted for. Kept over restarts by its owner.
struct link_usage {
  std::map<std::int64_t, std::uint64_t> days; // bytes; days since 1970-01-01, the newest usage_days_max
  std::int64_t since_ns = 0;                  // wall time of the first byte ever counted; 0: none yet

  bool operator==(const link_usage&) const = default;
};
inline constexpr std::size_t usage_days_max = 70;

// A new period begins by a time that does not jump (expiry_clock): a clock that stands ahead gives no second quota before
// it has said so for a day of running, or the receiver says the same. Nor does one that goes back. What was counted for
// days that are yet to come counts for today once the receiver's time and the own clock agree on that, or the receiver has
// said so for a day of running: one that is far behind once gives no second quota either.
class quota_meter {
public:
  static constexpr std::chrono::nanoseconds jump_wait = std::chrono::hours{24};

  // `clock`: what clock_note() gave; empty or damaged: nothing is known of earlier runs.
  explicit quota_meter(quota_config config = {}, link_usage from = {}, const std::string& clock = {});

  // From time to time, and before anything that follows. `boot_ns` does not go back.
  void add(std::uint64_t bytes, std::int64_t wall_ns, std::int64_t boot_ns);
  // The receiver says what time it is. How many bytes were set back to today.
  std::uint64_t told_time(std::int64_t server_ns, std::int64_t wall_ns, std::int64_t boot_ns);

  [[nodiscard]] quota_level level() const;
  [[nodiscard]] std::uint64_t day_bytes() const;
  [[nodiscard]] std::uint64_t month_bytes() const;
  // What the month will come to if it goes on like until now; at least an hour of it must have passed.
  [[nodiscard]] std::uint64_t month_forecast() const;
  // By how much the clock is ahead of the time that periods are told by; 0: it is believed.
  [[nodiscard]] std::chrono::nanoseconds clock_ahead() const {
    return clock_ ? clock_->ahead() : std::chrono::nanoseconds{0};
  }
  [[nodiscard]] const link_usage& usage() const noexcept { return usage_; }
  [[nodiscard]] std::string clock_note() const { return clock_ ? clock_->note() : std::string{}; }
  [[nodiscard]] const quota_config& config() const noexcept { return config_; }

private:
  void look(std::int64_t wall_ns, std::int64_t boot_ns);
  [[nodiscard]] std::int64_t today() const;
  [[nodiscard]] std::uint64_t bytes_since(std::int64_t day) const;

  quota_config config_;
  link_usage usage_;
  std::optional<expiry_clock> clock_;                // made with the first look
  std::optional<std::int64_t> server_minus_boot_ns_; // as the receiver said
  std::int64_t server_said_boot_ns_ = 0;             // since when it says that
  std::int64_t now_ns_ = 0;                          // as of the last look
};

} // namespace skerry::delivery
