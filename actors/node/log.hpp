#pragma once

// The log of a process: one line for each event on stderr, in logfmt, times in UTC with milliseconds:
//   time=2024-05-01T12:00:00.123Z level=info msg="spool: opened 3 segments"
// Quotes, backslashes, control characters and bytes that are no UTF-8 are escaped, so nothing that came from outside
// can forge a line or upset a terminal.

#include "actors/base/clock.hpp"
#include "schemas/error.hpp"

#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace skerry {

// Longer messages are cut, and say so.
inline constexpr std::size_t log_message_bytes_max = 8 << 10;

// Makes stderr in this format the default logger. invalid_argument: no such level. Main thread, before others log.
[[nodiscard]] result<void> start_logging(std::string_view level);
// "debug", "info", "warn", "error", "off". Any thread, at any time: a reload changes the level.
[[nodiscard]] result<void> set_log_level(std::string_view level);

// invalid_argument: no such level; the message lists them.
[[nodiscard]] result<void> check_log_level(std::string_view level);

[[nodiscard]] std::string logfmt_line(std::chrono::system_clock::time_point time,
                                      spdlog::level::level_enum level, std::string_view message);

// For a message that an unlucky day would repeat by the thousand: lets one through every so often and counts the
// rest. Thread-safe.
class rate_limited {
public:
  explicit rate_limited(std::chrono::nanoseconds every, clock_source& clock = system_clock())
      : every_ns_(every.count()), clock_(clock) {}

  // How many were held back since the last one that got through; nothing where this one is held back too.
  [[nodiscard]] std::optional<std::uint64_t> admit();

  template <class... Arguments>
  void log(spdlog::level::level_enum level, fmt::format_string<Arguments...> format,
           Arguments&&... arguments) {
    const auto held_back = admit();
    if (!held_back)
      return;
    auto message = fmt::format(format, std::forward<Arguments>(arguments)...);
    if (*held_back > 0)
      message += fmt::format(" ({} more like this were not logged)", *held_back);
    spdlog::log(level, "{}", message);
  }

private:
  std::mutex mutex_;
  const std::int64_t every_ns_;
  clock_source& clock_;
  std::optional<std::int64_t> last_ns_;
  std::uint64_t held_back_ = 0;
};

} // namespace skerry
