#pragma once

// What the command lines of both nodes' programs share. For their mains alone.

#include "actors/node/command_line.hpp"
#include "actors/node/program.hpp"

namespace skerry {

// --config and --data; `default_data` is the directory without them.
inline void add_data_options(CLI::App& command, program_options& given, const std::string& config_text,
                             const std::string& default_data) {
  command.add_option("--config", given.config, config_text);
  command.add_option("--data", given.data, fmt::format("Data directory (default: {})", default_data));
}

// Those of `run`. `kind`: "edge".
inline void add_run_options(CLI::App& command, program_options& given, const std::string& kind) {
  add_data_options(command, given, fmt::format("YAML file; deploy/{}.example.yaml shows every key", kind),
                   "/var/lib/skerry-" + kind);
  command.add_flag("--check-config", given.check_only,
                   "Check the configuration, say what is wrong, and exit");
}

// The exit code, where the program is to end now: help, or wrong usage.
[[nodiscard]] inline std::optional<int> parse_command_line(const program& of, CLI::App& app, int argc,
                                                           const char* const* argv) {
  if (const auto wrong = unknown_command(app, argc, argv)) {
    of.fail_with(*wrong);
    return exit_usage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : exit_usage;
  }
  return std::nullopt;
}

} // namespace skerry
