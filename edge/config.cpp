#include "edge/config.hpp"

#include "actors/http/listen.hpp"
#include "actors/link/address.hpp"
#include "actors/link/keys.hpp"
#include "actors/node/config.hpp"
#include "actors/node/data_directory.hpp"
#include "actors/node/http_settings.hpp"
#include "actors/node/log.hpp"
#include "actors/node/settings.hpp"
#include "edge/identity.hpp"
#include "schemas/model/host.hpp"

#include <array>
#include <unistd.h>

namespace skerry::edge {

namespace {

void read_collect(config_section& s, edge_config& to) {
  s.read("host_metrics", to.collect.host_metrics);
  s.read("interval", to.collect.interval);
  if (to.collect.interval < std::chrono::milliseconds{100})
    s.complain("interval", "must be at least 100ms");
  s.read("job", to.collect.job);
  auto& c = to.collect.collectors;
  s.read("enabled", c.enabled);
  s.read("disabled", c.disabled);
  const auto path = [&](std::string_view key, std::filesystem::path& into) {
    std::string text;
    if (s.read(key, text))
      into = text;
  };
  path("proc", c.proc);
  path("sys", c.sys);
  path("rootfs", c.rootfs);
  path("udev", c.udev);
  s.read("filesystem_mount_points_exclude", c.filesystem_mount_points_exclude);
  s.read("filesystem_fs_types_exclude", c.filesystem_fs_types_exclude);
  s.read("diskstats_device_exclude", c.diskstats_device_exclude);
  s.read("netdev_device_exclude", c.netdev_device_exclude);
  s.read("netclass_ignored_devices", c.netclass_ignored_devices);
  s.read("netstat_fields", c.netstat_fields);
  s.read("vmstat_fields", c.vmstat_fields);
  read_count(s, "series_max", c.series_max, 1, 1'000'000);
  read_size(s, "pages_bytes_max", to.collect.pages_bytes_max);
  if (to.collect.pages_bytes_max < (1 << 20) || to.collect.pages_bytes_max > (std::size_t{16} << 30))
    s.complain("pages_bytes_max", "must lie between 1MiB and 16GiB");
  read_count(s, "tasks_max", c.tasks_max, 1, 10'000'000);
  s.read("time_max", c.time_max);
  for (const auto& mistake : c.mistakes())
    s.complain(mistake.setting, mistake.what);
}

void read_spool(config_section& s, edge_config& to) {
  read_size(s, "bytes_max", to.spool.bytes_max);
  read_size(s, "segment_bytes", to.spool.segment_bytes);
  read_size(s, "reserve_bytes", to.spool.reserve_bytes);
  std::string policy;
  if (s.read("when_full", policy)) {
    auto& p = to.gateway.limits.policy;
    p = policy == "drop_newest"   ? full_policy::drop_newest
        : policy == "thin_oldest" ? full_policy::thin_oldest
                                  : full_policy::drop_oldest;
    if (policy != "drop_oldest" && policy != "drop_newest" && policy != "thin_oldest")
      s.complain("when_full", "must be drop_oldest, drop_newest or thin_oldest");
  }
  s.read("thin_step", to.gateway.limits.thin_step);
  s.read("age_max", to.gateway.limits.age_max);
  s.read_bytes("free_disk_min", to.gateway.limits.free_disk_min);
  if (const auto valid = to.gateway.limits.validate(); !valid)
    s.complain("", valid.error().message);
  s.read("clock_jump_wait", to.spool.clock_jump_wait);
  if (to.spool.clock_jump_wait < std::chrono::nanoseconds::zero())
    s.complain("clock_jump_wait", "must not be below 0; 0 believes the clock at once");
  s.read("local_retention", to.spool.local_retention);
  if (to.spool.local_retention < std::chrono::nanoseconds::zero())
    s.complain("local_retention", "must not be below 0");
  read_size(s, "local_bytes_max", to.spool.local_bytes_max);
  if (const auto valid = spool_config_of(to, spool_bytes_max_default).validate_sizes(); !valid)
    s.complain(s.has("bytes_max") ? "bytes_max" : "segment_bytes", valid.error().message);
  std::chrono::nanoseconds interval = to.gateway.commit_interval;
  s.read("commit_interval", interval);
  to.gateway.commit_interval = std::chrono::duration_cast<std::chrono::milliseconds>(interval);
  if (interval < std::chrono::milliseconds{1} || interval > std::chrono::seconds{1})
    s.complain("commit_interval", "must lie between 1ms and 1s: it is what a killed process loses at most");
  std::string journal;
  if (s.read("commit_journal", journal))
    to.gateway.journal = journal;
}

void read_quota(config_section& s, delivery::quota_config& to) {
  s.read_bytes("bytes", to.bytes);
  std::string per;
  if (s.read("per", per)) {
    to.per = per == "day" ? delivery::quota_period::day : delivery::quota_period::month;
    if (per != "day" && per != "month")
      s.complain("per", "must be day or month");
  }
  s.read("backlog_until", to.backlog_until, 0, 1);
  s.read("live_until", to.live_until, 0, 1);
  s.read("reserve", to.reserve, 0, 0.5);
  s.read("thin_interval", to.thin_interval);
  if (const auto valid = to.validate(); !valid)
    s.complain("", valid.error().message);
}

void read_uplink(config_section& s, edge_config& to) {
  read_size(s, "batch_bytes_max", to.sender.batch_bytes_max);
  if (to.sender.batch_bytes_max < 4096 || to.sender.batch_bytes_max > (8 << 20))
    s.complain("batch_bytes_max", "must lie between 4KiB and 8MiB");
  s.read("dead_after", to.sender.dead_after);
  if (to.sender.dead_after < std::chrono::seconds{1})
    s.complain("dead_after", "must be at least 1s");
  s.read_bytes("bandwidth", to.sender.bandwidth_bytes);
  s.read("backlog_share", to.sender.backlog_share, 0.01, 1);
  std::string order;
  if (s.read("backlog_order", order)) {
    to.sender.backlog = order == "newest_first" ? delivery::backlog_order::newest_first
                                                : delivery::backlog_order::oldest_first;
    if (order != "newest_first" && order != "oldest_first")
      s.complain("backlog_order", "must be oldest_first or newest_first");
  }
  s.read("backlog_apart_from", to.uplink.backlog_apart_from);
  s.read("failover_after", to.uplink.failover_after);
  if (to.uplink.failover_after < std::chrono::seconds{1})
    s.complain("failover_after", "must be at least 1s");
  s.section("quota", [&](config_section& q) { read_quota(q, to.uplink.quota); });
  s.read("ping_interval", to.sender.ping_interval);
  if (to.sender.ping_interval < std::chrono::seconds{1})
    s.complain("ping_interval", "must be at least 1s");
}

} // namespace

edge_config default_config() {
  edge_config config;
  config.http.listen = "127.0.0.1:7490";
  config.http.bodies_bytes_max = 32 << 20;
  config.http.answers_bytes_max = 64 << 20;
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) == 0)
    config.collect.host = name.data();
  if (config.collect.host.empty())
    config.collect.host = "localhost";
  return config;
}

