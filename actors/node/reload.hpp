#pragma once

// Reading the configuration again while the node runs: says what came into force and what waits for a restart, logs it,
// and counts it under the names that Prometheus' users know (`…_config_last_reload_successful`).

#include "schemas/error.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace prometheus {
class Registry;
}

namespace skerry {

// Every setting of a configuration file by its path ("collect.interval"), with a hash of what it says.
using settings_digest = std::map<std::string, std::size_t>;

// A configuration file that could be read, with what is wrong inside it.
template <class Config>
struct loaded_configuration {
  Config config;
  std::vector<std::string> errors; // each "file:line: what is wrong; what to do"
  settings_digest settings;        // what the file says, for comparing

  // invalid_argument: there are errors; the message has all of them.
  [[nodiscard]] result<void> sound() const {
    std::string all;
    for (const auto& one : errors)
      all += (all.empty() ? "" : "; ") + one;
    if (!all.empty())
      return fail(errc::invalid_argument, std::move(all));
    return ok();
  }
};

// Compares what a file says now with what is in force. One thread at a time.
class settings_watch {
public:
  // `live`: paths, or beginnings of paths, that a reload brings into force.
  settings_watch(settings_digest started_with, std::vector<std::string> live)
      : in_force_(std::move(started_with)), live_(std::move(live)) {}

  // What changed, as a sentence: what is in force from now on, and what needs a restart.
  [[nodiscard]] std::string take(const settings_digest& now);

private:
  [[nodiscard]] bool is_live(std::string_view path) const;
  settings_digest in_force_;
  std::vector<std::string> live_;
};

// What SIGHUP and POST /-/reload call. Any thread; one reload at a time.
class config_reload {
public:
  using reader = std::function<result<std::string>()>; // reads, applies, and says what changed

  // `node` for the log: "edge". The start counts as a successful reload, as Prometheus has it.
  config_reload(std::string node, prometheus::Registry& metrics, reader read);
  ~config_reload();
  config_reload(const config_reload&) = delete;
  config_reload& operator=(const config_reload&) = delete;

  result<std::string> operator()();

  struct outcome {
    bool successful = true;      // the last one
    std::int64_t success_ns = 0; // of the last that was; wall clock
  };
  [[nodiscard]] outcome last() const; // any thread, at once

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace skerry
