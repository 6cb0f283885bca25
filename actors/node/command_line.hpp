#pragma once

// What CLI11 does not say by itself: which word is no command, and which one was meant. For the mains alone.

#include "actors/node/config.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <optional>
#include <string>

namespace skerry {

// The first word that stands where a command should and is none, as a sentence.
[[nodiscard]] inline std::optional<std::string> unknown_command(const CLI::App& app, int argc,
                                                                const char* const* argv) {
  const auto* at = &app;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--")
      return std::nullopt;
    if (word.starts_with('-')) {
      const auto* option = at->get_option_no_throw(word);
      if (option == nullptr)
        option = app.get_option_no_throw(word);
      if (option != nullptr && option->get_expected_min() > 0)
        ++i; // its value
      continue;
    }
    const auto commands = at->get_subcommands([](const CLI::App*) { return true; });
    std::vector<std::string> names;
    const CLI::App* next = nullptr;
    for (const auto* command : commands) {
      if (command->get_name().empty())
        continue; // a group of options
      names.push_back(command->get_name());
      if (command->get_name() == word)
        next = command;
    }
    if (names.empty())
      return std::nullopt; // what follows are the command's own arguments
    if (next == nullptr) {
      const auto near = nearest(word, names);
      return fmt::format("there is no command '{}{}'; {}", at == &app ? "" : at->get_name() + " ", word,
                         near.empty() ? fmt::format("there are: {}", fmt::join(names, ", "))
                                      : fmt::format("did you mean '{}'?", near));
    }
    at = next;
  }
  return std::nullopt;
}

} // namespace skerry
