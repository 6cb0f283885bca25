#include "actors/delivery/quota.hpp"

#include <algorithm>
#include <cstdlib>

namespace skerry::delivery {

namespace {

using std::chrono::days;
using std::chrono::sys_days;
using system_time = std::chrono::sys_time<std::chrono::nanoseconds>;

std::int64_t day_of(std::int64_t wall_ns) {
  return std::chrono::floor<days>(system_time{std::chrono::nanoseconds{wall_ns}}).time_since_epoch().count();
}

// The first day of the month of `day`, and of the one after it.
std::pair<sys_days, sys_days> month_of(std::int64_t day) {
  const std::chrono::year_month_day date{sys_days{days{day}}};
  return {sys_days{date.year() / date.month() / std::chrono::day{1}},
          sys_days{(date.year() / date.month() + std::chrono::months{1}) / std::chrono::day{1}}};
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

quota_meter::quota_meter(quota_config config, link_usage from, const std::string& clock)
    : config_(config), usage_(std::move(from)), clock_(expiry_clock::from_note(jump_wait, clock)) {}

void quota_meter::look(std::int64_t wall_ns, std::int64_t boot_ns) {
  const auto claimed_ns = server_minus_boot_ns_ ? boot_ns + *server_minus_boot_ns_ : wall_ns;
  if (!clock_)
    clock_.emplace(jump_wait, claimed_ns);
  now_ns_ = clock_->now_ns(claimed_ns, boot_ns);
}

std::int64_t quota_meter::today() const {
  const auto day = day_of(now_ns_);
  return usage_.days.empty() ? day : std::max(day, usage_.days.rbegin()->first);
}

void quota_meter::add(std::uint64_t bytes, std::int64_t wall_ns, std::int64_t boot_ns) {
  look(wall_ns, boot_ns);
  if (bytes == 0)
    return;
  if (usage_.since_ns == 0)
    usage_.since_ns = now_ns_;
  usage_.days[today()] += bytes;
  while (usage_.days.size() > usage_days_max)
    usage_.days.erase(usage_.days.begin());
}

std::uint64_t quota_meter::told_time(std::int64_t server_ns, std::int64_t wall_ns, std::int64_t boot_ns) {
  if (server_ns <= 0)
    return 0;                                     // it does not say
  server_ns = std::min(server_ns, INT64_MAX / 2); // it may say anything
  const auto apart = [](std::int64_t a, std::int64_t b) {
    return std::abs(a - b) > expiry_clock::jump_min.count();
  };
  if (!server_minus_boot_ns_ || apart(*server_minus_boot_ns_, server_ns - boot_ns))
    server_said_boot_ns_ = boot_ns;
  server_minus_boot_ns_ = server_ns - boot_ns;
  // Ahead of this clock too: then that one waits like any jump. Else two clocks say that it is as late as that.
  if (server_ns - wall_ns <= expiry_clock::jump_min.count())
    clock_.emplace(jump_wait, server_ns);
  look(wall_ns, boot_ns);
  std::uint64_t set_back = 0;
  const bool sure = !apart(server_ns, wall_ns) || boot_ns - server_said_boot_ns_ >= jump_wait.count();
  if (clock_->ahead().count() != 0 || !sure)
    return set_back;
  const auto day = day_of(now_ns_);
  for (auto it = usage_.days.upper_bound(day); it != usage_.days.end(); it = usage_.days.erase(it))
    set_back += it->second;
  if (set_back != 0)
    usage_.days[day] += set_back;
  usage_.since_ns = std::min(usage_.since_ns, now_ns_);
  return set_back;
}

std::uint64_t quota_meter::bytes_since(std::int64_t day) const {
  std::uint64_t out = 0;
  for (auto it = usage_.days.lower_bound(day); it != usage_.days.end(); ++it)
    out += it->second;
  return out;
}

std::uint64_t quota_meter::day_bytes() const { return bytes_since(today()); }

std::uint64_t quota_meter::month_bytes() const {
  return bytes_since(month_of(today()).first.time_since_epoch().count());
}

quota_level quota_meter::level() const {
  if (config_.bytes == 0)
    return quota_level::open;
  const auto used = static_cast<double>(config_.per == quota_period::day ? day_bytes() : month_bytes())
                    / static_cast<double>(config_.bytes);
  if (used < config_.backlog_until)
    return quota_level::open;
  if (used < config_.live_until)
    return quota_level::no_backlog;
  if (used < 1 - config_.reserve)
    return quota_level::thinned;
  return used < 1 ? quota_level::alerts_only : quota_level::exhausted;
}

std::uint64_t quota_meter::month_forecast() const {
  const auto [first, next] = month_of(today());
  const auto from =
      std::max(std::chrono::nanoseconds{usage_.since_ns}, std::chrono::nanoseconds{first.time_since_epoch()});
  const auto passed = std::chrono::nanoseconds{now_ns_} - from;
  const auto bytes = month_bytes();
  if (passed < std::chrono::hours{1})
    return bytes;
  const auto left = std::chrono::nanoseconds{next.time_since_epoch()} - std::chrono::nanoseconds{now_ns_};
  return bytes
         + static_cast<std::uint64_t>(static_cast<double>(bytes) * static_cast<double>(left.count())
                                      / static_cast<double>(passed.count()));
}

} // namespace skerry::delivery
