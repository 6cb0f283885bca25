#pragma once

// `skerry-sim fleet`: its options, its progress and what it prints.

namespace CLI {
class App;
}

namespace skerry::sim {

// Adds the subcommand; `exit_code` is set when it ran.
void add_fleet_command(CLI::App& app, int& exit_code);

} // namespace skerry::sim
