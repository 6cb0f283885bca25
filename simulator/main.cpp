// skerry-sim: rehearses Skerry, in a world of its own or as a fleet against a real cloud.

#include "actors/base/version.hpp"
#include "actors/node/command_line.hpp"
#include "simulator/fleet_command.hpp"
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
  CLI::App app{"skerry-sim rehearses Skerry.\n"
               "  world: the real logic under simulated time, network and disks, until something breaks\n"
               "  fleet: hundreds of real edges in one process against a real cloud\n"
               "Exit codes: 0 done, 1 failed (world: something was violated, or a planted fault was not "
               "found), 2 wrong "
               "usage; fleet: 3 something was not acknowledged."};
  app.set_version_flag("--version", fmt::format("skerry-sim {}", skerry::version));
  app.require_subcommand(1);
  int exit_code = 0;
  skerry::sim::add_world_command(app, exit_code);
  skerry::sim::add_fleet_command(app, exit_code);
  if (const auto wrong = skerry::unknown_command(app, argc, argv)) {
    fmt::print(stderr, "skerry-sim: {}\n", *wrong);
    return exit_usage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : exit_usage;
  }
  return exit_code;
}
