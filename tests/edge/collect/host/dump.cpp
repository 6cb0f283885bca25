// Prints what the host collectors see, once, as Prometheus text; tests/e2e/node_exporter_parity.py compares
// it. With --repeat N it collects N times first and prints the CPU time that one collection takes to standard
// error.

#include "edge/collect/host/collectors.hpp"
#include "tests/edge/collect/host/exposition.hpp"

#include <CLI/CLI.hpp>
#include <prometheus/registry.h>

#include <cstdio>
#include <ctime>

namespace {

double cpu_seconds() {
  timespec used{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

} // namespace

int main(int argc, char** argv) {
  using namespace skerry;
  edge::host_config config;
  std::size_t repeat = 0;
  CLI::App app("Prints what the host collectors see, as Prometheus text.");
  app.add_option("--proc", config.proc);
  app.add_option("--sys", config.sys);
  app.add_option("--rootfs", config.rootfs);
  app.add_option("--udev", config.udev);
  app.add_option("--enable", config.enabled, "only these collectors")->delimiter(',');
  app.add_option("--disable", config.disabled)->delimiter(',');
  app.add_option("--repeat", repeat, "collect this often before, and say what one collection costs");
  CLI11_PARSE(app, argc, argv);

  prometheus::Registry registry;
  auto collectors = edge::host_collectors::make(config, system_clock(), registry);
  if (!collectors) {
    std::fprintf(stderr, "%s\n", collectors.error().message.c_str());
    return 1;
  }
  std::vector<edge::collected_family> families;
  if (repeat > 0) {
    collectors.value()->collect(families); // opens, learns, allocates
    const double before = cpu_seconds();
    for (std::size_t i = 0; i < repeat; ++i)
      collectors.value()->collect(families);
    std::fprintf(stderr, "%.1f µs CPU per collection\n",
                 (cpu_seconds() - before) * 1e6 / static_cast<double>(repeat));
  }
  collectors.value()->collect(families);
  const auto text = edge::exposition(families);
  std::fwrite(text.data(), 1, text.size(), stdout);
}
