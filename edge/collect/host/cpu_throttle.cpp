#include "edge/collect/host/cpu_throttle.hpp"

#include "edge/collect/host/files.hpp"
#include "edge/collect/host/text.hpp"

#include <algorithm>

namespace skerry::edge::host {

void cpu_throttle::find() {
  cores_.clear();
  packages_.clear();
  const auto cpus = directory::open(cpus_);
  if (!cpus)
    return;
  const auto names = cpus.value().list();
  if (!names)
    return;
  for (const auto& name : names.value()) {
    if (!name.starts_with("cpu") || name.size() < 4 || name[3] < '0' || name[3] > '9')
      continue;
    const auto cpu = cpus.value().sub(name.c_str());
    if (!cpu)
      continue;
    char page[small_file_bytes];
    const auto number = [&](const char* file) {
      const auto text = cpu.value().read(file, page);
      const auto value = text ? parse_number<std::uint64_t>(text.value()) : std::nullopt;
      return value ? std::to_string(*value) : std::string();
    };
    const auto package = number("topology/physical_package_id");
    const auto core = number("topology/core_id");
    if (package.empty() || core.empty())
      continue;
    const auto known = [&](const std::vector<counter>& all, std::string_view of) {
      return std::any_of(all.begin(), all.end(),
                         [&](const counter& c) { return c.package == package && c.core == of; });
    };
    if (!known(cores_, core) && cpu.value().contains("thermal_throttle/core_throttle_count"))
      cores_.push_back({name + "/thermal_throttle/core_throttle_count", package, core});
    if (!known(packages_, "") && cpu.value().contains("thermal_throttle/package_throttle_count"))
      packages_.push_back({name + "/thermal_throttle/package_throttle_count", package, ""});
  }
}

void cpu_throttle::collect(family_sink& sink, std::size_t cpu_count) {
  if (cpu_count != cpu_count_) {
    cpu_count_ = cpu_count;
    find();
  }
  if (cores_.empty() && packages_.empty())
    return;
  const auto cpus = directory::open(cpus_);
  if (!cpus)
    return;
  char page[small_file_bytes];
  const auto add = [&](open_family& family, const counter& c) {
    const auto text = cpus.value().read(c.file.c_str(), page);
    if (const auto value = text ? parse_number<double>(text.value()) : std::nullopt)
      sink.add(family, *value, {{"core", c.core}, {"package", c.package}});
  };
  open_family package{"node_cpu_package_throttles_total", metric_type::counter,
                      "Times that this CPU package was slowed down because of heat."};
  open_family core{"node_cpu_core_throttles_total", metric_type::counter,
                   "Times that this CPU core was slowed down because of heat."};
  for (const auto& c : packages_)
    add(package, c);
  for (const auto& c : cores_)
    add(core, c);
}

} // namespace skerry::edge::host
