#pragma once

// What the host collectors read, and which bounds they keep. The filters are RE2 expressions that match
// anywhere in the text unless anchored, like node_exporter's flags of the same names; the defaults are those
// of Debian's package.

#include "schemas/error.hpp"

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::edge {

struct host_config {
  std::filesystem::path proc = "/proc";
  std::filesystem::path sys = "/sys";
  std::filesystem::path rootfs = "/"; // where the host's root is mounted, for an edge inside a container
  std::filesystem::path udev = "/run/udev/data"; // properties of disks

  std::vector<std::string> enabled;  // only these; empty: all that are on by default
  std::vector<std::string> disabled; // taken away from the above

  std::string filesystem_mount_points_exclude =
      R"(^/(dev|proc|run|sys|mnt|media|var/lib/docker/.+|var/lib/containers/storage/.+)($|/))";
  std::string filesystem_fs_types_exclude =
      "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|"
      "nsfs|"
      "overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs)$";
  std::string diskstats_device_exclude = R"(^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$)";
  std::string netdev_device_exclude = "^lo$";
  std::string netclass_ignored_devices = "^$";
  std::string netstat_fields =
      "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|"
      "TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts)|"
      "Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|"
      "Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$";
  std::string vmstat_fields = "^(oom_kill|pgpg|pswp|pg.*fault).*";

  std::size_t series_max =
      20'000;                     // of one collector in one collection; what is beyond is dropped and counted
  std::size_t tasks_max = 65'536; // processes and threads that `processes` looks at before it gives up
  std::chrono::nanoseconds time_max = std::chrono::seconds(1); // a thing that can hang is waited for

  struct mistake {
    std::string_view setting; // "netdev_device_exclude"
    std::string what;
  };
  [[nodiscard]] std::vector<mistake>
  mistakes() const; // every one; for a collector that does not exist, the nearest
  // invalid_argument: names the first that is wrong and, for a collector that does not exist, the nearest that does.
  [[nodiscard]] result<void> validate() const;
};

} // namespace skerry::edge
