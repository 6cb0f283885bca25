#include "actors/delivery/quota.hpp"

#include <algorithm>

namespace skerry::delivery {

namespace {

using std::chrono::days;
using std::chrono::sys_days;
using system_time = std::chrono::sys_time<std::chrono::nanoseconds>;

sys_days day_of(std::int64_t wall_ns) {
  return std::chrono::floor<days>(system_time{std::chrono::nanoseconds{wall_ns}});
}

std::int64_t month_number(std::chrono::year_month_day date) {
  return 12 * static_cast<std::int64_t>(static_cast<int>(date.year())) + static_cast<unsigned>(date.month())
         - 1;
}

} // namespace

const char* to_string(quota_level level) noexcept {
  switch (level) {
  case quota_level::open: return "open";
  case quota_level::no_backlog: return "no_backlog";
  case quota_level::thinned: return "thinned";
  case quota_level::alerts_only: return "alerts_only";
  case quota_level::exhausted: return "exhausted";
  }
  return "unknown";
}

result<void> quota_config::validate() const {
  if (backlog_until < 0 || live_until < backlog_until || live_until > 1 - reserve || reserve < 0
      || reserve > 0.5)
    return fail(errc::invalid_argument,
                "uplink.quota: 0 <= backlog_until <= live_until <= 1 - reserve, and reserve at most 0.5");
  if (thin_interval < std::chrono::seconds{1})
    return fail(errc::invalid_argument, "uplink.quota.thin_interval must be at least 1s");
  return ok();
}

void quota_meter::turn(std::int64_t wall_ns) {
  const auto today = day_of(wall_ns);
  const auto day = today.time_since_epoch().count();
  const auto month = month_number(today);
  // A clock that goes back does not give a second quota.
  if (day > usage_.day) {
    usage_.day = day;
    usage_.day_bytes = 0;
  }
  if (month > usage_.month) {
    usage_.month = month;
    usage_.month_bytes = 0;
  }
}

void quota_meter::add(std::uint64_t bytes, std::int64_t wall_ns) {
  turn(wall_ns);
  if (usage_.since_ns == 0)
    usage_.since_ns = wall_ns;
  usage_.day_bytes += bytes;
  usage_.month_bytes += bytes;
}

const link_usage& quota_meter::usage(std::int64_t wall_ns) {
  turn(wall_ns);
  return usage_;
}

quota_level quota_meter::level(std::int64_t wall_ns) {
  if (config_.bytes == 0)
    return quota_level::open;
  turn(wall_ns);
  const auto used =
      static_cast<double>(config_.per == quota_period::day ? usage_.day_bytes : usage_.month_bytes)
      / static_cast<double>(config_.bytes);
  if (used < config_.backlog_until)
    return quota_level::open;
  if (used < config_.live_until)
    return quota_level::no_backlog;
  if (used < 1 - config_.reserve)
    return quota_level::thinned;
  return used < 1 ? quota_level::alerts_only : quota_level::exhausted;
}

std::uint64_t quota_meter::month_forecast(std::int64_t wall_ns) {
  turn(wall_ns);
  const std::chrono::year_month_day date{day_of(wall_ns)};
  const sys_days first{date.year() / date.month() / std::chrono::day{1}};
  const sys_days next{(date.year() / date.month() + std::chrono::months{1}) / std::chrono::day{1}};
  const auto from =
      std::max(std::chrono::nanoseconds{usage_.since_ns}, std::chrono::nanoseconds{first.time_since_epoch()});
  const auto passed = std::chrono::nanoseconds{wall_ns} - from;
  if (passed < std::chrono::hours{1})
    return usage_.month_bytes;
  const auto left = std::chrono::nanoseconds{next.time_since_epoch()} - std::chrono::nanoseconds{wall_ns};
  return usage_.month_bytes
         + static_cast<std::uint64_t>(static_cast<double>(usage_.month_bytes)
                                      * static_cast<double>(left.count())
                                      / static_cast<double>(passed.count()));
}

} // namespace skerry::delivery
