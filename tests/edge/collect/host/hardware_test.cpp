// What the collectors make of /sys, of os-release and of the clock; and of files that are broken.

#include "edge/collect/host/hwmon_name.hpp"
#include "tests/edge/collect/host/tree.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <random>

using namespace skerry;
using namespace skerry::edge;

TEST_CASE("netclass: numbers of every form, words, what is absent stays absent", "[host][sys]") {
  tree files;
  files.write("sys/class/net/eth0/operstate", "up\n");
  files.write("sys/class/net/eth0/address", "02:00:00:00:00:01\n");
  files.write("sys/class/net/eth0/flags", "0x1003\n");
  files.write("sys/class/net/eth0/speed", "1000\n");
  files.write("sys/class/net/eth0/ifalias", "to the \xff mast\n");
  files.write("sys/class/net/tun0/operstate", "down\n");
  files.write("sys/class/net/tun0/speed", "-1\n");
  files.write("sys/class/net/bonding_masters", "\n"); // a file, not a device
  collecting now(files.config({"netclass"}));
  const auto all = now();
  CHECK(find(all, R"(node_network_up{device="eth0"})") == 1);
  CHECK(find(all, R"(node_network_up{device="tun0"})") == 0);
  CHECK(find(all, R"(node_network_flags{device="eth0"})") == 0x1003);
  CHECK(find(all, R"(node_network_speed_bytes{device="eth0"})") == 125e6);
  CHECK(find(all, R"(node_network_speed_bytes{device="tun0"})") == -125e3);
  CHECK(find(all, R"(node_network_info{address="02:00:00:00:00:01",device="eth0",ifalias="to the )"
                  "\xef\xbf\xbd"
                  R"( mast",operstate="up"})")
        == 1);
  CHECK_FALSE(find(all, R"(node_network_carrier{device="eth0"})"));
  CHECK_FALSE(find(all, R"(node_network_up{device="bonding_masters"})"));
}

TEST_CASE("cpufreq and throttling: hertz, one count for each core and package", "[host][sys]") {
  tree files;
  files.write("proc/stat", "cpu0 1 1 1 1\ncpu1 1 1 1 1\n");
  for (const auto* cpu : {"cpu0", "cpu1"}) {
    const std::string base = std::string("sys/devices/system/cpu/") + cpu;
    files.write(base + "/topology/physical_package_id", "0\n");
    files.write(base + "/topology/core_id", "0\n");
    files.write(base + "/thermal_throttle/core_throttle_count", cpu == std::string("cpu0") ? "5\n" : "6\n");
    files.write(base + "/thermal_throttle/package_throttle_count", "7\n");
    files.write(base + "/cpufreq/scaling_cur_freq", "1200000\n");
  }
  files.write("sys/devices/system/cpu/cpufreq/policy0/x", ""); // not a CPU
  collecting now(files.config({"cpu", "cpufreq"}));
  const auto all = now();
  CHECK(find(all, R"(node_cpu_core_throttles_total{core="0",package="0"})") == 5);
  CHECK(find(all, R"(node_cpu_package_throttles_total{package="0"})") == 7);
  CHECK(find(all, R"(node_cpu_scaling_frequency_hertz{cpu="1"})") == 1.2e9);
}

TEST_CASE("thermal zones and cooling devices; a zone without data is left out", "[host][sys]") {
  tree files;
  files.write("sys/class/thermal/thermal_zone0/type", "acpitz\n");
  files.write("sys/class/thermal/thermal_zone0/temp", "48300\n");
  files.write("sys/class/thermal/thermal_zone1/type", "broken\n");
  files.write("sys/class/thermal/cooling_device3/type", "Fan\n");
  files.write("sys/class/thermal/cooling_device3/cur_state", "1\n");
  files.write("sys/class/thermal/cooling_device3/max_state", "10\n");
  collecting now(files.config({"thermal_zone"}));
  const auto all = now();
  CHECK(find(all, R"(node_thermal_zone_temp{type="acpitz",zone="0"})") == 48.3);
  CHECK(find(all, R"(node_cooling_device_cur_state{name="3",type="Fan"})") == 1);
  CHECK(find(all, R"(node_cooling_device_max_state{name="3",type="Fan"})") == 10);
  CHECK(find(all, R"(node_scrape_collector_success{collector="thermal_zone"})")
        == 0); // zone 1 cannot be read
}

