#include "edge/collect/host/collectors.hpp"
#include "tests/edge/collect/host/tree.hpp"

#include <catch2/catch.hpp>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <sstream>

using namespace skerry;
using namespace skerry::edge;

namespace {

double success(const values& all, const std::string& collector) {
  return find(all, "node_scrape_collector_success{collector=\"" + collector + "\"}").value_or(-1);
}

} // namespace

TEST_CASE("an unknown collector is refused, and the nearest is named", "[host]") {
  host_config config;
  config.enabled = {"cpu", "filesytem"};
  const auto wrong = config.validate();
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().code == errc::invalid_argument);
  CHECK(wrong.error().message.find("\"filesytem\"") != std::string::npos);
  CHECK(wrong.error().message.find("did you mean \"filesystem\"") != std::string::npos);
  config.enabled = {};
  config.disabled = {"quantum_entanglement"};
  REQUIRE_FALSE(config.validate());
  CHECK(config.validate().error().message.find("known are: cpu, cpufreq") != std::string::npos);
  prometheus::Registry registry;
  CHECK_FALSE(host_collectors::make(config, system_clock(), registry));
}

TEST_CASE("broken expressions and bounds are refused by name", "[host]") {
  host_config config;
  config.vmstat_fields = "(oops";
  REQUIRE_FALSE(config.validate());
  CHECK(config.validate().error().message.find("vmstat_fields") != std::string::npos);
  config = {};
  config.series_max = 0;
  CHECK_FALSE(config.validate());
  config = {};
  config.time_max = std::chrono::nanoseconds(0);
  CHECK_FALSE(config.validate());
  CHECK(host_config{}.validate());
}

TEST_CASE("enabled and disabled choose the collectors", "[host]") {
  tree files;
  auto config = files.config({"stat", "cpu", "uname"});
  config.disabled = {"cpu"};
  collecting now(config);
  CHECK(now.collectors->names() == std::vector<std::string_view>{"stat", "uname"});
  const auto all = now();
  CHECK(all.contains("node_scrape_collector_success{collector=\"uname\"}"));
  CHECK_FALSE(all.contains("node_scrape_collector_success{collector=\"cpu\"}"));
}

TEST_CASE("a collector that fails is reported, counted, and costs no other", "[host]") {
  tree files;
  files.write("proc/loadavg", "0.25 0.50 0.75 1/2 3\n");
  files.write("proc/sys/fs/file-nr", "not numbers\n");
  collecting now(files.config({"filefd", "loadavg"}));
  auto all = now();
  CHECK(success(all, "filefd") == 0);
  CHECK(success(all, "loadavg") == 1);
  CHECK(find(all, "node_load5") == 0.5);
  CHECK(now.own("skerry_collect_host_failures_total", "filefd") == 1);
  CHECK(now.own("skerry_collect_host_failures_total", "loadavg") == 0);
  CHECK(now.own("skerry_collect_host_collections_total") == 1);
  files.write("proc/sys/fs/file-nr", "12\t0\t100\n");
  all = now();
  CHECK(success(all, "filefd") == 1);
  CHECK(find(all, "node_filefd_allocated") == 12);
  CHECK(find(all, "node_filefd_maximum") == 100);
  CHECK(now.own("skerry_collect_host_failures_total", "filefd") == 1);
}

TEST_CASE("a collector that fails now and then is logged once in ten minutes", "[host]") {
  std::ostringstream lines;
  const auto before = spdlog::default_logger();
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_st>(lines)));
  const auto count = [&](std::string_view what) {
    const auto text = lines.str();
    std::size_t n = 0;
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
      ++n;
    return n;
  };
  {
    tree files;
    collecting now(files.config({"loadavg"}));
    const auto flap = [&] {
      for (int i = 0; i < 20; ++i) {
        files.write("proc/loadavg", i % 2 == 0 ? "rubbish\n" : "1 2 3\n");
        now();
      }
    };
    flap();
    CHECK(count("loadavg has not three numbers") == 1);
    CHECK(count("works again") == 1);
    CHECK(now.own("skerry_collect_host_failures_total", "loadavg") == 10);
    now.clock.monotonic += std::int64_t{601} * 1'000'000'000;
    flap();
    CHECK(count("loadavg has not three numbers") == 2);
  }
  spdlog::set_default_logger(before);
}

