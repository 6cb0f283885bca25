#include "edge/collect/scrape/target_manager.hpp"

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <fstream>
#include <unordered_map>

namespace skerry::edge {

namespace {

constexpr std::size_t secret_bytes_max = 64 << 10;

// Trimmed, as Prometheus trims it.
result<std::string> read_secret(const std::filesystem::path& path) {
  std::ifstream in{path, std::ios::binary};
  std::string text(secret_bytes_max + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!in.is_open() || in.bad())
    return fail(errc::io, fmt::format("the file {} can't be read; check its path and rights", path.string()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > secret_bytes_max)
    return fail(errc::invalid_argument, fmt::format("the file {} is too large for a secret", path.string()));
  constexpr std::string_view blanks = " \t\r\n";
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string::npos)
    return std::string{};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

std::string key_of(const scrape_config& config, const resolved_target& target) {
  auto key = config.job_name;
  for (const auto& [name, value] : target.all) {
    key += '\xff';
    key += name;
    key += '\xff';
    key += value;
  }
  key += '\xff';
  key += target.url;
  return key;
}

std::string go_seconds(std::chrono::nanoseconds value) {
  return fmt::format("{}", std::chrono::duration<double>(value).count());
}

} // namespace

result<fetch_options> make_fetch_options(const scrape_config& config, const resolved_target& target) {
  const auto& http = config.http;
  fetch_options out;
  out.url = target.url;
  out.headers.push_back(fmt::format("Accept: {}", scrape_accept));
  out.headers.push_back("User-Agent: Skerry");
  out.headers.push_back(fmt::format("X-Prometheus-Scrape-Timeout-Seconds: {}", go_seconds(target.timeout)));
  if (http.has_basic_auth) {
    out.basic_auth = true;
    out.username = http.username;
    out.password = http.password;
    if (!http.password_file.empty()) {
      BOOST_OUTCOME_TRY(secret, read_secret(http.password_file));
      out.password = std::move(secret);
    }
  } else if (!http.authorization_type.empty()) {
    auto credentials = http.credentials;
    if (!http.credentials_file.empty()) {
      BOOST_OUTCOME_TRY(secret, read_secret(http.credentials_file));
      credentials = std::move(secret);
    }
    if (credentials.find_first_of("\r\n") != std::string::npos)
      return fail(errc::invalid_argument, "the credentials of an authorization span several lines");
    out.authorization = fmt::format("{} {}", http.authorization_type, credentials);
  }
  out.ca_file = http.tls.ca_file;
  out.cert_file = http.tls.cert_file;
  out.key_file = http.tls.key_file;
  out.server_name = http.tls.server_name;
  out.insecure_skip_verify = http.tls.insecure_skip_verify;
  out.tls_min_version = http.tls.min_version;
  out.follow_redirects = http.follow_redirects;
  out.proxy_url = http.proxy_url;
  if (http.enable_compression)
    out.gzip = *http.enable_compression ? compression::on : compression::off;
  return out;
}

target_changes target_manager::apply(const scrape_settings& settings) {
  std::vector<job> jobs;
  refresh_every_ns_ = files_refresh_ns;
  for (const auto& config : settings.jobs) {
    job next{std::make_shared<const scrape_config>(config), target_files{config.file_sd_configs}};
    // Files that were read stay read: a file that is broken now keeps its groups.
    for (auto& old : jobs_)
      if (old.config->job_name == config.job_name && old.config->file_sd_configs == config.file_sd_configs)
        next.files = std::move(old.files);
    next.files.refresh();
    for (const auto& sd : config.file_sd_configs)
      refresh_every_ns_ = std::min<std::int64_t>(refresh_every_ns_, sd.refresh_interval.count());
    jobs.push_back(std::move(next));
  }
  jobs_ = std::move(jobs);
  return rebuild();
}

target_changes target_manager::refresh(std::int64_t monotonic_ns) {
  if (refreshed_ns_ != 0 && monotonic_ns - refreshed_ns_ < refresh_every_ns_)
    return {};
  refreshed_ns_ = monotonic_ns;
  bool changed = false;
  std::uint64_t errors = 0;
  for (auto& job : jobs_) {
    changed |= job.files.refresh();
    errors += job.files.errors();
  }
  if (errors > file_errors_)
    metrics_.file_errors.Increment(static_cast<double>(errors - file_errors_));
  file_errors_ = errors;
  // Secrets may have been renewed in their files.
  for (auto& managed : targets_) {
    const auto& http = managed.config->http;
    if (http.password_file.empty() && http.credentials_file.empty())
      continue;
    auto options = make_fetch_options(*managed.config, managed.target->resolved());
    if (options.has_value() != managed.options.has_value()
        || (options && !(options.value() == managed.options.value()))) {
      managed.options = std::move(options);
      managed.options_version = next_options_version_++;
      ++version_;
    }
  }
  return changed ? rebuild() : target_changes{};
}

target_changes target_manager::rebuild() {
  std::unordered_map<std::string, managed_target> old;
  for (auto& managed : targets_) {
    auto key = key_of(*managed.config, managed.target->resolved());
    old.emplace(std::move(key), std::move(managed));
  }
  targets_.clear();
  target_changes changes;
  std::size_t beyond = 0;
  for (const auto& job : jobs_) {
    const auto& config = *job.config;
    const auto first = targets_.size();
    std::unordered_map<std::string, bool> seen; // the same target twice is one target
    const auto add = [&](const target_group& group) {
      for (const auto& address : group.targets) {
        labels discovered{{"__address__", address}};
        for (const auto& [name, value] : group.all)
          if (name != "__address__")
            discovered.push_back({name, value});
        auto resolved = resolve_target(std::move(discovered), config);
        if (!resolved) {
          metrics_.target_errors.Increment();
          spdlog::warn("scrape: job {}: {}", config.job_name, resolved.error().message);
          continue;
        }
        if (!resolved.value())
          continue; // dropped by relabelling
        if (targets_.size() >= targets_max) {
          metrics_.target_errors.Increment();
          ++beyond;
          continue;
        }
        auto key = key_of(config, *resolved.value());
        if (!seen.try_emplace(key, true).second)
          continue;
        if (const auto it = old.find(key); it != old.end()) {
          auto managed = std::move(it->second);
          old.erase(it);
          managed.target->reconfigure(job.config);
          managed.config = job.config;
          auto options = make_fetch_options(config, managed.target->resolved());
          if (options.has_value() != managed.options.has_value()
              || (options && !(options.value() == managed.options.value())))
            managed.options_version = next_options_version_++;
          managed.options = std::move(options);
          targets_.push_back(std::move(managed));
        } else {
          auto options = make_fetch_options(config, *resolved.value());
          auto target =
              std::make_shared<scrape_target>(job.config, std::move(*resolved.value()), seed_, metrics_);
          targets_.push_back({std::move(target), std::move(options), next_options_version_++, job.config});
          ++changes.added;
        }
      }
    };
    for (std::size_t i = 0; i < config.static_configs.size(); ++i)
      add(config.static_configs[i]);
    for (const auto& group : job.files.groups())
      add(group);
    const auto count = targets_.size() - first;
    const bool too_many = config.target_limit != 0 && count > config.target_limit;
    for (auto i = first; i < targets_.size(); ++i)
      targets_[i].target->forced_error =
          too_many ? fmt::format("target_limit exceeded (number of targets: {}, limit: {})", count,
                                 config.target_limit)
                   : std::string{};
  }
  if (beyond != 0)
    spdlog::error("scrape: {} targets are not scraped: a node takes {}; divide them among several", beyond,
                  targets_max);
  for (auto& [key, managed] : old)
    changes.removed.push_back(std::move(managed.target));
  ++version_;
  return changes;
}

} // namespace skerry::edge
