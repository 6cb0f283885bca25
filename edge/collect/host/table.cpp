#include "edge/collect/host/factories.hpp"

namespace skerry::edge::host {

namespace {

constexpr collector_entry entries[] = {
    // name, on by default, may block, factory
    {"cpu", true, false, make_cpu},
    {"cpufreq", true, true, make_cpufreq},
    {"diskstats", true, false, make_diskstats},
    {"entropy", true, false, make_entropy},
    {"filefd", true, false, make_filefd},
    {"filesystem", true, false, make_filesystem}, // asks each mount through the runner itself
    {"hwmon", true, true, make_hwmon},
    {"loadavg", true, false, make_loadavg},
    {"meminfo", true, false, make_meminfo},
    {"netclass", true, true, make_netclass},
    {"netdev", true, false, make_netdev},
    {"netstat", true, false, make_netstat},
    {"os", true, false, make_os},
    {"pressure", true, false, make_pressure},
    {"processes", true, false,
     make_processes}, // off in node_exporter, where it costs more than all others together
    {"sockstat", true, false, make_sockstat},
    {"softnet", true, false, make_softnet},
    {"stat", true, false, make_stat},
    {"thermal_zone", true, true, make_thermal_zone},
    {"time", true, false, make_time},
    {"timex", true, false, make_timex},
    {"uname", true, false, make_uname},
    {"vmstat", true, false, make_vmstat},
};

} // namespace

std::span<const collector_entry> collector_table() noexcept { return entries; }

} // namespace skerry::edge::host