TEST_CASE("hardware that is not there is no failure", "[host]") {
  tree files;
  collecting now(files.config({"hwmon", "pressure"}));
  const auto all = now();
  CHECK(success(all, "hwmon") == 0);
  CHECK(success(all, "pressure") == 0);
  CHECK(now.own("skerry_collect_host_failures_total", "hwmon") == 0);
  CHECK(now.own("skerry_collect_host_failures_total", "pressure") == 0);
}

TEST_CASE("a file that is replaced is found again", "[host]") {
  tree files;
  files.write("proc/loadavg", "1 2 3\n");
  collecting now(files.config({"loadavg"}));
  CHECK(find(now(), "node_load1") == 1);
  files.write("proc/loadavg", "4 5 6\n"); // the same file, other content
  CHECK(find(now(), "node_load1") == 4);
  files.remove("proc/loadavg");
  now(); // the open file may still be read
  files.write("proc/loadavg", "7 8 9\n");
  CHECK(success(now(), "loadavg") == 1);
}

TEST_CASE("series beyond the bound are dropped, counted and reported", "[host]") {
  tree files;
  std::string meminfo;
  for (int i = 0; i < 50; ++i)
    meminfo += "Field" + std::to_string(i) + ": 1 kB\n";
  files.write("proc/meminfo", meminfo);
  files.write("proc/loadavg", "1 2 3\n");
  auto config = files.config({"meminfo", "loadavg"});
  config.series_max = 10;
  collecting now(config);
  const auto all = now();
  CHECK(
      std::count_if(all.begin(), all.end(), [](const auto& s) { return s.first.starts_with("node_memory"); })
      == 10);
  CHECK(success(all, "meminfo") == 0);
  CHECK(success(all, "loadavg") == 1);
  CHECK(now.own("skerry_collect_host_series_dropped_total", "meminfo") == 40);
}

TEST_CASE("on this host everything that every Linux has is there, in the same order every time", "[host]") {
  prometheus::Registry registry;
  auto made = host_collectors::make({}, system_clock(), registry);
  REQUIRE(made);
  std::vector<collected_family> families;
  made.value()->collect(families);
  const auto all = values_of(families);
  for (const auto* series :
       {"node_load1", "node_memory_MemTotal_bytes", "node_boot_time_seconds", "node_forks_total",
        "node_time_seconds", "node_timex_tick_seconds", "node_vmstat_pgfault", "node_netstat_Tcp_InSegs",
        "node_filefd_allocated", "node_processes_pids"})
    CHECK(find(all, series).value_or(0) > 0);
  CHECK(find(all, R"(node_cpu_seconds_total{cpu="0",mode="user"})").value_or(0) > 0);
  for (const auto* always :
       {"cpu", "meminfo", "netdev", "netclass", "stat", "time", "uname", "vmstat", "processes"})
    CHECK(success(all, always) == 1);

  std::vector<std::string> order;
  const auto names = [&] {
    std::vector<std::string> n;
    for (const auto& f : families)
      n.push_back(f.family.name);
    return n;
  };
  const auto first = names();
  made.value()->collect(families);
  CHECK(names() == first);
  for (const auto& f : families) {
    CHECK_FALSE(f.samples.empty());
    CHECK_FALSE(f.family.help.empty());
    for (const auto& s : f.samples) {
      auto sorted = s.all;
      sort_labels(sorted); // also drops empty ones
      CHECK(sorted == s.all);
      CHECK(value_of(s.all, label_name) == f.family.name);
    }
  }
  auto unique = first;
  std::sort(unique.begin(), unique.end());
  CHECK(std::adjacent_find(unique.begin(), unique.end()) == unique.end());
}
