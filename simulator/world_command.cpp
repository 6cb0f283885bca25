#include "simulator/world_command.hpp"

#include "simulator/world/campaign.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <sodium.h>
#include <unistd.h>

namespace skerry::sim {

namespace {

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;
constexpr std::uint64_t runs_for_coverage = 500;
constexpr std::uint64_t planted_runs_max = 2000;

struct given_options {
  std::optional<std::uint64_t> seed;
  std::uint64_t runs = 1;
  std::size_t faults = 5;
  std::string only;
  double seconds = 600;
  std::string plant;
  bool no_limits = false;
  bool trace = false;
};

class stopwatch {
public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
  }

private:
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

void print_failure(const campaign_failure& first) {
  fmt::print("\nseed {} fails {}\n", first.options.seed, first.violation);
  fmt::print("replay: {}\n", replay_command(first.options));
  const auto smallest = shrink(first.options, first.rule);
  fmt::print("\ncut down in {} runs to {} faults in {:g} s: {}\n", smallest.tries, smallest.schedule.size(),
             static_cast<double>(smallest.options.length) / second, smallest.violation);
  for (const auto& line : smallest.schedule)
    fmt::print("  {}\n", line);
  for (const auto& line : smallest.trace)
    fmt::print("  {}\n", line);
  fmt::print("replay: {}\n", replay_command(smallest.options));
}

// False: a cell is zero.
bool print_coverage(const coverage& struck) {
  fmt::print("\n{:<18}", "fault struck when");
  for (std::size_t state = 0; state < protocol_states; ++state)
    fmt::print("{:>10}", to_string(protocol_state{static_cast<std::uint8_t>(state)}));
  fmt::print("\n");
  bool full = true;
  for (std::size_t kind = 0; kind < fault_kinds; ++kind) {
    fmt::print("{:<18}", to_string(fault_kind{static_cast<std::uint8_t>(kind)}));
    for (std::size_t state = 0; state < protocol_states; ++state) {
      fmt::print("{:>10}", struck[kind][state]);
      full = full && struck[kind][state] != 0;
    }
    fmt::print("\n");
  }
  return full;
}

// False: a limit never acted.
bool print_limits(const limit_coverage& limited) {
  fmt::print("\n{:<18}{:>10}{:>10}   runs in which the limits of a spool acted\n", "", "edges", "gateway");
  bool full = true;
  for (std::size_t act = 0; act < limit_acts; ++act) {
    fmt::print("{:<18}{:>10}{:>10}\n", to_string(limit_act{static_cast<std::uint8_t>(act)}), limited[act][0],
               limited[act][1]);
    full = full && limited[act][0] != 0 && limited[act][1] != 0;
  }
  return full;
}

// False: one of these never came about.
bool print_uplinks(const uplink_coverage& uplinks) {
  fmt::print("\n{:<18}{:>10}{:>10}   runs in which an uplink had to\n", "", "edges", "gateway");
  bool full = true;
  for (std::size_t act = 0; act < uplink_acts; ++act) {
    fmt::print("{:<18}{:>10}{:>10}\n", to_string(uplink_act{static_cast<std::uint8_t>(act)}), uplinks[act][0],
               uplinks[act][1]);
    full = full && uplinks[act][0] != 0 && uplinks[act][1] != 0;
  }
  return full;
}

// False: a bound was never met.
bool print_bounds(const bound_coverage& bounded) {
  fmt::print("\n{:<18}{:>10}{:>10}   runs in which a receiver met its bound\n", "", "gateway", "cloud");
  bool full = true;
  for (std::size_t bound = 0; bound < receiver_bounds; ++bound) {
    fmt::print("{:<18}{:>10}{:>10}\n", to_string(receiver_bound{static_cast<std::uint8_t>(bound)}),
               bounded[bound][0], bounded[bound][1]);
    // So few ranges that every thousand runs meet the bound would wedge a gateway and the cloud together.
    full = full
           && (receiver_bound{static_cast<std::uint8_t>(bound)} == receiver_bound::ranges
               || bounded[bound][0] + bounded[bound][1] != 0);
  }
  return full;
}

// False: something was never seen.
bool print_clocks(const clock_coverage& clocks) {
  fmt::print("\n{:<18}{:>10}   of clocks that are wrong at the first start\n", "", "runs");
  bool full = true;
  for (std::size_t what = 0; what < clock_sights; ++what) {
    fmt::print("{:<18}{:>10}\n", to_string(clock_sight{static_cast<std::uint8_t>(what)}), clocks[what]);
    full = full && clocks[what] != 0;
  }
  return full;
}

int run_plants(const world_options& first, std::uint64_t runs, std::string_view name) {
  int exit_code = 0;
  fmt::print("{:<30}{:>12}  {}\n", "planted fault", "found after", "as");
  for (const auto& one : plants()) {
    if (name != "all" && one.name != name)
      continue;
    if (!one.missing.empty()) {
      fmt::print("{:<30}{:>12}  {}\n", one.name, "-", fmt::format("not available: {}", one.missing));
      continue;
    }
    campaign_options options;
    options.first = first;
    options.first.planted = one.fault;
    options.runs = runs;
    const auto done = run_campaign(options);
    if (done.failure) {
      fmt::print("{:<30}{:>12}  {}\n", one.name, fmt::format("{} runs", done.runs), done.failure->violation);
    } else {
      fmt::print("{:<30}{:>12}  in {} runs\n", one.name, "NOT FOUND", done.runs);
      exit_code = exit_failed;
    }
    std::fflush(stdout);
  }
  return exit_code;
}

int run(const given_options& given) {
  spdlog::set_level(spdlog::level::off);
  campaign_options options;
  auto& first = options.first;
  first.seed = given.seed ? *given.seed : randombytes_random();
  first.faults = given.faults;
  first.length = static_cast<sim_time>(given.seconds * second);
  first.trace = given.trace;
  first.limits = !given.no_limits;
  if (!given.only.empty()) {
    first.only.emplace();
    if (given.only != "none")
      for (const auto& part : CLI::detail::split(given.only, ','))
        first.only->push_back(std::strtoull(part.c_str(), nullptr, 10));
  }
  if (given.plant == "all")
    return run_plants(first, given.runs > 1 ? given.runs : planted_runs_max, "all");
  if (!given.plant.empty()) {
    const auto* wanted = find_plant(given.plant);
    if (wanted == nullptr || !wanted->missing.empty()) {
      fmt::print(stderr, "skerry-sim: --plant takes all or one of:");
      for (const auto& one : plants())
        if (one.missing.empty())
          fmt::print(stderr, " {}", one.name);
      fmt::print(stderr, "\n");
      return exit_usage;
    }
    if (given.runs > 1)
      return run_plants(first, given.runs, given.plant);
    first.planted = wanted->fault;
  }
  if (given.trace) {
    const auto done = run_world(first);
    for (const auto& line : done.schedule_lines)
      fmt::print("{}\n", line);
    for (const auto& line : done.trace)
      fmt::print("{}\n", line);
    fmt::print("{}\n", done.violation.empty() ? "no violation" : done.violation);
    return done.violation.empty() ? 0 : exit_failed;
  }
  const stopwatch watch;
  options.runs = given.runs;
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  double shown = 2;
  options.progress = [&](std::uint64_t done) {
    if (terminal && watch.seconds() > shown) {
      shown = watch.seconds() + 0.5;
      fmt::print(stderr, "\r{} of {} runs ", done, given.runs);
    }
  };
  const auto done = run_campaign(options);
  if (terminal && shown > 2)
    fmt::print(stderr, "\r");
  const auto took = watch.seconds();
  fmt::print("{} runs from seed {} in {:.1f} s ({:.0f} a minute), {} commits and {} events a run\n",
             done.runs, given.seed ? *given.seed : options.first.seed, took,
             static_cast<double>(done.runs) * 60 / took, done.commits / done.runs, done.events / done.runs);
  if (done.failure) {
    print_failure(*done.failure);
    return exit_failed;
  }
  fmt::print("no violation\n");
  if (!print_coverage(done.struck) && done.runs >= runs_for_coverage) {
    fmt::print("a fault never struck in one of the states: the world no longer reaches it\n");
    return exit_failed;
  }
  if (!print_limits(done.limited) && done.runs >= runs_for_coverage && first.limits) {
    fmt::print("a limit of a spool never acted: the world no longer reaches it\n");
    return exit_failed;
  }
  if (!print_clocks(done.clocks) && done.runs >= runs_for_coverage) {
    fmt::print("no clock was wrong in one of the ways: the world no longer reaches it\n");
    return exit_failed;
  }
  if (!print_uplinks(done.uplinks) && done.runs >= runs_for_coverage) {
    fmt::print("a quota, a bandwidth or a second address never mattered: the world no longer reaches it\n");
    return exit_failed;
  }
  if (!print_bounds(done.bounded) && done.runs >= runs_for_coverage) {
    fmt::print("a receiver never met one of its bounds: the world no longer reaches it\n");
    return exit_failed;
  }
  return 0;
}

} // namespace

void add_world_command(CLI::App& app, int& exit_code) {
  auto given = std::make_shared<given_options>();
  auto* command = app.add_subcommand(
      "world",
      "Run the real logic of edges, a gateway and a cloud in a world of faults, all of it in one thread: ten "
      "simulated minutes, then everything heals and is checked. The same seed gives the same run.");
  command->add_option("--seed", given->seed,
                      "Of the first run; the next ones count on (default: random, printed)");
  command
      ->add_option("--runs", given->runs,
                   "How many (default: 1); from 500 on every fault must have struck in every state, and "
                   "every limit acted")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1'000'000'000}));
  command->add_option("--faults", given->faults, "Faults a run (default: 5)")->check(CLI::Range(0, 1000));
  command->add_option("--only", given->only, "Leave out all faults but these numbers, as 0,3; or: none");
  command->add_option("--seconds", given->seconds, "Simulated time before everything heals (default: 600)")
      ->check(CLI::Range(1.0, 86400.0));
  command->add_option(
      "--plant", given->plant,
      "For tests of the oracle: plant this fault into the code; all: each in turn, up to --runs runs "
      "(default then: 2000), and print how soon it was found");
  command->add_flag("--no-limits", given->no_limits, "Leave every spool room for all that an outage brings");
  command->add_flag("--trace", given->trace, "Print what happens in the first run, and run no other");
  command->callback([given, &exit_code] { exit_code = run(*given); });
}

} // namespace skerry::sim
