// skerry-edge: collects at a site, keeps everything on disk, and delivers upstream whenever there is a link.

#include "actors/base/clock.hpp"
#include "actors/base/files.hpp"
#include "actors/base/http_client.hpp"
#include "actors/base/version.hpp"
#include "actors/node/config.hpp"
#include "actors/node/data_directory.hpp"
#include "actors/node/log.hpp"
#include "actors/node/program.hpp"
#include "actors/node/run_options.hpp"
#include "edge/config.hpp"
#include "edge/join.hpp"
#include "edge/node.hpp"
#include "edge/spool/examine.hpp"
#include "edge/spool/verify.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <iostream>
#include <iterator>

namespace {

using namespace skerry;

const program self{"skerry-edge"};
constexpr std::size_t token_bytes_max = 64 << 10;

struct options : program_options {
  std::string token_file;
  std::string segment;
  std::string timeout = "15s";
  std::string what = "backlog";
  bool always = false;
};

auto configure(const options& from) {
  return self.configure<edge::edge_config>(from, edge::load_config, edge::default_config());
}

int run(const options& from) {
  auto found = configure(from);
  if (!found)
    return exit_failed;
  auto& config = found->config;
  if (from.check_only)
    return self.check(from, [&] {
      auto wrong = edge::missing_files(config.collect.scrape);
      for (auto& what : edge::check_data(config))
        wrong.push_back(std::move(what));
      return wrong;
    });
  if (const auto ready = self.prepare(config.log_level); !ready)
    return self.fail_with(ready.error().message);
  settings_watch watch{found->settings, {"scrape_configs", "global", "log.level"}};
  auto started = edge::node::start(std::move(config),
                                   reading_again<edge::edge_config>(from.config, edge::load_config, watch),
                                   {"/proc/self/exe", edge::examine_subcommand});
  if (!started)
    return self.fail_with(started.error().message);
  spdlog::info("edge: status and metrics at http://{}", started.value()->http_address());
  return self.run(*started.value());
}

// Asks the running node over its operator's socket.
int set_backlog(const options& from, const std::string& action) {
  const auto config = configure(from);
  if (!config)
    return exit_failed;
  outgoing_request request;
  request.method = "POST";
  request.url = "http://localhost/api/v1/admin/backlog/" + action;
  request.unix_socket = (config->config.data / "operator.sock").string();
  const auto answer = send_request(request);
  if (!answer)
    return self.fail_with(fmt::format("{}; is the node running with --data {}, and may you open its socket?",
                                      answer.error().message, config->config.data.string()));
  if (answer.value().status != 200)
    return self.fail_with(
        fmt::format("the node answered {}: {}", answer.value().status, answer.value().body));
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
  if (const auto ready = start_sodium(); !ready)
    return self.fail_with(ready.error().message);
  if (const auto logging = start_logging("warn"); !logging)
    return self.fail_with(logging.error().message);
  auto text = read_token(from.token_file);
  if (!text)
    return self.fail_with(text.error().message);
  auto token = link::decode_token(text.value(), system_clock().wall_ns() / 1'000'000'000);
  if (!token)
    return self.fail_with(token.error().message);
  const auto timeout = parse_duration(from.timeout);
  if (!timeout)
    return self.fail_with(timeout.error().message);
  auto directory = data_directory::open(config->config.data, node_kind::edge);
  if (!directory)
    return self.fail_with(directory.error().message);
  auto joined = edge::join(config->config.data, token.value(),
                           std::chrono::duration_cast<std::chrono::milliseconds>(timeout.value()));
  if (!joined)
    return self.fail_with(joined.error().message);
  fmt::print("Joined site '{}' as edge {}. Start it with: skerry-edge run --data {}\n", joined.value().site,
             to_string(joined.value().edge), config->config.data.string());
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
  add_run_options(*run_command, given, "edge");

  auto* join_command =
      app.add_subcommand("join", "Join a cloud or gateway with a token made by `skerry invite`");
  join_command->add_option("--token-file", given.token_file, "File with the token, or - for standard input")
      ->required();
  add_data_options(*join_command, given, "YAML file, for its `data`", "/var/lib/skerry-edge");
  join_command->add_option("--timeout", given.timeout, "How long to wait for an answer (default: 15s)");

  auto* pause_command =
      app.add_subcommand("pause", "Send no backlog until `resume`; alerts and fresh data go on");
  auto* resume_command = app.add_subcommand("resume", "Send the backlog again");
  for (auto* command : {pause_command, resume_command}) {
    command->add_option("what", given.what, "backlog")->required()->check(CLI::IsMember({"backlog"}));
    add_data_options(*command, given, "YAML file, for its `data`", "/var/lib/skerry-edge");
  }

  auto* verify_command = app.add_subcommand("verify-segment", "Say whether a segment of the spool is sound");
  verify_command->add_option("path", given.segment, "The segment's directory")->required();

  // What the node starts to look at a segment that may be damaged; not for people.
  auto* examine_command =
      app.add_subcommand(edge::examine_subcommand, "Examine a segment for the node")->group("");
  examine_command->add_flag("--always", given.always);
  examine_command->add_option("path", given.segment)->required();

  if (const auto code = parse_command_line(self, app, argc, argv))
    return *code;
  if (*examine_command)
    return edge::examine_segment_main(given.segment, given.always);
  if (*verify_command)
    return edge::verify_segment_main(given.segment);
  if (*pause_command || *resume_command)
    return set_backlog(given, *pause_command ? "pause" : "resume");
  return *run_command ? ::run(given) : ::join(given);
}
