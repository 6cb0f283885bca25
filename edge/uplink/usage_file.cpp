#include "edge/uplink/usage_file.hpp"

#include "actors/node/files.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <sstream>

namespace skerry::edge {

namespace {

constexpr std::size_t file_bytes_max = 4096;
constexpr int version_written = 1;

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
      || !(in >> out.usage.day >> out.usage.month >> out.usage.day_bytes >> out.usage.month_bytes
           >> out.usage.since_ns >> out.backlog_paused)) {
    spdlog::warn("uplink: {} is damaged; what the link carried today and this month is counted anew",
                 file.string());
    return kept_usage{};
  }
  return out;
}

result<void> store_usage(const std::filesystem::path& file, const kept_usage& from) {
  return write_file_durably(file, fmt::format("skerry-usage {} {} {} {} {} {} {}\n", version_written,
                                              from.usage.day, from.usage.month, from.usage.day_bytes,
                                              from.usage.month_bytes, from.usage.since_ns,
                                              from.backlog_paused ? 1 : 0));
}

} // namespace skerry::edge
