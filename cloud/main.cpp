// skerry-cloud: receives from edges, stores, answers queries.

#include "actors/node/command_line.hpp"
#include "actors/node/config.hpp"
#include "actors/node/log.hpp"
#include "actors/node/signals.hpp"
#include "actors/node/version.hpp"
#include "cloud/config.hpp"
#include "cloud/node.hpp"
#include "cloud/verify.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <malloc.h>
#include <sodium.h>

namespace {

using namespace skerry;

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;

struct options {
  std::string config;
  std::string data;
  bool check_only = false;
  bool list = false;
};

int fail_with(std::string_view what) {
  fmt::print(stderr, "skerry-cloud: {}\n", what);
  return exit_failed;
}

// Prints every mistake; nullopt where there was one.
std::optional<cloud::cloud_config> configure(const options& from, settings_digest* settings = nullptr) {
  cloud::cloud_config config;
  if (!from.config.empty()) {
    auto loaded = cloud::load_config(from.config);
    if (!loaded) {
      fail_with(loaded.error().message);
      return std::nullopt;
    }
    for (const auto& mistake : loaded.value().errors)
      fmt::print(stderr, "{}\n", mistake);
    if (!loaded.value().errors.empty())
      return std::nullopt;
    config = std::move(loaded.value().config);
    if (settings != nullptr)
      *settings = std::move(loaded.value().settings);
  }
  if (!from.data.empty())
    config.data = from.data;
  return config;
}

int run(const options& from) {
  settings_digest settings;
  auto config = configure(from, &settings);
  if (!config)
    return exit_failed;
  if (from.check_only) {
    if (sodium_init() < 0)
      return fail_with("libsodium cannot be initialised: no source of randomness");
    const auto wrong = cloud::check_data(*config);
    for (const auto& what : wrong)
      fmt::print(stderr, "{}: {}\n", from.config.empty() ? "defaults" : from.config, what);
    if (!wrong.empty())
      return exit_failed;
    fmt::print("{}: the configuration is valid\n", from.config.empty() ? "defaults" : from.config);
    return 0;
  }
  block_signals();
  if (const auto started = start_logging(config->log_level); !started)
    return fail_with(started.error().message);
  if (sodium_init() < 0)
    return fail_with("libsodium cannot be initialised: no source of randomness");
  mallopt(M_ARENA_MAX, 2);
  // What a query used stays for the next one: giving it back and faulting it in again costs short ones a fifth.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 32 << 20);
  settings_watch watch{settings, {"log.level"}};
  config->reload = [&from, &watch]() -> result<std::string> {
    if (from.config.empty())
      return fail(errc::unsupported,
                  "this node runs without a configuration file: there is nothing to reload");
    BOOST_OUTCOME_TRY(loaded, cloud::load_config(from.config));
    if (!loaded.errors.empty())
      return fail(errc::invalid_argument, fmt::format("{}", fmt::join(loaded.errors, "; ")));
    BOOST_OUTCOME_TRYV(set_log_level(loaded.config.log_level));
    return watch.take(loaded.settings);
  };
  auto started = cloud::node::start(std::move(*config));
  if (!started)
    return fail_with(started.error().message);
  auto& running = *started.value();
  spdlog::info("cloud: API at http://{}, link for edges at {}", running.http_address(),
               running.link_address());
  notify_supervisor("READY=1");
  while (!running.failed()) {
    running.on_tick();
    const auto asked = wait_for_signal(std::chrono::seconds{1});
    if (asked == signal_request::stop)
      break;
    if (asked == signal_request::reload)
      static_cast<void>(running.read_again()); // it says how it went
  }
  notify_supervisor("STOPPING=1");
  return running.failed() ? exit_failed : 0;
}

int verify(const options& from) {
  auto config = configure(from);
  if (!config)
    return exit_failed;
  if (const auto started = start_logging("warn"); !started)
    return fail_with(started.error().message);
  return cloud::verify(*config, from.list);
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
  run_command->add_option("--config", given.config, "YAML file; deploy/cloud.example.yaml shows every key");
  run_command->add_option("--data", given.data, "Data directory (default: /var/lib/skerry-cloud)");
  run_command->add_flag("--check-config", given.check_only,
                        "Check the configuration, say what is wrong, and exit");

  auto* verify_command = app.add_subcommand(
      "verify", "Of a node that is stopped: is every record in the write-ahead log there once?");
  verify_command->add_option("--config", given.config, "YAML file, for its `data`");
  verify_command->add_option("--data", given.data, "Data directory (default: /var/lib/skerry-cloud)");
  verify_command->add_flag("--list", given.list, "Print every record's identity and kind");

  if (const auto wrong = unknown_command(app, argc, argv)) {
    fail_with(*wrong);
    return exit_usage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : exit_usage;
  }
  return *run_command ? ::run(given) : verify(given);
}
