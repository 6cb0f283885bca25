// What each collector makes of /proc.

#include "tests/edge/collect/host/tree.hpp"

#include <catch2/catch.hpp>

#include <unistd.h>

using namespace skerry;
using namespace skerry::edge;

TEST_CASE("cpu: every mode, guests, a CPU that is off, older kernels", "[host][proc]") {
  tree files;
  files.write("proc/stat", "cpu 9 9 9 9\ncpu0 100 200 300 400 500 600 700 800 900 1000\ncpu2 1 2 3 4\n");
  files.write("sys/devices/system/cpu/isolated", "1,3-4\n");
  collecting now(files.config({"cpu"}));
  const auto all = now();
  CHECK(find(all, R"(node_cpu_seconds_total{cpu="0",mode="user"})") == 1);
  CHECK(find(all, R"(node_cpu_seconds_total{cpu="0",mode="steal"})") == 8);
  CHECK(find(all, R"(node_cpu_guest_seconds_total{cpu="0",mode="user"})") == 9);
  CHECK(find(all, R"(node_cpu_guest_seconds_total{cpu="0",mode="nice"})") == 10);
  CHECK(find(all, R"(node_cpu_seconds_total{cpu="1",mode="idle"})") == 0);
  CHECK(find(all, R"(node_cpu_seconds_total{cpu="2",mode="idle"})") == 0.04);
  CHECK(find(all, R"(node_cpu_seconds_total{cpu="2",mode="iowait"})") == 0);
  CHECK(find(all, R"(node_cpu_isolated{cpu="1"})") == 1);
  CHECK(find(all, R"(node_cpu_isolated{cpu="4"})") == 1);
  CHECK_FALSE(find(all, R"(node_cpu_isolated{cpu="2"})"));
}

TEST_CASE("cpu: counters do not step back, unless the CPU was off", "[host][proc]") {
  tree files;
  collecting now(files.config({"cpu"}));
  const auto idle = R"(node_cpu_seconds_total{cpu="0",mode="idle"})";
  const auto iowait = R"(node_cpu_seconds_total{cpu="0",mode="iowait"})";
  files.write("proc/stat", "cpu0 100 0 0 1000 50 0 0 0 0 0\n");
  now();
  files.write("proc/stat", "cpu0 100 0 0 0990 40 0 0 0 0 0\n");
  auto all = now();
  CHECK(find(all, idle) == 10);
  CHECK(find(all, iowait) == 0.5);
  files.write("proc/stat", "cpu0 1 0 0 0600 0 0 0 0 0 0\n");
  all = now();
  CHECK(find(all, idle) == 6);
  CHECK(find(all, iowait) == 0);
}

