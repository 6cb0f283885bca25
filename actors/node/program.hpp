#pragma once

// What both programs do around their node: read the configuration or check it, prepare the process, run until a signal or a
// failure ends it, and read the configuration again meanwhile. The main thread's.

#include "actors/node/reload.hpp"

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skerry {

inline constexpr int exit_failed = 1;
inline constexpr int exit_usage = 2;

// A running node, as its program sees it.
class running_node {
public:
  virtual ~running_node() = default;                      // stops it in order
  virtual result<std::string> read_again() = 0;           // as POST /-/reload: logged and counted
  virtual void on_tick() = 0;                             // about once a second
  [[nodiscard]] virtual bool failed() const noexcept = 0; // an actor that must live has ended
};

// Where a configuration comes from.
struct program_options {
  std::string config; // the file; empty: defaults
  std::string data;   // instead of what the file says; empty: as it says
  bool check_only = false;
};

template <class Config>
using config_loader = result<loaded_configuration<Config>> (*)(const std::filesystem::path& file);

class program {
public:
  explicit program(std::string name) : name_(std::move(name)) {} // "skerry-edge"

  int fail_with(std::string_view what) const; // says it; exit_failed

  // `defaults` where no file is given. Prints every mistake; nullopt where there was one.
  template <class Config>
  std::optional<loaded_configuration<Config>> configure(const program_options& from,
                                                        config_loader<Config> load, Config defaults) const {
    loaded_configuration<Config> out{std::move(defaults), {}, {}};
    if (!from.config.empty()) {
      auto loaded = load(from.config);
      if (!loaded) {
        fail_with(loaded.error().message);
        return std::nullopt;
      }
      if (complain(loaded.value().errors))
        return std::nullopt;
      out = std::move(loaded).value();
    }
    if (!from.data.empty())
      out.config.data = from.data;
    return out;
  }
  // --check-config: says what `look` finds wrong outside the file, or that nothing is. The exit code.
  int check(const program_options& from, const std::function<std::vector<std::string>()>& look) const;

  // Before the first thread: signals, the log, libsodium, the allocator. A failure's message is for fail_with().
  [[nodiscard]] result<void> prepare(const std::string& log_level) const;
  // Until it is told to stop or has failed. The exit code.
  int run(running_node& node) const;

private:
  bool complain(const std::vector<std::string>& mistakes) const; // true: there are some

  std::string name_;
};

// unsupported where libsodium has no source of randomness.
[[nodiscard]] result<void> start_sodium();

// Reads the configuration again: hands it to `apply`, and says what changed.
template <class Config>
using config_source =
    std::function<result<std::string>(const std::function<result<void>(const Config&)>& apply)>;

// As the file says it now. `watch` outlives it. unsupported: there is no file; invalid_argument: mistakes in it.
template <class Config>
config_source<Config> reading_again(std::string file, config_loader<Config> load, settings_watch& watch) {
  return [file = std::move(file), load,
          &watch](const std::function<result<void>(const Config&)>& apply) -> result<std::string> {
    if (file.empty())
      return fail(errc::unsupported,
                  "this node runs without a configuration file: there is nothing to reload");
    BOOST_OUTCOME_TRY(loaded, load(file));
    BOOST_OUTCOME_TRYV(loaded.sound());
    BOOST_OUTCOME_TRYV(apply(loaded.config));
    return watch.take(loaded.settings);
  };
}

} // namespace skerry
