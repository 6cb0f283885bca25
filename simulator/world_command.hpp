#pragma once

// `skerry-sim world`: its options and what it prints.

namespace CLI {
class App;
}

namespace skerry::sim {

// Adds the subcommand; `exit_code` is set when it ran.
void add_world_command(CLI::App& app, int& exit_code);

} // namespace skerry::sim
