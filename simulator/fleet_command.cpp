#include "simulator/fleet_command.hpp"

#include "actors/node/config.hpp"
#include "actors/node/log.hpp"
#include "actors/node/signals.hpp"
#include "simulator/fleet/fleet.hpp"
#include "simulator/fleet/progress.hpp"
#include "simulator/fleet/tokens.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>

namespace skerry::sim {

namespace {

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;
constexpr int exit_not_acknowledged = 3;

struct given_options {
  fleet_options fleet;
  std::filesystem::path token_file;
  std::filesystem::path faults_file;
  std::filesystem::path report;
  std::vector<std::string> faults;
  std::string interval = "10s";
  std::string duration = "0";
  std::string drain = "30s";
  std::string reconnect_max = "30s";
  std::string spool_bytes = "64MiB";
  std::string mix;
  std::string phase = "site";
  std::string output = "table";
  std::string log_level = "error";
};

int complain(const error& what) {
  fmt::print(stderr, "skerry-sim: {}\n", what.message);
  return what.code == errc::invalid_argument ? exit_usage : exit_failed;
}

result<std::vector<std::string>> read_tokens(const std::filesystem::path& file) {
  if (file == "-")
    return find_tokens(std::cin);
  std::ifstream in{file};
  if (!in)
    return fail(errc::not_found,
                fmt::format("cannot read {}: does it exist, and may you read it?", file.string()));
  BOOST_OUTCOME_TRY(tokens, find_tokens(in));
  if (tokens.empty())
    return fail(
        errc::invalid_argument,
        fmt::format(
            "{} holds no join token: make them with `skerry invite --site 'site-{{}}' --count N > {}`",
            file.string(), file.string()));
  return tokens;
}

result<void> complete(given_options& given) {
  auto& to = given.fleet;
  const auto duration = [](std::string_view option, const std::string& text, auto& into) -> result<void> {
    auto value = parse_duration(text);
    if (!value)
      return fail(errc::invalid_argument, fmt::format("{}: {}", option, value.error().message));
    into = std::chrono::duration_cast<std::remove_reference_t<decltype(into)>>(value.value());
    return ok();
  };
  BOOST_OUTCOME_TRYV(duration("--interval", given.interval, to.interval));
  BOOST_OUTCOME_TRYV(duration("--duration", given.duration, to.duration));
  BOOST_OUTCOME_TRYV(duration("--drain", given.drain, to.drain));
  BOOST_OUTCOME_TRYV(duration("--reconnect-max", given.reconnect_max, to.reconnect_max));
  const auto bytes = parse_bytes(given.spool_bytes);
  if (!bytes)
    return fail(errc::invalid_argument, fmt::format("--spool-bytes: {}", bytes.error().message));
  to.spool_bytes_max = bytes.value();
  if (!given.mix.empty()) {
    BOOST_OUTCOME_TRY(mix, value_mix::parse(given.mix));
    to.mix = mix;
  }
  to.spread_hosts = given.phase == "host";
  if (!given.faults_file.empty()) {
    BOOST_OUTCOME_TRY(faults, load_faults(given.faults_file));
    to.faults = std::move(faults);
  }
  for (const auto& text : given.faults) {
    BOOST_OUTCOME_TRY(fault, parse_fault(text));
    to.faults.push_back(std::move(fault));
  }
  if (!given.token_file.empty()) {
    BOOST_OUTCOME_TRY(tokens, read_tokens(given.token_file));
    to.tokens = std::move(tokens);
  }
  return to.validate();
}

// A folder that goes when the run ends.
class scratch_folder {
public:
  result<std::filesystem::path> make() {
    const char* where = std::getenv("TMPDIR");
    auto name = std::string{where != nullptr && *where != '\0' ? where : "/tmp"} + "/skerry-fleet-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr)
      return fail(
          errc::io,
          fmt::format("cannot make a folder for the edges' spools in {}: name one with --data", name));
    path_ = name;
    return path_;
  }
  ~scratch_folder() {
    std::error_code ignored;
    if (!path_.empty())
      std::filesystem::remove_all(path_, ignored);
  }

private:
  std::filesystem::path path_;
};

int run(given_options& given) {
  block_signals();
  if (const auto started = start_logging(given.log_level); !started)
    return complain(started.error());
  if (const auto done = complete(given); !done)
    return complain(done.error());
  scratch_folder scratch;
  if (given.fleet.data.empty()) {
    auto made = scratch.make();
    if (!made)
      return complain(made.error());
    given.fleet.data = made.value();
  }
  progress_display display{stderr};
  fleet_hooks hooks;
  hooks.progress = [&](const fleet_progress& now) { display.show(now); };
  hooks.wait = [](std::chrono::milliseconds at_most) {
    return wait_for_signal(at_most) == signal_request::stop;
  };
  const auto done = run_fleet(given.fleet, hooks);
  display.finish();
  if (!done)
    return complain(done.error());
  const auto json = to_json(done.value());
  if (!given.report.empty()) {
    std::ofstream out{given.report};
    out << json;
    if (!out.flush())
      return complain({errc::io, fmt::format("cannot write the report to {}", given.report.string())});
  }
  fmt::print("{}", given.output == "json" ? json : to_table(done.value()));
  return done.value().all_acked() ? 0 : exit_not_acknowledged;
}

} // namespace

void add_fleet_command(CLI::App& app, int& exit_code) {
  auto given = std::make_shared<given_options>();
  auto& to = given->fleet;
  auto* command = app.add_subcommand(
      "fleet",
      "Run a fleet of sites against a real cloud: real agents, gateways, spools, uplinks and encrypted links "
      "in this "
      "process, with simulated values. Rehearse your fleet's size and its bad days, then read the report.\n"
      "Each edge needs one join token:  skerry invite --site 'site-{}' --count 500 > tokens\n"
      "  skerry-sim fleet --token-file tokens --agents 10000 --duration 10m \\\n"
      "    --regions 5 --fault 'region-outage at=2m for=5m region=1'\n"
      "Ctrl-C ends it early, with its report; again: at once.\n"
      "Exit codes: 0 everything that was collected is acknowledged, 1 failed, 2 wrong usage, 3 something was "
      "left "
      "pending or was dropped.");
  command->add_option(
      "--token-file", given->token_file,
      "Join tokens, as skerry invite prints them, one for each new edge; - for standard input");
  command->add_option(
      "--data", to.data,
      "Keep the edges' identities and spools here and use them again: edges that joined need no token "
      "(default: a temporary folder, removed at the end)");
  command->add_option("--agents", to.agents, "Simulated hosts, spread evenly over the edges (default: 100)");
  command->add_option("--edges", to.edges, "Edge nodes (default: as many as tokens and --data give)");
  command->add_option("--series", to.series, "Series of each host (default: 100)");
  command->add_option("--interval", given->interval, "Between two collections of a host (default: 10s)");
  command->add_option("--mix", given->mix,
                      "Kinds of values, in parts (default: counter=40,gauge=30,diurnal=20,burst=10)");
  command->add_option("--seed", to.seed, "Of values and of which hosts are replaced (default: 1)");
  command
      ->add_option(
          "--phase", given->phase,
          "site: the hosts of a site collect together, sites apart; host: each has its own time, as scraped "
          "targets do (default: site)")
      ->check(CLI::IsMember({"site", "host"}));
  command->add_option("--churn", to.churn_per_hour,
                      "Hosts that are replaced by new ones in an hour, over the fleet (default: 0)");
  command->add_option("--regions", to.regions,
                      "Groups of sites, for faults; edges are divided evenly (default: 1)");
  command
      ->add_option(
          "--fault", given->faults,
          "What goes wrong, after the load began; again for more: 'site-outage at=1m for=2m site=site-001', "
          "'region-outage at=2m for=5m region=1', 'fleet-outage at=2m for=1m return=at-once', 'flapping "
          "at=1m "
          "for=10m every=1m down=10s [site=|region=]', 'clock-skew at=1m for=5m by=-90s [site=|region=]'")
      ->take_all();
  command->add_option("--faults", given->faults_file,
                      "The same as a YAML file: a list `faults:` of mappings");
  command->add_option("--duration", given->duration, "Of the load; 0: until Ctrl-C (default: 0)");
  command->add_option("--drain", given->drain,
                      "Wait at most so long at the end for what is pending (default: 30s)");
  command->add_option("--reconnect-max", given->reconnect_max,
                      "Longest pause between an edge's attempts to connect (default: 30s, as edges have)");
  command->add_option("--spool-bytes", given->spool_bytes, "Bound of each edge's spool (default: 64MiB)");
  command->add_option("--threads", to.threads, "That run agents, gateways and uplinks (default: 4)");
  command->add_option("--report", given->report, "Also write the report to this file, as JSON");
  command->add_option("--output", given->output, "Print the report as a table or as JSON (default: table)")
      ->check(CLI::IsMember({"table", "json"}));
  command->add_option("--log-level", given->log_level, "debug, info, warn, error or off (default: error)");
  command->callback([given, &exit_code] { exit_code = run(*given); });
}

} // namespace skerry::sim
