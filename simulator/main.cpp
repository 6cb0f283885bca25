// skerry-sim: rehearses Skerry without a network, a disk or a clock.

#include "actors/node/version.hpp"
#include "simulator/world_command.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <sodium.h>

namespace {

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;

} // namespace

int main(int argc, char** argv) {
  if (sodium_init() < 0) {
    fmt::print(stderr, "skerry-sim: libsodium cannot be initialised: no source of randomness\n");
    return exit_failed;
  }
  CLI::App app{"skerry-sim rehearses Skerry: the real code under simulated time, network and disks.\n"
               "Exit codes: 0 nothing was violated, 1 something was (or a planted fault was not found), 2 "
               "wrong usage."};
  app.set_version_flag("--version", fmt::format("skerry-sim {}", skerry::version));
  app.require_subcommand(1);
  int exit_code = 0;
  skerry::sim::add_world_command(app, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : exit_usage;
  }
  return exit_code;
}
