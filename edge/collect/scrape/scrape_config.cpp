#include "edge/collect/scrape/scrape_config.hpp"

#include "edge/collect/scrape/exposition_line.hpp"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <unistd.h>

namespace skerry::edge {

namespace {

constexpr std::string_view discoveries[] = {
    "azure",     "consul",   "digitalocean", "docker", "dockerswarm", "dns",        "ec2",
    "eureka",    "gce",      "hetzner",      "http",   "ionos",       "kubernetes", "kuma",
    "lightsail", "linode",   "marathon",     "nerve",  "nomad",       "openstack",  "ovhcloud",
    "puppetdb",  "scaleway", "serverset",    "triton", "uyuni",       "vultr"};

void join(const std::filesystem::path& folder, std::filesystem::path& file) {
  if (!file.empty() && file.is_relative())
    file = folder / file;
}

void read_path(config_section& from, std::string_view key, const std::filesystem::path& folder,
               std::filesystem::path& into) {
  std::string text;
  if (from.read(key, text)) {
    into = text;
    join(folder, into);
  }
}

void read_limit(config_section& from, std::string_view key, std::uint64_t& into) {
  std::int64_t value = 0;
  if (from.read(key, value, 0, INT64_MAX))
    into = static_cast<std::uint64_t>(value);
}

std::string no_label_name(std::string_view name) {
  return fmt::format("'{}' is no label name; use letters, digits and '_', not beginning with a digit", name);
}

std::vector<relabel_rule> read_relabel(config_section& from, std::string_view key) {
  std::vector<relabel_rule> rules;
  from.list(key, [&](config_section& s) {
    relabel_config c;
    std::string action = "replace";
    std::int64_t modulus = 0;
    s.read("source_labels", c.source_labels);
    s.read("separator", c.separator);
    s.read("regex", c.regex);
    if (s.read("modulus", modulus, 0, INT64_MAX))
      c.modulus = static_cast<std::uint64_t>(modulus);
    s.read("target_label", c.target_label);
    s.read("replacement", c.replacement);
    s.read("action", action);
    // Every mistake of its own at once; how they fit together is checked when each is right.
    bool right = true;
    const auto parsed = parse_relabel_action(action);
    if (!parsed) {
      s.complain("action", parsed.error().message);
      right = false;
    }
    for (const auto& name : c.source_labels)
      if (!is_label_name(name)) {
        s.complain("source_labels", no_label_name(name));
        right = false;
      }
    if (const re2::RE2 regex{c.regex, re2::RE2::Quiet}; !regex.ok()) {
      s.complain("regex", fmt::format("not a regular expression (RE2): {}", regex.error()));
      right = false;
    }
    if (!right)
      return;
    c.action = parsed.value();
    auto rule = relabel_rule::make(std::move(c));
    if (!rule)
      s.complain("", rule.error().message);
    else
      rules.push_back(std::move(rule).value());
  });
  return rules;
}

void read_tls(config_section& from, const std::filesystem::path& folder, tls_config& into) {
  from.section("tls_config", [&](config_section& s) {
    read_path(s, "ca_file", folder, into.ca_file);
    read_path(s, "cert_file", folder, into.cert_file);
    read_path(s, "key_file", folder, into.key_file);
    s.read("server_name", into.server_name);
    s.read("insecure_skip_verify", into.insecure_skip_verify);
    if (s.read("min_version", into.min_version)) {
      static constexpr std::string_view known[] = {"TLS10", "TLS11", "TLS12", "TLS13"};
      if (std::find(std::begin(known), std::end(known), into.min_version) == std::end(known))
        s.complain("min_version", "must be TLS10, TLS11, TLS12 or TLS13");
    }
    if (into.cert_file.empty() != into.key_file.empty())
      s.complain("", "cert_file and key_file go together: give both");
  });
}

void read_http_client(config_section& s, const std::filesystem::path& folder, http_client_config& into) {
  s.section("basic_auth", [&](config_section& auth) {
    into.has_basic_auth = true;
    auth.read("username", into.username);
    const bool password = auth.read("password", into.password);
    read_path(auth, "password_file", folder, into.password_file);
    if (password && !into.password_file.empty())
      auth.complain("password_file", "give password or password_file, not both");
  });
  s.section("authorization", [&](config_section& auth) {
    into.authorization_type = "Bearer";
    auth.read("type", into.authorization_type);
    if (into.authorization_type.empty())
      into.authorization_type = "Bearer";
    const bool credentials = auth.read("credentials", into.credentials);
    read_path(auth, "credentials_file", folder, into.credentials_file);
    if (credentials && !into.credentials_file.empty())
      auth.complain("credentials_file", "give credentials or credentials_file, not both");
    auto lower = into.authorization_type;
    std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) { return c | 0x20; });
    if (lower == "basic")
      auth.complain("type", "can't be \"basic\": use basic_auth");
  });
  if (into.has_basic_auth && !into.authorization_type.empty())
    s.complain("authorization", "give basic_auth or authorization, not both");
  read_tls(s, folder, into.tls);
  s.read("follow_redirects", into.follow_redirects);
  if (s.read("proxy_url", into.proxy_url) && !into.proxy_url.empty()) {
    static const re2::RE2 proxy{R"((https?|socks[45][ah]?)://[^/\s]+/?)"};
    if (!re2::RE2::FullMatch(into.proxy_url, proxy)) // not quoted: it may hold a password
      s.complain("proxy_url", "must be http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT");
  }
  if (bool compression = false; s.read("enable_compression", compression))
    into.enable_compression = compression;
  s.refuse("oauth2", "use basic_auth or authorization");
  s.refuse("enable_http2", "targets are read over HTTP/1.1 with keep-alive; remove the key");
  s.refuse("proxy_connect_header", "only a plain proxy_url is");
  s.refuse("bearer_token", "use authorization with credentials");
  s.refuse("bearer_token_file", "use authorization with credentials_file");
}

