#include "edge/collect/host/host_config.hpp"

#include "actors/node/config.hpp"
#include "edge/collect/host/collector.hpp"
#include "edge/collect/host/name_filter.hpp"

#include <fmt/format.h>

#include <string_view>

namespace skerry::edge {

namespace {

// Says each name of `names` that is no collector.
void check_names(std::string_view setting, const std::vector<std::string>& names,
                 std::vector<host_config::mistake>& into) {
  std::vector<std::string> known;
  for (const auto& entry : host::collector_table())
    known.emplace_back(entry.name);
  for (const auto& name : names) {
    if (std::find(known.begin(), known.end(), name) != known.end())
      continue;
    const auto near = nearest(name, known);
    into.push_back({setting, near.empty() ? fmt::format("there is no collector \"{}\"; known are: {}", name,
                                                        fmt::join(known, ", "))
                                          : fmt::format("there is no collector \"{}\"; did you mean \"{}\"?",
                                                        name, near)});
  }
}

} // namespace

std::vector<host_config::mistake> host_config::mistakes() const {
  std::vector<mistake> out;
  check_names("enabled", enabled, out);
  check_names("disabled", disabled, out);
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
      out.push_back({setting, fmt::format("not a regular expression (RE2): {}", wrong)});
  if (series_max == 0)
    out.push_back({"series_max", "must be at least 1"});
  if (tasks_max == 0)
    out.push_back({"tasks_max", "must be at least 1"});
  if (time_max < std::chrono::milliseconds(1) || time_max > std::chrono::minutes(1))
    out.push_back({"time_max", "must lie between 1ms and 1m"});
  return out;
}

result<void> host_config::validate() const {
  const auto all = mistakes();
  if (all.empty())
    return ok();
  return fail(errc::invalid_argument,
              fmt::format("host collectors: {}: {}", all.front().setting, all.front().what));
}

} // namespace skerry::edge
