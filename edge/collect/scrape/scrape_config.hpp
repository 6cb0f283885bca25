#pragma once

// `scrape_configs:` as Prometheus 2.42 documents them, read from our configuration file. Keys that Prometheus
// documents and this build does not do are refused by name. Plain data afterwards; secrets never appear in
// messages.

#include "actors/node/config.hpp"
#include "edge/collect/scrape/relabel.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace skerry::edge {

inline constexpr std::string_view scrape_accept =
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

struct tls_config {
  std::filesystem::path ca_file;
  std::filesystem::path cert_file;
  std::filesystem::path key_file;
  std::string server_name;
  bool insecure_skip_verify = false;
  std::string min_version; // "TLS10" to "TLS13"; empty: TLS12

  bool operator==(const tls_config&) const = default;
};

// How to talk to targets. At most one of basic_auth and authorization.
struct http_client_config {
  bool has_basic_auth = false;
  std::string username;
  std::string password;
  std::filesystem::path password_file;
  std::string authorization_type; // empty: none
  std::string credentials;
  std::filesystem::path credentials_file;
  tls_config tls;
  bool follow_redirects = true;
  std::string proxy_url;
  // gzip costs an edge more than the network does on loopback and in private networks; unset: ask for it
  // elsewhere.
  std::optional<bool> enable_compression;

  bool operator==(const http_client_config&) const = default;
};

using label_pairs = std::vector<std::pair<std::string, std::string>>;

struct target_group {
  std::vector<std::string> targets;
  label_pairs all; // of every target in the group

  bool operator==(const target_group&) const = default;
};

struct file_sd_config {
  std::vector<std::filesystem::path> files; // globs in the last part
  std::chrono::nanoseconds refresh_interval = std::chrono::minutes{5};

  bool operator==(const file_sd_config&) const = default;
};

struct scrape_config {
  std::string job_name;
  std::chrono::nanoseconds scrape_interval{0};
  std::chrono::nanoseconds scrape_timeout{0};
  std::string metrics_path = "/metrics";
  std::string scheme = "http";
  std::vector<std::pair<std::string, std::vector<std::string>>> params;
  bool honor_labels = false;
  bool honor_timestamps = true;
  std::uint64_t body_size_limit = 0; // of the page, uncompressed; this and all below: 0 is none
  std::uint64_t sample_limit = 0;
  std::uint64_t label_limit = 0;
  std::uint64_t label_name_length_limit = 0;
  std::uint64_t label_value_length_limit = 0;
  std::uint64_t target_limit = 0;
  http_client_config http;
  std::vector<target_group> static_configs;
  std::vector<file_sd_config> file_sd_configs;
  std::vector<relabel_rule> relabel_configs;
  std::vector<relabel_rule> metric_relabel_configs;

  bool operator==(const scrape_config&) const = default;
};
using scrape_config_ptr = std::shared_ptr<const scrape_config>;

struct scrape_settings {
  std::chrono::nanoseconds scrape_interval = std::chrono::seconds{15};
  std::chrono::nanoseconds scrape_timeout = std::chrono::seconds{10};
  std::vector<scrape_config> jobs;
};

// Reads `global:` and `scrape_configs:` of `root`; relative paths are relative to `folder`. Problems go to
// the document.
// Files that the jobs name and that can't be read now, as sentences. A node starts without them: they may come later.
[[nodiscard]] std::vector<std::string> missing_files(const scrape_settings& settings);
void read_scrape_settings(config_section& root, const std::filesystem::path& folder, scrape_settings& into);

} // namespace skerry::edge