TEST_CASE("stat: the lines that are not per CPU", "[host][proc]") {
  tree files;
  files.write("proc/stat",
              "intr 11 1 2\nctxt 22\nbtime 1700000000\nprocesses 33\nprocs_running 4\nprocs_blocked 5\n");
  collecting now(files.config({"stat"}));
  const auto all = now();
  CHECK(find(all, "node_intr_total") == 11);
  CHECK(find(all, "node_context_switches_total") == 22);
  CHECK(find(all, "node_forks_total") == 33);
  CHECK(find(all, "node_boot_time_seconds") == 1'700'000'000);
  CHECK(find(all, "node_procs_running") == 4);
  CHECK(find(all, "node_procs_blocked") == 5);
}

TEST_CASE("meminfo: kB become bytes, counts stay, brackets become words", "[host][proc]") {
  tree files;
  files.write("proc/meminfo", "MemTotal:   10 kB\nActive(anon):  2 kB\nHugePages_Total:  7\n");
  collecting now(files.config({"meminfo"}));
  const auto all = now();
  CHECK(find(all, "node_memory_MemTotal_bytes") == 10240);
  CHECK(find(all, "node_memory_Active_anon_bytes") == 2048);
  CHECK(find(all, "node_memory_HugePages_Total") == 7);
}

TEST_CASE("vmstat and netstat: only what the filter lets through", "[host][proc]") {
  tree files;
  files.write("proc/vmstat", "nr_free_pages 1\npgfault 2\noom_kill 3\n");
  files.write("proc/net/netstat", "TcpExt: SyncookiesSent Secret\nTcpExt: 5 6\nIpExt: InOctets\nIpExt: 7\n");
  files.write("proc/net/snmp", "Tcp: MaxConn CurrEstab\nTcp: -1 8\n");
  files.write("proc/net/snmp6", "Udp6NoPorts \t 9\nIp6InDelivers 10\n");
  collecting now(files.config({"netstat", "vmstat"}));
  const auto all = now();
  CHECK(find(all, "node_vmstat_pgfault") == 2);
  CHECK(find(all, "node_vmstat_oom_kill") == 3);
  CHECK_FALSE(find(all, "node_vmstat_nr_free_pages"));
  CHECK(find(all, "node_netstat_TcpExt_SyncookiesSent") == 5);
  CHECK_FALSE(find(all, "node_netstat_TcpExt_Secret"));
  CHECK(find(all, "node_netstat_IpExt_InOctets") == 7);
  CHECK(find(all, "node_netstat_Tcp_CurrEstab") == 8);
  CHECK_FALSE(find(all, "node_netstat_Tcp_MaxConn"));
  CHECK(find(all, "node_netstat_Udp6_NoPorts") == 9);
  for (const auto& f : now.families)
    if (f.family.name.starts_with("node_netstat") || f.family.name.starts_with("node_vmstat"))
      CHECK(f.family.type == metric_type::unknown);
}

TEST_CASE("netstat: a host without IPv6 is no failure", "[host][proc]") {
  tree files;
  files.write("proc/net/netstat", "IpExt: InOctets\nIpExt: 7\n");
  files.write("proc/net/snmp", "Tcp: CurrEstab\nTcp: 8\n");
  collecting now(files.config({"netstat"}));
  CHECK(find(now(), R"(node_scrape_collector_success{collector="netstat"})") == 1);
}

TEST_CASE("sockstat: pages also as bytes, inuse always", "[host][proc]") {
  tree files;
  files.write("proc/net/sockstat",
              "sockets: used 12\nTCP: inuse 3 orphan 1 tw 2 alloc 4 mem 5\nODD: memory 6\n");
  files.write("proc/net/sockstat6", "TCP6: inuse 7\n");
  collecting now(files.config({"sockstat"}));
  const auto all = now();
  CHECK(find(all, "node_sockstat_sockets_used") == 12);
  CHECK(find(all, "node_sockstat_TCP_tw") == 2);
  CHECK(find(all, "node_sockstat_TCP_mem") == 5);
  CHECK(find(all, "node_sockstat_TCP_mem_bytes") == 5.0 * static_cast<double>(::sysconf(_SC_PAGESIZE)));
  CHECK(find(all, "node_sockstat_ODD_inuse") == 0);
  CHECK(find(all, "node_sockstat_ODD_memory") == 6);
  CHECK(find(all, "node_sockstat_TCP6_inuse") == 7);
}

TEST_CASE("diskstats: units, excluded partitions, old and new kernels, udev", "[host][proc]") {
  tree files;
  files.write("proc/diskstats", " 8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n 8 1 sda1 1 2 3 4 5 6 7 8 9 10 11\n"
                                " 8 16 sdb 1 2 3 4\n"
                                " 253 0 dm-0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18\n");
  files.write("udev/b8:0",
              "S:disk\nE:ID_ATA=1\nE:ID_MODEL=M\nE:ID_SERIAL_SHORT=S\nE:ID_ATA_ROTATION_RATE_RPM=7200\n");
  files.write("udev/b253:0", "E:DM_NAME=vg-a\nE:DM_VG_NAME=vg\nE:ID_FS_TYPE=ext4\nE:ID_FS_UUID=u\n");
  collecting now(files.config({"diskstats"}));
  auto all = now();
  CHECK(find(all, R"(node_disk_read_bytes_total{device="sda"})") == 3 * 512);
  CHECK(find(all, R"(node_disk_read_time_seconds_total{device="sda"})") == 0.004);
  CHECK(find(all, R"(node_disk_io_now{device="sda"})") == 9);
  CHECK_FALSE(find(all, R"(node_disk_read_bytes_total{device="sda1"})"));
  CHECK_FALSE(find(all, R"(node_disk_read_bytes_total{device="sdb"})"));
  CHECK_FALSE(find(all, R"(node_disk_discards_completed_total{device="sda"})"));
  CHECK(find(all, R"(node_disk_discarded_sectors_total{device="dm-0"})") == 14);
  CHECK(find(all, R"(node_disk_flush_requests_time_seconds_total{device="dm-0"})") == 0.017);
  CHECK(find(all, R"(node_disk_info{device="sda",major="8",minor="0",model="M",serial="S"})") == 1);
  CHECK(find(all, R"(node_disk_ata_rotation_rate_rpm{device="sda"})") == 7200);
  CHECK(find(all, R"(node_disk_filesystem_info{device="dm-0",type="ext4",uuid="u"})") == 1);
  CHECK(find(all, R"(node_disk_device_mapper_info{device="dm-0",name="vg-a",vg_name="vg"})") == 1);
  files.remove("udev/b8:0"); // another disk was plugged in
  files.write("udev/b8:0", "E:ID_MODEL=N\n");
  all = now();
  CHECK(find(all, R"(node_disk_info{device="sda",major="8",minor="0",model="N"})") == 1);
  CHECK_FALSE(find(all, R"(node_disk_ata_rotation_rate_rpm{device="sda"})"));
}

TEST_CASE("netdev: columns, no loopback, devices come and go", "[host][proc]") {
  tree files;
  const std::string head = "Inter-|   Receive  |  Transmit\n face |bytes packets\n";
  files.write(
      "proc/net/dev",
      head + "  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n");
  files.write("sys/class/net/eth0/statistics/rx_nohandler", "17\n");
  collecting now(files.config({"netdev"}));
  auto all = now();
  CHECK(find(all, R"(node_network_receive_bytes_total{device="eth0"})") == 1);
  CHECK(find(all, R"(node_network_receive_multicast_total{device="eth0"})") == 8);
  CHECK(find(all, R"(node_network_transmit_bytes_total{device="eth0"})") == 9);
  CHECK(find(all, R"(node_network_transmit_compressed_total{device="eth0"})") == 16);
  CHECK(find(all, R"(node_network_receive_nohandler_total{device="eth0"})") == 17);
  CHECK_FALSE(find(all, R"(node_network_receive_bytes_total{device="lo"})"));
  files.write("proc/net/dev", head + "  tun0: 7 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n");
  all = now();
  CHECK(find(all, R"(node_network_receive_bytes_total{device="tun0"})") == 7);
  CHECK_FALSE(find(all, R"(node_network_receive_bytes_total{device="eth0"})"));
}

TEST_CASE("processes: states, threads, names that look like fields", "[host][proc]") {
  tree files;
  const auto stat = [](int pid, const std::string& name, char state, int threads) {
    return std::to_string(pid) + " (" + name + ") " + state + " 0 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 "
           + std::to_string(threads) + " 0 3 1 1\n";
  };
  files.write("proc/1/stat", stat(1, "in it) ) R 1 2", 'S', 2));
  files.write("proc/1/task/1/stat", stat(1, "init", 'S', 2));
  files.write("proc/1/task/5/stat", stat(5, "init", 'D', 2));
  files.write("proc/7/stat", stat(7, "kthread", 'I', 1));
  files.write("proc/8/stat", "garbage");
  files.write("proc/self/stat", stat(1, "x", 'R', 1)); // not a number
  files.write("proc/sys/kernel/threads-max", "100\n");
  files.write("proc/sys/kernel/pid_max", "200\n");
  auto config = files.config({"processes"});
  collecting now(config);
  const auto all = now();
  CHECK(find(all, "node_processes_pids") == 2);
  CHECK(find(all, "node_processes_threads") == 3);
  CHECK(find(all, R"(node_processes_state{state="S"})") == 1);
  CHECK(find(all, R"(node_processes_state{state="I"})") == 1);
  CHECK_FALSE(find(all, R"(node_processes_state{state="R"})"));
  CHECK(find(all, R"(node_processes_threads_state{thread_state="D"})") == 1);
  CHECK(find(all, R"(node_processes_threads_state{thread_state="S"})") == 1);
  CHECK(find(all, "node_processes_max_threads") == 100);
  CHECK(find(all, "node_processes_max_processes") == 200);
  config.tasks_max = 2;
  collecting bounded(config);
  CHECK(find(bounded(), R"(node_scrape_collector_success{collector="processes"})") == 0);
}

TEST_CASE("pressure, entropy, softnet", "[host][proc]") {
  tree files;
  files.write("proc/pressure/cpu",
              "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull avg10=0 total=9\n");
  files.write("proc/pressure/io", "some avg10=0.00 total=2500000\nfull avg10=0.00 total=500000\n");
  files.write("proc/pressure/memory", "some avg10=0.00 total=3500000\nfull avg10=0.00 total=700000\n");
  files.write("proc/sys/kernel/random/entropy_avail", "200\n");
  files.write("proc/sys/kernel/random/poolsize", "256\n");
  files.write("proc/net/softnet_stat", "0000000a 00000001 00000002 0\n000000ff 00000000 00000003 0\n");
  collecting now(files.config({"entropy", "pressure", "softnet"}));
  const auto all = now();
  CHECK(find(all, "node_pressure_cpu_waiting_seconds_total") == 1.5);
  CHECK(find(all, "node_pressure_io_stalled_seconds_total") == 0.5);
  CHECK(find(all, "node_pressure_memory_stalled_seconds_total") == 0.7);
  CHECK(find(all, "node_entropy_available_bits") == 200);
  CHECK(find(all, "node_entropy_pool_size_bits") == 256);
  CHECK(find(all, R"(node_softnet_processed_total{cpu="1"})") == 255);
  CHECK(find(all, R"(node_softnet_times_squeezed_total{cpu="0"})") == 2);
}

TEST_CASE("filesystem: filters, escapes, doubles, a mount point that is not there", "[host][proc]") {
  tree files;
  files.write("root/data one/x", "");
  files.write("proc/1/mounts",
              "/dev/sda1 / ext4 rw,relatime 0 0\nproc /proc proc rw 0 0\n/dev/sda1 / ext4 ro 0 0\n"
              "/dev/sdb /data\\040one xfs noatime,ro 0 0\n/dev/sdc /nowhere xfs rw 0 0\n"
              "tmpfs /run/user/0 tmpfs rw 0 0\n");
  collecting now(files.config({"filesystem"}));
  const auto all = now();
  const std::string root = R"({device="/dev/sda1",fstype="ext4",mountpoint="/"})";
  CHECK(find(all, "node_filesystem_size_bytes" + root).value_or(0) > 0);
  CHECK(find(all, "node_filesystem_readonly" + root) == 0);
  CHECK(find(all, R"(node_filesystem_readonly{device="/dev/sdb",fstype="xfs",mountpoint="/data one"})") == 1);
  CHECK(find(all, R"(node_filesystem_device_error{device="/dev/sdc",fstype="xfs",mountpoint="/nowhere"})")
        == 1);
  CHECK_FALSE(
      find(all, R"(node_filesystem_size_bytes{device="/dev/sdc",fstype="xfs",mountpoint="/nowhere"})"));
  for (const auto& [series, value] : all)
    CHECK((series.find("tmpfs") == std::string::npos && series.find("\"proc\"") == std::string::npos));
}
