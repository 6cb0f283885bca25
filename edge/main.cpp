// skerry-edge: collects at a site, keeps everything on disk, and delivers upstream whenever there is a link.

#include "actors/node/clock.hpp"
#include "actors/node/command_line.hpp"
#include "actors/node/config.hpp"
#include "actors/node/data_directory.hpp"
#include "actors/node/files.hpp"
#include "actors/node/http_client.hpp"
#include "actors/node/log.hpp"
#include "actors/node/memory.hpp"
#include "actors/node/signals.hpp"
#include "actors/node/version.hpp"
#include "edge/config.hpp"
#include "edge/join.hpp"
#include "edge/node.hpp"
#include "edge/spool/examine.hpp"
#include "edge/spool/verify.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <iostream>
#include <iterator>
#include <malloc.h>
#include <sodium.h>

namespace {

using namespace skerry;

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;
constexpr std::size_t token_bytes_max = 64 << 10;
constexpr int startup_seconds = 5; // then everything has run that runs once

struct options {
  std::string config;
  std::string data;
  std::string token_file;
  std::string segment;
  std::string timeout = "15s";
  std::string what = "backlog";
  bool check_only = false;
  bool always = false;
};

int fail_with(std::string_view what) {
  fmt::print(stderr, "skerry-edge: {}\n", what);
  return exit_failed;
}

// Prints every mistake; nullopt where there was one.
std::optional<edge::edge_config> configure(const options& from, settings_digest* settings = nullptr) {
  auto config = edge::default_config();
  if (!from.config.empty()) {
    auto loaded = edge::load_config(from.config);
    if (!loaded) {
      fail_with(loaded.error().message);
      return std::nullopt;
    }
    for (const auto& mistake : loaded.value().errors)
      fmt::print(stderr, "{}\n", mistake);
    if (!loaded.value().errors.empty())
      return std::nullopt;
    config = std::move(loaded.value().config);
    if (settings != nullptr)
      *settings = std::move(loaded.value().settings);
  }
  if (!from.data.empty())
    config.data = from.data;
  return config;
}

int run(const options& from) {
  settings_digest settings;
  auto config = configure(from, &settings);
  if (!config)
    return exit_failed;
  if (from.check_only) {
    if (sodium_init() < 0)
      return fail_with("libsodium cannot be initialised: no source of randomness");
    auto missing = edge::missing_files(config->scrape);
    for (auto& what : edge::check_data(*config))
      missing.push_back(std::move(what));
    for (const auto& what : missing)
      fmt::print(stderr, "{}: {}\n", from.config.empty() ? "defaults" : from.config, what);
    if (!missing.empty())
      return exit_failed;
    fmt::print("{}: the configuration is valid\n", from.config.empty() ? "defaults" : from.config);
    return 0;
  }
  block_signals();
  if (const auto started = start_logging(config->log_level); !started)
    return fail_with(started.error().message);
  if (sodium_init() < 0)
    return fail_with("libsodium cannot be initialised: no source of randomness");
  // One arena is enough for a few threads, and a quarter of the resident memory of many.
  mallopt(M_ARENA_MAX, 2);
  edge::node* running = nullptr;
  settings_watch watch{settings, {"scrape_configs", "global", "log.level"}};
  config->examine_command = {"/proc/self/exe", edge::examine_subcommand};
  config->reload = [&from, &running, &watch]() -> result<std::string> {
    if (from.config.empty())
      return fail(errc::unsupported,
                  "this node runs without a configuration file: there is nothing to reload");
    if (running == nullptr)
      return fail(errc::unavailable, "the node is still starting; try again");
    BOOST_OUTCOME_TRY(loaded, edge::load_config(from.config));
    if (!loaded.errors.empty())
      return fail(errc::invalid_argument, fmt::format("{}", fmt::join(loaded.errors, "; ")));
    running->reload(loaded.config);
    return watch.take(loaded.settings);
  };
  auto started = edge::node::start(std::move(*config));
  if (!started)
    return fail_with(started.error().message);
  running = started.value().get();
  spdlog::info("edge: status and metrics at http://{}", running->http_address());
  notify_supervisor("READY=1");
  int seconds = 0;
  while (!running->failed()) {
    if (++seconds == startup_seconds)
      release_startup_code();
    const auto asked = wait_for_signal(std::chrono::seconds{1});
    if (asked == signal_request::stop)
      break;
    if (asked == signal_request::reload)
      static_cast<void>(running->read_again()); // it says how it went
  }
  notify_supervisor("STOPPING=1");
  return running->failed() ? exit_failed : 0;
}

// Asks the running node over its operator's socket.
int set_backlog(const options& from, const std::string& action) {
  const auto config = configure(from);
  if (!config)
    return exit_failed;
  outgoing_request request;
  request.method = "POST";
  request.url = "http://localhost/api/v1/admin/backlog/" + action;
  request.unix_socket = (config->data / "operator.sock").string();
  const auto answer = send_request(request);
  if (!answer)
    return fail_with(fmt::format("{}; is the node running with --data {}, and may you open its socket?",
                                 answer.error().message, config->data.string()));
  if (answer.value().status != 200)
    return fail_with(fmt::format("the node answered {}: {}", answer.value().status, answer.value().body));
  fmt::print("the backlog is {}\n",
             action == "pause" ? "paused; `skerry-edge resume backlog` lets it go on" : "going on");
  return 0;
}

result<std::string> read_token(const std::string& file) {
  if (file == "-") {
    std::string text{std::istreambuf_iterator<char>{std::cin}, {}};
    return text;
  }
  return read_file(file, token_bytes_max);
}

int join(const options& from) {
  auto config = configure(from);
  if (!config)
    return exit_failed;
  if (sodium_init() < 0)
    return fail_with("libsodium cannot be initialised: no source of randomness");
  if (const auto logging = start_logging("warn"); !logging)
    return fail_with(logging.error().message);
  auto text = read_token(from.token_file);
  if (!text)
    return fail_with(text.error().message);
  auto token = link::decode_token(text.value(), system_clock().wall_ns() / 1'000'000'000);
  if (!token)
    return fail_with(token.error().message);
  const auto timeout = parse_duration(from.timeout);
  if (!timeout)
    return fail_with(timeout.error().message);
  auto directory = data_directory::open(config->data, node_kind::edge);
  if (!directory)
    return fail_with(directory.error().message);
  auto joined = edge::join(config->data, token.value(),
                           std::chrono::duration_cast<std::chrono::milliseconds>(timeout.value()));
  if (!joined)
    return fail_with(joined.error().message);
  fmt::print("Joined site '{}' as edge {}. Start it with: skerry-edge run --data {}\n", joined.value().site,
             to_string(joined.value().edge), config->data.string());
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  options given;
  CLI::App app{
      "skerry-edge collects at a site, keeps everything on disk and catches up when the link returns.\n"
      "Defaults: scrape interval 15s, spool min(10 GiB, 20 % of the disk), status on 127.0.0.1:7490.\n"
      "Exit codes: 0 stopped in order, 1 failed, 2 wrong usage."};
  app.set_version_flag("--version", fmt::format("skerry-edge {}", version));
  app.require_subcommand(1);

  auto* run_command =
      app.add_subcommand("run", "Run the edge node until it is told to stop (SIGTERM); SIGHUP reloads");
  run_command->add_option("--config", given.config, "YAML file; deploy/edge.example.yaml shows every key");
  run_command->add_option("--data", given.data, "Data directory (default: /var/lib/skerry-edge)");
  run_command->add_flag("--check-config", given.check_only,
                        "Check the configuration, say what is wrong, and exit");

  auto* join_command =
      app.add_subcommand("join", "Join a cloud or gateway with a token made by `skerry invite`");
  join_command->add_option("--token-file", given.token_file, "File with the token, or - for standard input")
      ->required();
  join_command->add_option("--config", given.config, "YAML file, for its `data`");
  join_command->add_option("--data", given.data, "Data directory (default: /var/lib/skerry-edge)");
  join_command->add_option("--timeout", given.timeout, "How long to wait for an answer (default: 15s)");

  auto* pause_command =
      app.add_subcommand("pause", "Send no backlog until `resume`; alerts and fresh data go on");
  auto* resume_command = app.add_subcommand("resume", "Send the backlog again");
  for (auto* command : {pause_command, resume_command}) {
    command->add_option("what", given.what, "backlog")->required()->check(CLI::IsMember({"backlog"}));
    command->add_option("--config", given.config, "YAML file, for its `data`");
    command->add_option("--data", given.data, "Data directory (default: /var/lib/skerry-edge)");
  }

  auto* verify_command = app.add_subcommand("verify-segment", "Say whether a segment of the spool is sound");
  verify_command->add_option("path", given.segment, "The segment's directory")->required();

  // What the node starts to look at a segment that may be damaged; not for people.
  auto* examine_command =
      app.add_subcommand(edge::examine_subcommand, "Examine a segment for the node")->group("");
  examine_command->add_flag("--always", given.always);
  examine_command->add_option("path", given.segment)->required();

  if (const auto wrong = unknown_command(app, argc, argv)) {
    fail_with(*wrong);
    return exit_usage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : exit_usage;
  }
  if (*examine_command)
    return edge::examine_segment_main(given.segment, given.always);
  if (*verify_command)
    return edge::verify_segment_main(given.segment);
  if (*pause_command || *resume_command)
    return set_backlog(given, *pause_command ? "pause" : "resume");
  return *run_command ? ::run(given) : ::join(given);
}