void read_static(config_section& job, scrape_config& into) {
  job.list("static_configs", [&](config_section& s) {
    target_group group;
    s.read("targets", group.targets);
    s.read("labels", group.all);
    for (const auto& [name, value] : group.all)
      if (!is_label_name(name))
        s.complain("labels", no_label_name(name));
    if (into.relabel_configs.empty())
      for (const auto& target : group.targets)
        if (target.find('/') != std::string::npos)
          s.complain("targets",
                     fmt::format("'{}' is no address: give host:port; the path goes to metrics_path and "
                                 "the scheme to scheme",
                                 target));
    into.static_configs.push_back(std::move(group));
  });
}

void read_file_sd(config_section& job, const std::filesystem::path& folder, scrape_config& into) {
  static const re2::RE2 pattern{R"([^*]*(\*[^/]*)?\.(json|yml|yaml|JSON|YML|YAML))"};
  job.list("file_sd_configs", [&](config_section& s) {
    file_sd_config sd;
    std::vector<std::string> files;
    s.read("files", files);
    s.read("refresh_interval", sd.refresh_interval);
    if (files.empty())
      s.complain("files", "must name at least one file");
    for (const auto& file : files) {
      if (!re2::RE2::FullMatch(file, pattern))
        s.complain("files",
                   fmt::format("'{}' must end in .json, .yml or .yaml, with * in its last part only", file));
      std::filesystem::path path{file};
      join(folder, path);
      sd.files.push_back(std::move(path));
    }
    into.file_sd_configs.push_back(std::move(sd));
  });
}

