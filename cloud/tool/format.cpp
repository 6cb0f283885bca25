#include "cloud/tool/format.hpp"

#include "actors/node/config.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cmath>

namespace skerry::cloud {

std::string format_count(double value) {
  if (!std::isfinite(value))
    return "?";
  constexpr std::array<const char*, 5> units{"", " k", " M", " G", " T"};
  std::size_t unit = 0;
  while (std::abs(value) >= 10'000 && unit + 1 < units.size()) {
    value /= 1'000;
    ++unit;
  }
  const bool whole = unit == 0 && value == std::floor(value);
  return whole ? fmt::format("{:.0f}", value) : fmt::format("{:.1f}{}", value, units[unit]);
}

std::string format_time(double seconds) {
  constexpr double limit = 253'402'300'799; // the year 9999
  if (!(std::abs(seconds) < limit))
    return "?";
  const auto ms = static_cast<std::int64_t>(std::llround(seconds * 1'000));
  const std::chrono::sys_time<std::chrono::milliseconds> at{std::chrono::milliseconds{ms}};
  const auto day = std::chrono::floor<std::chrono::days>(at);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss time{at - day};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     time.hours().count(), time.minutes().count(), time.seconds().count(),
                     time.subseconds().count());
}

std::string format_age(double seconds) {
  if (!std::isfinite(seconds))
    return "?";
  const auto s = static_cast<std::int64_t>(std::max(0.0, std::min(seconds, 1e12)));
  if (s < 60)
    return fmt::format("{}s", s);
  if (s < 3'600)
    return fmt::format("{}m {}s", s / 60, s % 60);
  if (s < 86'400)
    return fmt::format("{}h {}m", s / 3'600, s / 60 % 60);
  return fmt::format("{}d {}h", s / 86'400, s / 3'600 % 24);
}

std::string absolute_time(const std::string& text, double now_seconds) {
  std::string_view rest{text};
  const bool named = rest.starts_with("now");
  rest.remove_prefix(named ? 3 : 0);
  std::chrono::nanoseconds offset{0};
  if (!rest.empty()) {
    if (rest.front() != '-' && !(named && rest.front() == '+'))
      return text;
    const auto duration = parse_duration(rest.substr(1));
    if (!duration)
      return text;
    offset = rest.front() == '-' ? -duration.value() : duration.value();
  } else if (!named) {
    return text;
  }
  return fmt::format("{:.3f}", now_seconds + std::chrono::duration<double>(offset).count());
}

} // namespace skerry::cloud
