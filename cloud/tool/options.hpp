#pragma once

// What the command line says, as plain structs, and the commands that act on them. Each command returns an
// exit code.

#include "cloud/tool/client.hpp"

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace skerry::cloud {

enum exit_code : int { exit_ok = 0, exit_failure = 1, exit_usage = 2, exit_unreachable = 3 };

inline constexpr const char* cloud_url_default = "http://127.0.0.1:7480";
inline constexpr const char* edge_url_default = "http://127.0.0.1:7490";
inline constexpr const char* edge_data_default = "/var/lib/skerry-edge";

struct global_options {
  std::string url = cloud_url_default;
  bool edge = false; // ask an edge node, which answers from its spool
  bool url_given = false;
  std::filesystem::path data = "/var/lib/skerry-cloud";
  bool data_given = false;
  std::filesystem::path socket; // empty: operator.sock in `data`
  bool socket_given = false;
  std::filesystem::path token_file; // a bearer token, instead of the socket
  bool json = false;                // --output json

  // Reading goes to the URL, unless only a socket or a data directory was named.
  [[nodiscard]] result<endpoint> for_reading() const;
  // Changing goes through the operator's socket, or with a token to the URL.
  [[nodiscard]] result<endpoint> for_changing() const;
};

struct invite_options {
  std::string site;           // "{}" in it stands for the token's number where `count` is given
  std::size_t count = 0;      // 0: one, with words for a person around it
  std::filesystem::path from; // a CSV file with one site a line
  std::string ttl = "24h";
  std::string edge;
};
struct query_options {
  std::string expression;
  std::string time, start, end, step;
  std::string timeout;
  std::string output = "auto"; // auto, table, plot, json, csv
};
struct status_options {
  bool watch = false;
  std::chrono::nanoseconds interval = std::chrono::seconds{1};
  std::chrono::nanoseconds duration{0}; // 0: until Ctrl-C
};
struct ledger_options {
  std::string site, host;
  std::string start, end;
};
struct retract_options {
  std::string edge, host, reason;
  std::string start, end;
};
struct check_options {
  std::vector<std::filesystem::path> files;
  std::string kind = "auto"; // edge, cloud
};

// "shop-{}" -> "shop-007"; a name without {} as it is.
[[nodiscard]] std::string with_number(std::string name, std::size_t number, std::size_t digits);
int run_invite(const global_options& global, const invite_options& options);
int run_sites(const global_options& global);
int run_revoke(const global_options& global, const std::string& edge);
int run_hosts(const global_options& global, const std::string& site);
int run_loss(const global_options& global, const ledger_options& options);
int run_retract(const global_options& global, const retract_options& options);
int run_completeness(const global_options& global, const ledger_options& options);
int run_query(const global_options& global, const query_options& options);
int run_status(const global_options& global, const status_options& options);
int run_check_config(const check_options& options);

// Says what failed on stderr and picks the exit code.
int report(const error& e);

} // namespace skerry::cloud
