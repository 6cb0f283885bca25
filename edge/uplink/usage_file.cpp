#include "edge/uplink/usage_file.hpp"

#include "actors/base/files.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <sstream>

namespace skerry::edge {

namespace {

constexpr std::size_t file_bytes_max = 4096;
constexpr int version_written = 2;
constexpr std::int64_t day_max = 365 * 9999; // of a calendar

// Of the first version: "DAY MONTH DAY_BYTES MONTH_BYTES SINCE_NS PAUSED", MONTH 12 * year + month - 1.
bool read_totals(std::istream& in, kept_usage& out) {
  std::int64_t day = 0, month = 0;
  std::uint64_t day_bytes = 0, month_bytes = 0;
  constexpr std::int64_t month_max = 12 * 9999;
  if (!(in >> day >> month >> day_bytes >> month_bytes >> out.usage.since_ns >> out.backlog_paused) || day < 0
      || day > day_max || month < 0 || month > month_max)
    return false;
  using namespace std::chrono;
  const auto first = sys_days{year{static_cast<int>(month / 12)} / static_cast<int>(month % 12 + 1) / 1};
  auto& days = out.usage.days;
  if (day_bytes != 0)
    days[day] += day_bytes;
  if (month_bytes > day_bytes)
    days[std::min<std::int64_t>(day, first.time_since_epoch().count())] += month_bytes - day_bytes;
  return true;
}

bool read_days(std::istream& in, kept_usage& out) {
  std::string clock[3];
  if (!(in >> out.usage.since_ns >> out.backlog_paused >> clock[0] >> clock[1] >> clock[2]))
    return false;
  out.clock = fmt::format("{} {} {}", clock[0], clock[1], clock[2]);
  std::int64_t day = 0;
  std::uint64_t bytes = 0;
  while (in >> day) {
    if (!(in >> bytes) || day < 0 || day > day_max || out.usage.days.size() == delivery::usage_days_max)
      return false;
    out.usage.days[day] += bytes;
  }
  return in.eof();
}

} // namespace

result<kept_usage> load_usage(const std::filesystem::path& file) {
  const auto text = read_file(file, file_bytes_max);
  if (!text) {
    if (text.error().code != errc::not_found)
      spdlog::warn("uplink: {}; what the link carried today and this month is counted anew",
                   text.error().message);
    return kept_usage{};
  }
  std::istringstream in{text.value()};
  std::string magic;
  int version = 0;
  kept_usage out;
  if (in >> magic >> version && magic == "skerry-usage" && version > version_written)
    return fail(
        errc::unsupported_version,
        fmt::format(
            "{} was written by a newer skerry-edge (format {}, this one knows {}): upgrade, or delete "
            "the file to count anew",
            file.string(), version, version_written));
  if (!in || magic != "skerry-usage" || version < 1
      || !(version == 1 ? read_totals(in, out) : read_days(in, out))) {
    spdlog::warn("uplink: {} is damaged; what the link carried today and this month is counted anew",
                 file.string());
    return kept_usage{};
  }
  return out;
}

result<void> store_usage(const std::filesystem::path& file, const kept_usage& from) {
  auto text = fmt::format("skerry-usage {} {} {} {}", version_written, from.usage.since_ns,
                          from.backlog_paused ? 1 : 0, from.clock.empty() ? "0 0 0" : from.clock);
  for (const auto& [day, bytes] : from.usage.days)
    text += fmt::format(" {} {}", day, bytes);
  return write_file_durably(file, text + "\n");
}

} // namespace skerry::edge
