#pragma once

// The factory of each collector; the table in table.cpp names them. All throw nothing but std::bad_alloc.

#include "edge/collect/host/collector.hpp"

#include <memory>

namespace skerry::edge::host {

using collector_ptr = std::unique_ptr<collector>;

collector_ptr make_cpu(const collector_context& context);
collector_ptr make_cpufreq(const collector_context& context);
collector_ptr make_diskstats(const collector_context& context);
collector_ptr make_entropy(const collector_context& context);
collector_ptr make_filefd(const collector_context& context);
collector_ptr make_filesystem(const collector_context& context);
collector_ptr make_hwmon(const collector_context& context);
collector_ptr make_loadavg(const collector_context& context);
collector_ptr make_meminfo(const collector_context& context);
collector_ptr make_netclass(const collector_context& context);
collector_ptr make_netdev(const collector_context& context);
collector_ptr make_netstat(const collector_context& context);
collector_ptr make_os(const collector_context& context);
collector_ptr make_pressure(const collector_context& context);
collector_ptr make_processes(const collector_context& context);
collector_ptr make_sockstat(const collector_context& context);
collector_ptr make_softnet(const collector_context& context);
collector_ptr make_stat(const collector_context& context);
collector_ptr make_thermal_zone(const collector_context& context);
collector_ptr make_time(const collector_context& context);
collector_ptr make_timex(const collector_context& context);
collector_ptr make_uname(const collector_context& context);
collector_ptr make_vmstat(const collector_context& context);

} // namespace skerry::edge::host
