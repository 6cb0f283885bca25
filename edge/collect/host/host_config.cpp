#include "edge/collect/host/host_config.hpp"

#include "actors/node/config.hpp"
#include "edge/collect/host/collector.hpp"
#include "edge/collect/host/name_filter.hpp"

#include <fmt/format.h>

#include <string_view>

namespace skerry::edge {

namespace {

result<void> check_names(std::string_view setting, const std::vector<std::string>& names) {
  std::vector<std::string> known;
  for (const auto& entry : host::collector_table())
    known.emplace_back(entry.name);
  for (const auto& name : names) {
    if (std::find(known.begin(), known.end(), name) != known.end())
      continue;
    const auto near = nearest(name, known);
    return fail(errc::invalid_argument,
                near.empty()
                    ? fmt::format("host collectors: {}: there is no collector \"{}\"; known are: {}", setting,
                                  name, fmt::join(known, ", "))
                    : fmt::format("host collectors: {}: there is no collector \"{}\"; did you mean \"{}\"?",
                                  setting, name, near));
  }
  return ok();
}

} // namespace

result<void> host_config::validate() const {
  BOOST_OUTCOME_TRYV(check_names("enabled", enabled));
  BOOST_OUTCOME_TRYV(check_names("disabled", disabled));
  const std::pair<std::string_view, const std::string*> expressions[] = {
      {"filesystem_mount_points_exclude", &filesystem_mount_points_exclude},
      {"filesystem_fs_types_exclude", &filesystem_fs_types_exclude},
      {"diskstats_device_exclude", &diskstats_device_exclude},
      {"netdev_device_exclude", &netdev_device_exclude},
      {"netclass_ignored_devices", &netclass_ignored_devices},
      {"netstat_fields", &netstat_fields},
      {"vmstat_fields", &vmstat_fields},
  };
  for (const auto& [setting, expression] : expressions)
    if (const auto wrong = host::name_filter::compile_error(*expression); !wrong.empty())
      return fail(errc::invalid_argument,
                  fmt::format("host collectors: {}: not a regular expression (RE2): {}", setting, wrong));
  if (series_max == 0 || tasks_max == 0)
    return fail(errc::invalid_argument, "host collectors: series_max and tasks_max must be at least 1");
  if (time_max < std::chrono::milliseconds(1) || time_max > std::chrono::minutes(1))
    return fail(errc::invalid_argument, "host collectors: time_max must lie between 1ms and 1m");
  return ok();
}

} // namespace skerry::edge
