// skerry: the operator's tool. Reads the command line; the commands themselves are beside it.

#include "actors/node/command_line.hpp"
#include "actors/node/config.hpp"
#include "cloud/tool/format.hpp"
#include "cloud/tool/options.hpp"
#include "schemas/model/site_name.hpp"

#include <CLI/CLI.hpp>
#include <curl/curl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdio>

using namespace skerry;
using namespace skerry::cloud;

namespace {

constexpr const char* exit_codes =
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the cloud node can't be reached.\n";

std::string footer(const char* examples) { return fmt::format("Examples:\n{}\n{}", examples, exit_codes); }

std::string check_duration(const std::string& text) {
  const auto parsed = parse_duration(text);
  if (!parsed)
    return fmt::format("\"{}\" is no duration; write 15s, 5m, 24h or 7d", text);
  return parsed.value().count() > 0 ? "" : "a duration above 0 is wanted";
}
std::string check_site(const std::string& text) {
  return is_site_name(text)
             ? ""
             : fmt::format(
                 "\"{}\" can't be a site's name; use up to {} letters, digits, '.', '_' or '-', beginning "
                 "with a letter or a digit",
                 text, site_name_bytes_max);
}
std::string check_edge(const std::string& text) {
  const auto hexadecimal = text.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
  return hexadecimal && text.size() == 16
             ? ""
             : fmt::format("\"{}\" is no edge id; `skerry sites` shows them", text);
}

// The chosen command, run after everything was read.
struct command_line {
  global_options global;
  std::string output = "table";
  invite_options invite;
  std::string edge;
  std::string site;
  query_options query;
  ledger_options ledger;
  retract_options retract;
  status_options status;
  std::string interval = "1s";
  std::string duration;
  check_options check;
  std::function<int()> run;
};

CLI::App* command(CLI::App& parent, const char* name, const char* what, const char* examples) {
  auto* made = parent.add_subcommand(name, what);
  made->footer(footer(examples));
  return made;
}

void add_output(CLI::App* to, command_line& line) {
  to->add_option("-o,--output", line.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
}

void add_invite(CLI::App& app, command_line& line) {
  auto* c =
      command(app, "invite", "Make a token that lets one edge node join",
              "  skerry invite --site harbour > token          # the token alone is on stdout\n"
              "  skerry invite --site harbour --edge 00c0ffee00c0ffee\n"
              "  skerry invite --site 'shop-{}' --count 500 > tokens    # shop-001, shop-002 and so on\n"
              "  skerry invite --from sites.csv --output json > invites.json\n");
  auto* which = c->add_option_group("which");
  auto* site = which->add_option("--site", line.invite.site,
                                 "the site's name; with --count, {} in it is the token's number, as 001");
  site->check(CLI::Validator{[](std::string& name) {
                               auto numbered = with_number(name, 1, 3);
                               return check_site(numbered);
                             },
                             ""});
  which->add_option("--from", line.invite.from,
                    "CSV file with one site a line in its first column; - is stdin");
  which->require_option(1);
  c->add_option("--count", line.invite.count, "make so many tokens, printed one a line")
      ->check(CLI::Range(1, 100'000))
      ->excludes("--from");
  c->add_option("--ttl", line.invite.ttl, "how long the token is valid")
      ->check(check_duration)
      ->capture_default_str();
  c->add_option("--edge", line.invite.edge, "an edge that joins again and keeps its id")
      ->check(check_edge)
      ->excludes("--from")
      ->excludes("--count");
  add_output(c, line);
  c->callback([&line] { line.run = [&line] { return run_invite(line.global, line.invite); }; });
}

void add_sites(CLI::App& app, command_line& line) {
  auto* c = command(app, "sites", "Show the sites and their links, or revoke an edge",
                    "  skerry sites\n"
                    "  skerry sites --output json\n"
                    "  skerry sites revoke 00c0ffee00c0ffee\n");
  add_output(c, line);
  c->require_subcommand(0, 1);
  auto* revoke = command(*c, "revoke", "Close an edge's session and refuse its keys from now on",
                         "  skerry sites revoke 00c0ffee00c0ffee\n");
  revoke->add_option("EDGE", line.edge, "the edge's id, as `skerry sites` shows it")
      ->required()
      ->check(check_edge);
  add_output(revoke, line);
  revoke->callback([&line] { line.run = [&line] { return run_revoke(line.global, line.edge); }; });
  c->final_callback([&line] {
    if (!line.run)
      line.run = [&line] { return run_sites(line.global); };
  });
}

void add_hosts(CLI::App& app, command_line& line) {
  auto* c = command(app, "hosts", "Show the hosts and how current they are",
                    "  skerry hosts\n"
                    "  skerry hosts --site harbour --output json\n");
  c->add_option("--site", line.site, "only this site")->check(check_site);
  add_output(c, line);
  c->callback([&line] { line.run = [&line] { return run_hosts(line.global, line.site); }; });
}

// Of options that are times.
std::string from_now(std::string text) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  return absolute_time(text, now.count());
}

void add_ledger_options(CLI::App* c, command_line& line) {
  auto& l = line.ledger;
  c->add_option("--site", l.site, "only this site")->check(check_site);
  c->add_option("--host", l.host, "only this host");
  c->add_option("--start", l.start,
                "RFC 3339, Unix seconds, -1h or now-5m; an hour before the end when absent")
      ->transform(from_now);
  c->add_option("--end", l.end, "RFC 3339, Unix seconds, -1h or now-5m; now when absent")
      ->transform(from_now);
  add_output(c, line);
}

void add_loss(CLI::App& app, command_line& line) {
  auto* c = command(
      app, "loss", "Show what is missing, and why",
      "  skerry loss\n"
      "  skerry loss --site harbour --start 2026-01-02T03:00:00Z --output json\n"
      "  skerry loss retract 00c0ffee00c0ffee --start -7d --end now --reason 'its clock was wrong'\n");
  add_ledger_options(c, line);
  c->require_subcommand(0, 1);
  auto* retract = command(*c, "retract", "Take back what an edge said is missing; it stays on record",
                          "  skerry loss retract 00c0ffee00c0ffee --start -7d --end now "
                          "--reason 'its clock was wrong'\n");
  auto& r = line.retract;
  retract->add_option("EDGE", r.edge, "the edge's id, as `skerry sites` shows it")
      ->required()
      ->check(check_edge);
  retract->add_option("--host", r.host, "of this host alone");
  retract->add_option("--start", r.start, "of the entries that begin then or later")
      ->required()
      ->transform(from_now);
  retract->add_option("--end", r.end, "and end then or before")->required()->transform(from_now);
  retract->add_option("--reason", r.reason, "why: it is shown beside them")->required();
  add_output(retract, line);
  retract->callback([&line] { line.run = [&line] { return run_retract(line.global, line.retract); }; });
  c->final_callback([&line] {
    if (!line.run)
      line.run = [&line] { return run_loss(line.global, line.ledger); };
  });
}

void add_completeness(CLI::App& app, command_line& line) {
  auto* c =
      command(app, "completeness", "Show for each host what is complete, pending, lost, or was not collected",
              "  skerry completeness --site harbour\n"
              "  skerry completeness --host web-1 --start 2026-01-02T03:00:00Z\n");
  add_ledger_options(c, line);
  c->callback([&line] { line.run = [&line] { return run_completeness(line.global, line.ledger); }; });
}

void add_query(CLI::App& app, command_line& line) {
  auto* c =
      command(app, "query", "Ask with PromQL",
              "  skerry query node_load1\n"
              "  skerry query 'up{site=\"harbour\"}' --time 2026-01-02T03:04:05Z\n"
              "  skerry query node_load1 --start 2026-01-02T03:00:00Z --end 2026-01-02T04:00:00Z --step 1m\n"
              "  skerry query node_load1 --start 2026-01-02T03:00:00Z --output csv > load.csv\n"
              "  skerry --edge query node_load1        # what the edge node on this machine holds\n");
  auto& q = line.query;
  c->add_option("EXPR", q.expression, "the expression")->required();
  auto* time = c->add_option("--time", q.time, "RFC 3339, Unix seconds, -1h or now-5m; now when absent")
                   ->transform(from_now);
  auto* start =
      c->add_option("--start", q.start, "begin of a range: as --time")->transform(from_now)->excludes(time);
  c->add_option("--end", q.end, "end of the range; now when absent")->transform(from_now)->needs(start);
  c->add_option("--step", q.step, "from point to point; a 250th of the range when absent, at least 1s")
      ->needs(start);
  c->add_option("--timeout", q.timeout,
                "how long the query may take; the node's query.timeout when absent, and 2m10s at most")
      ->check(check_duration);
  c->add_option("-o,--output", q.output,
                "table, plot (of a range), json, csv; auto: a plot of a range on a terminal, else a table")
      ->check(CLI::IsMember({"auto", "table", "plot", "json", "csv"}))
      ->capture_default_str();
  c->callback([&line] { line.run = [&line] { return run_query(line.global, line.query); }; });
}

void add_status(CLI::App& app, command_line& line) {
  auto* c = command(app, "status", "Show each site: hosts, series, samples/s, pending, link, completeness",
                    "  skerry status\n"
                    "  skerry status --watch                 # redraws until Ctrl-C\n"
                    "  skerry status --watch --for 60s > log # one line a site and second\n");
  auto* watch = c->add_flag("-w,--watch", line.status.watch, "keep on showing it");
  c->add_option("--interval", line.interval, "between two looks")
      ->needs(watch)
      ->check(check_duration)
      ->capture_default_str();
  c->add_option("--for", line.duration, "stop after this time")->needs(watch)->check(check_duration);
  add_output(c, line);
  c->callback([&line] {
    line.run = [&line] {
      line.status.interval = parse_duration(line.interval).value();
      if (!line.duration.empty())
        line.status.duration = parse_duration(line.duration).value();
      return run_status(line.global, line.status);
    };
  });
}

void add_check(CLI::App& app, command_line& line) {
  auto* c = command(app, "check", "Check files before they are used",
                    "  skerry check config edge.yaml cloud.yaml\n");
  c->require_subcommand(1);
  auto* config = command(*c, "config", "Check configuration files of edge and cloud nodes",
                         "  skerry check config /etc/skerry/edge.yaml\n"
                         "  skerry check config --kind cloud new.yaml\n");
  config->add_option("FILE", line.check.files, "the files")->required();
  config->add_option("--kind", line.check.kind, "edge, cloud, or auto: by what the file says")
      ->check(CLI::IsMember({"auto", "edge", "cloud"}))
      ->capture_default_str();
  config->callback([&line] { line.run = [&line] { return run_check_config(line.check); }; });
}

void add_version(CLI::App& app, command_line& line) {
  auto* c = command(app, "version", "Print the version", "  skerry version\n");
  c->callback([&line] {
    line.run = [] {
      fmt::print("skerry {}\n", SKERRY_VERSION);
      return static_cast<int>(exit_ok);
    };
  });
}

int parse_and_run(int argc, char** argv) {
  CLI::App app{"skerry: the operator's tool of Skerry, monitoring for places that lose their network.",
               "skerry"};
  command_line line;
  auto& global = line.global;
  app.footer(footer("  skerry invite --site harbour > token\n"
                    "  skerry status --watch\n"
                    "  skerry query node_load1\n"));
  app.require_subcommand(1);
  app.fallthrough();
  auto* url = app.add_option("--url", global.url, "the cloud node's HTTP address")
                  ->envname("SKERRY_URL")
                  ->capture_default_str();
  auto* data = app.add_option("--data", global.data,
                              "the node's data directory, where its operator's socket is: asked when given")
                   ->envname("SKERRY_DATA")
                   ->capture_default_str();
  auto* socket =
      app.add_option("--socket", global.socket, "the operator's socket (default: operator.sock in --data)");
  app.add_option("--token-file", global.token_file,
                 "file with the cloud's bearer token, to change things through --url instead of the socket")
      ->envname("SKERRY_TOKEN_FILE");
  app.add_flag("--edge", global.edge,
               "ask the edge node on this machine: --url is then http://127.0.0.1:7490 and --data "
               "/var/lib/skerry-edge, unless they are given");
  app.set_version_flag("--version", std::string{"skerry "} + SKERRY_VERSION);
  add_invite(app, line);
  add_sites(app, line);
  add_hosts(app, line);
  add_loss(app, line);
  add_completeness(app, line);
  add_query(app, line);
  add_status(app, line);
  add_check(app, line);
  add_version(app, line);
  if (const auto wrong = unknown_command(app, argc, argv)) {
    fmt::print(stderr, "skerry: {}\n", *wrong);
    return exit_usage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? exit_ok : exit_usage;
  }
  global.url_given = url->count() > 0;
  global.data_given = data->count() > 0;
  if (global.edge && url->count() == 0)
    global.url = edge_url_default;
  if (global.edge && data->count() == 0)
    global.data = edge_data_default;
  global.socket_given = socket->count() > 0;
  global.json = line.output == "json";
  return line.run();
}

} // namespace

int main(int argc, char** argv) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  int code = exit_failure;
  try {
    code = parse_and_run(argc, argv);
  } catch (const nlohmann::json::exception& e) {
    code = report(
        {errc::malformed, fmt::format("the answer has another form than this version knows ({}); are tool "
                                      "and cloud node of one version?",
                                      e.what())});
  } catch (const std::exception& e) {
    code = report({errc::io, e.what()});
  }
  curl_global_cleanup();
  if (std::fflush(stdout) != 0 && code == exit_ok)
    code = exit_failure; // a full disk behind stdout
  return code;
}