spool_config spool_config_of(const edge_config& config, std::uint64_t bytes_max_default) {
  spool_config out;
  static_cast<spool_settings&>(out) = config.spool;
  out.directory = config.data / "spool";
  if (config.spool.bytes_max == 0) { // a small disk is no reason not to start
    out.segment_bytes = std::min(out.segment_bytes, std::max(segment_bytes_min, bytes_max_default / 4));
    out.bytes_max = std::max(bytes_max_default, out.segment_bytes);
  }
  if (config.gateway.limits.policy == full_policy::thin_oldest)
    out.replace_bytes = std::min(out.segment_bytes, out.bytes_max / 4);
  out.drops_by_age = config.gateway.limits.age_max.count() != 0;
  return out;
}

std::vector<std::string> check_data(const edge_config& config) {
  std::vector<std::string> out;
  const auto take = [&out](const auto& looked_at) {
    if (!looked_at && looked_at.error().code != errc::not_found && looked_at.error().code != errc::io)
      out.push_back(looked_at.error().message);
  };
  take(data_directory::look(config.data, node_kind::edge));
  take(http::check_socket_path((config.data / "operator.sock").string()));
  take(load_identity(config.data));
  take(link::load_keypair(config.data / "link.key"));
  return out;
}

result<loaded_config> load_config(const std::filesystem::path& file) {
  BOOST_OUTCOME_TRY(document, config_document::load(file));
  loaded_config loaded{default_config(), {}, {}};
  auto& to = loaded.config;
  auto& root = document->root();
  std::string data;
  if (root.read("data", data)) {
    to.data = data;
    if (data.empty())
      root.complain("data", "is empty; name the directory that holds this node's data, or leave the key out");
  }
  if (root.read("host", to.collect.host)
      && (to.collect.host.empty() || to.collect.host.size() > host_name_bytes_max))
    root.complain("host", "must have 1 to 255 bytes; leave it out for the operating system's host name");
  root.section("log", [&](config_section& s) {
    if (s.read("level", to.log_level))
      if (const auto valid = check_log_level(to.log_level); !valid)
        s.complain("level", valid.error().message);
  });
  root.section("http", [&](config_section& s) { http::read_settings(s, to.http); });
  root.section("collect", [&](config_section& s) { read_collect(s, to); });
  read_scrape_settings(root, file.parent_path(), to.collect.scrape);
  root.section("spool", [&](config_section& s) { read_spool(s, to); });
  root.section("uplink", [&](config_section& s) { read_uplink(s, to); });
  root.section("remote_write_receiver", [&](config_section& s) {
    s.read("enabled", to.remote_write);
    read_size(s, "bytes_max", to.remote_write_bytes_max);
    if (to.remote_write_bytes_max < (1 << 20))
      s.complain("bytes_max", "must be at least 1MiB");
  });
  root.section("query", [&](config_section& s) {
    read_count(s, "threads", to.queries.threads, 1, 256);
    read_count(s, "queue_max", to.queries.queue_max, 1, 100'000);
    read_milliseconds(s, "timeout", to.queries.timeout_max);
    to.limits.timeout = to.queries.timeout_max;
    read_milliseconds(s, "lookback", to.limits.lookback);
    read_count(s, "samples_max", to.limits.samples_max, 1, std::int64_t{1} << 40);
    api::read_memory(s, to.limits);
    if (const auto valid = to.queries.validate(); !valid)
      s.complain("threads", valid.error().message);
  });
  root.section("link", [&](config_section& s) {
    link::read_addresses(s, to.link.bind, to.link.advertise, true);
    read_count(s, "connections_max", to.link.connections_max, 1, 1'000'000);
    read_size(s, "queue_bytes_max", to.link.queue_bytes_max);
    if (to.link.queue_bytes_max < (1 << 20) || to.link.queue_bytes_max > (std::uint64_t{16} << 30))
      s.complain("queue_bytes_max", "must lie between 1MiB and 16GiB");
    link::read_message_limit(s, to.link.message_bytes_max, to.sender.batch_bytes_max,
                             "uplink.batch_bytes_max");
  });
  if (link::same_port(to.link.bind, to.http.listen))
    root.complain("link", fmt::format("bind has the port of http.listen, {}: give one of them another",
                                      to.http.listen));
  for (const auto* elsewhere : {"rule_files", "alerting"})
    root.refuse(elsewhere,
                "an edge evaluates no rules yet, and sends to no Alertmanager; keep them with Prometheus");
  for (const auto* sender : {"remote_write", "remote_read"})
    root.refuse(sender,
                "an edge delivers to the node that it joined (`skerry-edge join`), and to nobody else");
  root.refuse("storage",
              "what waits for the link is set under spool, what is kept under store of the cloud node");
  root.refuse("tracing", "an edge sends no traces");
  root.refuse("scrape_config_files", "list the jobs under scrape_configs");
  root.finish();
  loaded.errors = document->errors();
  loaded.settings = document->digest();
  return loaded;
}

} // namespace skerry::edge
