#pragma once

// Bytes that a metered link may carry in a day or a month, and what still goes as they run out. Periods are those of
// UTC. Plain value with what it has counted; not thread-safe.

#include "schemas/error.hpp"

#include <chrono>
#include <cstdint>

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

// What crossed the link: of today, of this month, and since the meter began. Kept over restarts by its owner.
struct link_usage {
  std::int64_t day = 0;   // days since 1970-01-01
  std::int64_t month = 0; // 12 * year + month - 1
  std::uint64_t day_bytes = 0;
  std::uint64_t month_bytes = 0;
  std::int64_t since_ns = 0; // wall time of the first byte ever counted; 0: none yet

  bool operator==(const link_usage&) const = default;
};

class quota_meter {
public:
  explicit quota_meter(quota_config config = {}, link_usage from = {}) : config_(config), usage_(from) {}

  void add(std::uint64_t bytes, std::int64_t wall_ns);
  [[nodiscard]] quota_level level(std::int64_t wall_ns);
  [[nodiscard]] const link_usage& usage(std::int64_t wall_ns); // of the periods that `wall_ns` lies in
  // What the month will come to if it goes on like until now; at least an hour of it must have passed.
  [[nodiscard]] std::uint64_t month_forecast(std::int64_t wall_ns);
  [[nodiscard]] const quota_config& config() const noexcept { return config_; }

private:
  void turn(std::int64_t wall_ns);

  quota_config config_;
  link_usage usage_;
};

} // namespace skerry::delivery