void read_job(config_section& s, const std::filesystem::path& folder, const scrape_settings& global,
              scrape_config& into) {
  s.read("job_name", into.job_name);
  if (into.job_name.empty())
    s.complain("job_name", "is missing or empty: every scrape_config needs its own");
  const bool has_interval = s.read("scrape_interval", into.scrape_interval);
  const bool has_timeout = s.read("scrape_timeout", into.scrape_timeout);
  if (!has_interval)
    into.scrape_interval = global.scrape_interval;
  if (!has_timeout)
    into.scrape_timeout = std::min(global.scrape_timeout, into.scrape_interval);
  if (into.scrape_interval.count() <= 0)
    s.complain("scrape_interval", "must be above 0, such as 15s");
  else if (into.scrape_timeout.count() <= 0)
    s.complain("scrape_timeout", "must be above 0, such as 15s");
  else if (into.scrape_timeout > into.scrape_interval)
    s.complain("scrape_timeout",
               fmt::format("{} is longer than the scrape_interval of {}",
                           format_duration(into.scrape_timeout), format_duration(into.scrape_interval)));
  s.read("metrics_path", into.metrics_path);
  s.read("scheme", into.scheme);
  if (into.scheme != "http" && into.scheme != "https")
    s.complain("scheme", "must be http or https");
  s.read("params", into.params);
  s.read("honor_labels", into.honor_labels);
  s.read("honor_timestamps", into.honor_timestamps);
  s.read_bytes("body_size_limit", into.body_size_limit);
  read_limit(s, "sample_limit", into.sample_limit);
  read_limit(s, "label_limit", into.label_limit);
  read_limit(s, "label_name_length_limit", into.label_name_length_limit);
  read_limit(s, "label_value_length_limit", into.label_value_length_limit);
  read_limit(s, "target_limit", into.target_limit);
  read_http_client(s, folder, into.http);
  into.relabel_configs = read_relabel(s, "relabel_configs");
  into.metric_relabel_configs = read_relabel(s, "metric_relabel_configs");
  read_static(s, into);
  read_file_sd(s, folder, into);
  for (const auto name : discoveries)
    s.refuse(fmt::format("{}_sd_configs", name), "use static_configs or file_sd_configs");
}

} // namespace

void read_scrape_settings(config_section& root, const std::filesystem::path& folder, scrape_settings& into) {
  root.section("global", [&](config_section& s) {
    const bool has_timeout = s.has("scrape_timeout");
    s.read("scrape_interval", into.scrape_interval);
    s.read("scrape_timeout", into.scrape_timeout);
    if (into.scrape_interval.count() <= 0)
      s.complain("scrape_interval", "must be above 0, such as 15s");
    if (has_timeout && into.scrape_timeout > into.scrape_interval)
      s.complain("scrape_timeout", "is longer than the scrape_interval");
    into.scrape_timeout = std::min(into.scrape_timeout, into.scrape_interval);
    s.refuse("external_labels",
             "the site's name comes from the edge's key; put labels under static_configs, or set "
             "them with relabel_configs");
    s.refuse("evaluation_interval", "this section is about scraping only; remove the key");
    s.refuse("query_log_file", "an edge keeps no query log; remove the key");
  });
  std::set<std::string> names;
  root.list("scrape_configs", [&](config_section& s) {
    scrape_config job;
    read_job(s, folder, into, job);
    if (!job.job_name.empty() && !names.insert(job.job_name).second)
      s.complain("job_name",
                 fmt::format("'{}' is there twice: give each scrape_config its own", job.job_name));
    into.jobs.push_back(std::move(job));
  });
}

std::vector<std::string> missing_files(const scrape_settings& settings) {
  std::vector<std::string> out;
  for (const auto& job : settings.jobs) {
    const std::pair<std::string_view, const std::filesystem::path*> named[] = {
        {"tls_config.ca_file", &job.http.tls.ca_file},
        {"tls_config.cert_file", &job.http.tls.cert_file},
        {"tls_config.key_file", &job.http.tls.key_file},
        {"basic_auth.password_file", &job.http.password_file},
        {"authorization.credentials_file", &job.http.credentials_file},
    };
    for (const auto& [key, file] : named)
      if (!file->empty() && ::access(file->c_str(), R_OK) != 0)
        out.push_back(fmt::format("job '{}': {}: can't read {}: {}; its targets stay down until it is there",
                                  job.job_name, key, file->string(), std::strerror(errno)));
  }
  return out;
}

} // namespace skerry::edge
