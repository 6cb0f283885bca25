// skerry-cloud: receives from edges, stores, answers queries.

#include "actors/base/version.hpp"
#include "actors/node/log.hpp"
#include "actors/node/program.hpp"
#include "actors/node/run_options.hpp"
#include "cloud/config.hpp"
#include "cloud/node.hpp"
#include "cloud/verify.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <malloc.h>

namespace {

using namespace skerry;

const program self{"skerry-cloud"};

struct options : program_options {
  bool list = false;
};

auto configure(const options& from) {
  return self.configure<cloud::cloud_config>(from, cloud::load_config, {});
}

int run(const options& from) {
  auto found = configure(from);
  if (!found)
    return exit_failed;
  auto& config = found->config;
  if (from.check_only)
    return self.check(from, [&] { return cloud::check_data(config); });
  if (const auto ready = self.prepare(config.log_level); !ready)
    return self.fail_with(ready.error().message);
  // What a query used stays for the next one: giving it back and faulting it in again costs short ones a fifth.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 32 << 20);
  settings_watch watch{found->settings, {"log.level"}};
  auto started = cloud::node::start(
      std::move(config), reading_again<cloud::cloud_config>(from.config, cloud::load_config, watch));
  if (!started)
    return self.fail_with(started.error().message);
  auto& running = *started.value();
  spdlog::info("cloud: API at http://{}, link for edges at {}", running.http_address(),
               running.link_address());
  return self.run(running);
}

int verify(const options& from) {
  auto found = configure(from);
  if (!found)
    return exit_failed;
  if (const auto started = start_logging("warn"); !started)
    return self.fail_with(started.error().message);
  return cloud::verify(found->config, from.list);
}

} // namespace

int main(int argc, char** argv) {
  options given;
  CLI::App app{
      "skerry-cloud receives from edge nodes, stores, and answers PromQL over the Prometheus HTTP API.\n"
      "Defaults: API on 127.0.0.1:7480, link for edges on tcp://*:7481, retention 30d.\n"
      "Exit codes: 0 stopped in order, 1 failed, 2 wrong usage."};
  app.set_version_flag("--version", fmt::format("skerry-cloud {}", version));
  app.require_subcommand(1);

  auto* run_command =
      app.add_subcommand("run", "Run the cloud node until it is told to stop (SIGTERM); SIGHUP reloads");
  add_run_options(*run_command, given, "cloud");

  auto* verify_command = app.add_subcommand(
      "verify", "Of a node that is stopped: is every record in the write-ahead log there once?");
  add_data_options(*verify_command, given, "YAML file, for its `data`", "/var/lib/skerry-cloud");
  verify_command->add_flag("--list", given.list, "Print every record's identity and kind");

  if (const auto code = parse_command_line(self, app, argc, argv))
    return *code;
  return *run_command ? ::run(given) : verify(given);
}