TEST_CASE("hwmon: units by sensor and property", "[host][sys]") {
  using host::name_sensor;
  const auto is = [](const host::sensor_metric& m, const std::string& name, double raw, double value) {
    CHECK(m.name == name);
    CHECK(raw * m.factor / m.divisor == Approx(value));
  };
  is(name_sensor("temp", "input", false), "node_hwmon_temp_celsius", 45500, 45.5);
  is(name_sensor("temp", "crit_alarm", false), "node_hwmon_temp_crit_alarm_celsius", 1000, 1);
  is(name_sensor("temp", "alarm", false), "node_hwmon_temp_alarm", 1, 1);
  is(name_sensor("temp", "type", false), "node_hwmon_temp_type", 4, 4);
  is(name_sensor("fan", "input", false), "node_hwmon_fan_rpm", 1200, 1200);
  is(name_sensor("fan", "pulses", false), "node_hwmon_fan_pulses", 2, 2);
  is(name_sensor("in", "input", false), "node_hwmon_in_volts", 1100, 1.1);
  is(name_sensor("power", "average", false), "node_hwmon_power_average_watt", 25e6, 25);
  is(name_sensor("power", "average_interval", false), "node_hwmon_power_average_interval_seconds", 2000, 2);
  is(name_sensor("energy", "input", false), "node_hwmon_energy_joule_total", 5e6, 5);
  is(name_sensor("pwm", "", true), "node_hwmon_pwm", 128, 128);
  is(name_sensor("pwm", "input", true), "node_hwmon_pwm_input", 128, 128);
  is(name_sensor("humidity", "input", false), "node_hwmon_humidity", 430000, 0.43);
  CHECK(name_sensor("energy", "input", false).counter);
}

TEST_CASE("hwmon: which files are sensors", "[host][sys]") {
  const auto part = host::parse_sensor_file("temp2_crit_alarm");
  REQUIRE(part);
  CHECK(part->type == "temp");
  CHECK(part->number == 2);
  CHECK(part->property == "crit_alarm");
  CHECK(host::parse_sensor_file("beep_enable")->property.empty());
  CHECK(host::parse_sensor_file("pwm1")->property.empty());
  for (const auto* other :
       {"", "name", "uevent", "temp", "temp1x", "temp1_", "1temp", "temp99999999999_input"}) {
    INFO(other);
    const auto none = host::parse_sensor_file(other);
    CHECK((!none || std::string_view(other) == "temp"));
  }
  CHECK(host::clean_name("_NCT-6775 X_") == "nct_6775_x");
  CHECK(host::clean_name("___").empty());
}

TEST_CASE("hwmon: chips by device, by name; labels; families of many chips stay one", "[host][sys]") {
  tree files;
  files.write("sys/class/hwmon/hwmon0/name", "coretemp\n");
  files.write("sys/class/hwmon/hwmon0/temp1_input", "45500\n");
  files.write("sys/class/hwmon/hwmon0/temp1_label", "Package id 0\n");
  files.write("sys/class/hwmon/hwmon1/name", "nct 6775\n");
  files.write("sys/class/hwmon/hwmon1/temp1_input", "30000\n");
  files.write("sys/class/hwmon/hwmon1/beep_enable", "1\n");
  std::filesystem::create_directories(files.root() / "sys/devices/platform/coretemp.0");
  std::filesystem::create_symlink(files.root() / "sys/devices/platform/coretemp.0",
                                  files.root() / "sys/class/hwmon/hwmon0/device");
  collecting now(files.config({"hwmon"}));
  const auto all = now();
  CHECK(find(all, R"(node_hwmon_temp_celsius{chip="platform_coretemp_0",sensor="temp1"})") == 45.5);
  CHECK(find(all, R"(node_hwmon_temp_celsius{chip="nct_6775",sensor="temp1"})") == 30);
  CHECK(find(all, R"(node_hwmon_chip_names{chip="platform_coretemp_0",chip_name="coretemp"})") == 1);
  CHECK(
      find(all, R"(node_hwmon_sensor_label{chip="platform_coretemp_0",label="Package id 0",sensor="temp1"})")
      == 1);
  CHECK(find(all, R"(node_hwmon_beep_enabled{chip="nct_6775",sensor="beep_enable0"})") == 1);
}

TEST_CASE("hwmon: chips of one device keep their sensors apart", "[host][sys]") {
  tree files;
  std::filesystem::create_directories(files.root() / "sys/devices/pci/card0");
  const char* const names[] = {"amdgpu", "amdgpu", "other", "fans"};
  for (int i = 0; i < 4; ++i) {
    const auto chip = "sys/class/hwmon/hwmon" + std::to_string(i == 2 ? 10 : i);
    files.write(chip + "/name", names[i]);
    files.write(chip + (i == 3 ? "/fan1_input" : "/temp1_input"), std::to_string((i + 1) * 1000));
    std::filesystem::create_symlink(files.root() / "sys/devices/pci/card0", files.root() / chip / "device");
  }
  collecting now(files.config({"hwmon"}));
  const auto all = now();
  CHECK(find(all, R"(node_hwmon_temp_celsius{chip="pci_card0",sensor="temp1"})") == 1);
  CHECK(find(all, R"(node_hwmon_temp_celsius{chip="pci_card0_amdgpu",sensor="temp1"})") == 2);
  CHECK(find(all, R"(node_hwmon_temp_celsius{chip="pci_card0_other",sensor="temp1"})") == 3);
  CHECK(find(all, R"(node_hwmon_fan_rpm{chip="pci_card0",sensor="fan1"})")
        == 4000); // no other has it: as node_exporter
}

