#include "actors/node/program.hpp"

#include "actors/node/log.hpp"
#include "actors/node/signals.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <malloc.h>
#include <sodium.h>

namespace skerry {

namespace {

// Enough for a few threads, and a quarter of the resident memory of many.
constexpr int arenas_max = 2;

std::string_view name_of(const program_options& from) {
  return from.config.empty() ? std::string_view{"defaults"} : from.config;
}

} // namespace

int program::fail_with(std::string_view what) const {
  fmt::print(stderr, "{}: {}\n", name_, what);
  return exit_failed;
}

bool program::complain(const std::vector<std::string>& mistakes) const {
  for (const auto& mistake : mistakes)
    fmt::print(stderr, "{}\n", mistake);
  return !mistakes.empty();
}

int program::check(const program_options& from, const std::function<std::vector<std::string>()>& look) const {
  if (const auto ready = start_sodium(); !ready)
    return fail_with(ready.error().message);
  const auto wrong = look();
  for (const auto& what : wrong)
    fmt::print(stderr, "{}: {}\n", name_of(from), what);
  if (!wrong.empty())
    return exit_failed;
  fmt::print("{}: the configuration is valid\n", name_of(from));
  return 0;
}

result<void> program::prepare(const std::string& log_level) const {
  block_signals();
  BOOST_OUTCOME_TRYV(start_logging(log_level));
  BOOST_OUTCOME_TRYV(start_sodium());
  mallopt(M_ARENA_MAX, arenas_max);
  return ok();
}

int program::run(running_node& node) const {
  notify_supervisor("READY=1");
  while (!node.failed()) {
    node.on_tick();
    const auto asked = wait_for_signal(std::chrono::seconds{1});
    if (asked == signal_request::stop)
      break;
    if (asked == signal_request::reload)
      static_cast<void>(node.read_again()); // it says how it went
  }
  notify_supervisor("STOPPING=1");
  return node.failed() ? exit_failed : 0;
}

result<void> start_sodium() {
  if (sodium_init() < 0)
    return fail(errc::unsupported, "libsodium cannot be initialised: no source of randomness");
  return ok();
}

} // namespace skerry
