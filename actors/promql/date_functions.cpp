// Parts of a date, in UTC. Days to year, month and day after Howard Hinnant, "chrono-Compatible Low-Level Date
// Algorithms" (civil_from_days), in 64 bits: any number may come.

#include "actors/promql/vector_functions.hpp"

#include <array>
#include <limits>

namespace skerry::promql {

namespace {

constexpr std::int64_t day_seconds = 86'400;

struct date {
  std::int64_t year = 1970;
  std::int64_t month = 1; // from 1
  std::int64_t day = 1;   // from 1
  std::int64_t days = 0;  // since 1970-01-01
  std::int64_t second = 0;
};

constexpr std::int64_t floor_divide(std::int64_t a, std::int64_t b) noexcept {
  return a / b - (a % b < 0 ? 1 : 0);
}

date date_at(std::int64_t seconds) noexcept {
  // Go's time counts in 64 bits without a sign from a year on that is so long ago; what is before wraps around.
  constexpr std::int64_t go_zero = -9'223'372'028'715'321'600;
  constexpr std::uint64_t wrapped_days = 213'503'982'334'601; // 2^64 seconds, and the rest:
  constexpr std::int64_t wrapped_seconds = 25'216;
  date d;
  d.days = floor_divide(seconds, day_seconds);
  d.second = (seconds % day_seconds + day_seconds) % day_seconds;
  if (seconds < go_zero) {
    d.second += wrapped_seconds;
    d.days += static_cast<std::int64_t>(wrapped_days) + d.second / day_seconds;
    d.second %= day_seconds;
  }
  // Years begin in March here, so that the leap day is a year's last.
  const auto shifted = d.days + 719'468;
  const auto era = floor_divide(shifted, 146'097);
  const auto of_era = shifted - era * 146'097;
  const auto year_of_era = (of_era - of_era / 1'460 + of_era / 36'524 - of_era / 146'096) / 365;
  const auto of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const auto month = (5 * of_year + 2) / 153;
  d.day = of_year - (153 * month + 2) / 5 + 1;
  d.month = month < 10 ? month + 3 : month - 9;
  d.year = year_of_era + era * 400 + (d.month <= 2 ? 1 : 0);
  return d;
}

bool leap(std::int64_t year) noexcept { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

constexpr std::array<std::int64_t, 12> month_days{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

std::int64_t days_in_month(const date& d) noexcept {
  return d.month == 2 && leap(d.year) ? 29 : month_days[static_cast<std::size_t>(d.month - 1)];
}

std::int64_t day_of_year(const date& d) noexcept {
  std::int64_t day = d.day + (d.month > 2 && leap(d.year) ? 1 : 0);
  for (std::int64_t m = 1; m < d.month; ++m)
    day += month_days[static_cast<std::size_t>(m - 1)];
  return day;
}

// Towards zero; what does not fit is the smallest number, as on x86.
std::int64_t to_seconds(double value) noexcept {
  constexpr double limit = 9'223'372'036'854'775'808.0;
  return value >= -limit && value < limit ? static_cast<std::int64_t>(value)
                                          : std::numeric_limits<std::int64_t>::min();
}

// Of the values of an instant vector, or of the steps themselves.
template <class Part>
void parts(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink, Part part) {
  if (!c.arguments.empty()) {
    return drop_names(ev, *c.arguments[0], steps, sink, [&](std::span<double> values) {
      for (auto& v : values)
        if (!is_absent(v))
          v = static_cast<double>(part(date_at(to_seconds(v))));
    });
  }
  step_column column{ev, steps.count};
  const auto out = column.values();
  for (std::size_t k = 0; k < out.size(); ++k)
    out[k] = static_cast<double>(part(date_at(steps.at(k) / 1000)));
  const labels none;
  if (!ev.stopped())
    sink({&none, false, out});
}

} // namespace

void eval_day_of_month(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink) {
  parts(ev, c, steps, sink, [](const date& d) { return d.day; });
}
void eval_day_of_week(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink) {
  // 1970-01-01 was a Thursday.
  parts(ev, c, steps, sink, [](const date& d) { return ((d.days + 4) % 7 + 7) % 7; });
}
void eval_day_of_year(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink) {
  parts(ev, c, steps, sink, day_of_year);
}
void eval_days_in_month(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink) {
  parts(ev, c, steps, sink, days_in_month);
}
void eval_hour(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink) {
  parts(ev, c, steps, sink, [](const date& d) { return d.second / 3'600; });
}
void eval_minute(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink) {
  parts(ev, c, steps, sink, [](const date& d) { return d.second / 60 % 60; });
}
void eval_month(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink) {
  parts(ev, c, steps, sink, [](const date& d) { return d.month; });
}
void eval_year(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink) {
  parts(ev, c, steps, sink, [](const date& d) { return d.year; });
}

} // namespace skerry::promql