TEST_CASE("os: quotes, version, a new release", "[host][sys]") {
  tree files;
  collecting now(files.config({"os"}));
  CHECK(find(now(), R"(node_scrape_collector_success{collector="os"})") == 0);
  files.write("root/usr/lib/os-release",
              "NAME=\"Rock \\\"OS\\\"\"\nID=rock\nVERSION_ID='11.3.1'\nVARIANT=\n# x\n");
  auto all = now();
  CHECK(find(all, R"(node_os_version{id="rock",name="Rock \"OS\""})") == 11.3);
  files.write("root/etc/os-release", "ID=rock\nNAME=R\nVERSION_ID=12\n"); // comes before the other
  all = now();
  CHECK(find(all, R"(node_os_info{id="rock",name="R",version_id="12"})") == 1);
}

TEST_CASE("time: the given clock, the kernel's clock sources", "[host][sys]") {
  tree files;
  files.write("sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet \n");
  files.write("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n");
  collecting now(files.config({"time"}));
  const auto all = now();
  CHECK(find(all, "node_time_seconds") == 1.7e9);
  CHECK(find(all, R"(node_time_clocksource_available_info{clocksource="hpet",device="0"})") == 1);
  CHECK(find(all, R"(node_time_clocksource_current_info{clocksource="tsc",device="0"})") == 1);
}

TEST_CASE("files full of rubbish fail their collector and nothing else", "[host][property]") {
  const char* given = std::getenv("SKERRY_SEED");
  const std::uint64_t seed = given ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  INFO("SKERRY_SEED=" << seed);
  std::mt19937_64 random(seed);
  const std::map<std::string, std::string> good = {
      {"proc/stat", "cpu0 1 2 3 4 5 6 7 8 9 10\nintr 1 2\nctxt 3\nbtime 4\nprocesses 5\nprocs_running 6\n"},
      {"proc/meminfo", "MemTotal: 10 kB\nActive(anon): 2 kB\n"},
      {"proc/vmstat", "pgfault 1\noom_kill 2\n"},
      {"proc/loadavg", "0.1 0.2 0.3 1/2 3\n"},
      {"proc/diskstats", "8 0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n"},
      {"proc/net/dev", "h\nh\neth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"},
      {"proc/net/netstat", "TcpExt: ListenDrops\nTcpExt: 1\n"},
      {"proc/net/snmp", "Tcp: InSegs OutSegs\nTcp: 1 2\n"},
      {"proc/net/snmp6", "Udp6NoPorts 1\n"},
      {"proc/net/sockstat", "sockets: used 1\nTCP: inuse 1 mem 2\n"},
      {"proc/net/softnet_stat", "01 02 03\n"},
      {"proc/1/mounts", "/dev/sda / ext4 rw 0 0\n"},
      {"proc/1/stat", "1 (a) S 0 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 2 0 3\n"},
      {"proc/pressure/cpu", "some total=1\n"},
      {"proc/sys/fs/file-nr", "1 2 3\n"},
      {"udev/b8:0", "E:ID_ATA=1\nE:ID_FS_TYPE=x\n"},
      {"root/etc/os-release", "ID=a\nVERSION_ID=\"1.2\"\n"},
      {"sys/class/net/eth0/speed", "100\n"},
      {"sys/class/hwmon/hwmon0/name", "chip\n"},
      {"sys/class/hwmon/hwmon0/temp1_input", "1\n"},
      {"sys/class/thermal/thermal_zone0/temp", "1\n"},
      {"sys/devices/system/cpu/isolated", "1-2\n"},
  };
  tree files;
  collecting now(files.config());
  const auto pick = [&](std::size_t below) { return static_cast<std::size_t>(random() % below); };
  const std::string_view nasty("\0\xff\n :-=.\"\\(9\t", 13);
  for (int round = 0; round < 60; ++round) {
    for (auto [name, text] : good) {
      for (std::size_t change = pick(4); change > 0 && !text.empty(); --change) {
        const auto at = pick(text.size());
        switch (pick(4)) {
        case 0: text[at] = nasty[pick(nasty.size())]; break;
        case 1: text.insert(at, text.substr(pick(text.size()))); break;
        case 2: text.erase(at); break;
        default: text.insert(at, 30, '9'); break;
        }
      }
      files.write(name, text);
    }
    now.collectors->collect(now.families);
    for (const auto& f : now.families) {
      REQUIRE_FALSE(f.family.name.empty());
      for (const auto& s : f.samples) {
        REQUIRE_FALSE(s.all.empty());
        REQUIRE(s.all[0].name == label_name);
        REQUIRE(s.all[0].value == f.family.name);
      }
    }
    REQUIRE(now.families.back().family.name == "node_scrape_collector_success");
    REQUIRE(now.families.back().samples.size() == now.collectors->names().size());
  }
}
