#include "cloud/config.hpp"

#include "actors/http/listen.hpp"
#include "actors/link/address.hpp"
#include "actors/link/keys.hpp"
#include "actors/link/text.hpp"
#include "actors/node/config.hpp"
#include "actors/node/data_directory.hpp"
#include "actors/node/http_settings.hpp"
#include "actors/node/log.hpp"
#include "actors/node/settings.hpp"
#include "schemas/model/site_name.hpp"

#include <fmt/format.h>

#include <fstream>
#include <iterator>

namespace skerry::cloud {

namespace {

void read_store(config_section& s, embedded_config& to) {
  std::string retention;
  if (s.read("retention", retention)) {
    if (retention == "forever") {
      to.retention = {};
    } else if (auto parsed = parse_duration(retention)) {
      to.retention = parsed.value();
    } else {
      s.complain("retention", parsed.error().message + ", or 'forever'");
    }
  }
  read_size(s, "log_segment_bytes", to.log_segment_bytes);
  read_size(s, "log_bytes_max", to.log_bytes_max);
  read_size(s, "log_memory_bytes_max", to.log_memory_bytes_max);
  read_size(s, "state_bytes_max", to.state_bytes_max);
  read_size(s, "state_edge_bytes_max", to.state_edge_bytes_max);
  s.read("log_age_max", to.log_age_max);
  s.read("commit_gather", to.commit_gather);
  if (to.commit_gather > std::chrono::seconds{1})
    s.complain("commit_gather", "must be at most 1s: acks wait for it");
  s.read("clock_jump_wait", to.clock_jump_wait);
  s.read("partition_span", to.partition_span);
  read_count(s, "partitions_open_max", to.partitions_open_max, 1, 10'000);
  read_size(s, "queue_bytes_max", to.queue_bytes_max);
  read_size(s, "read_cache_bytes_max", to.read_cache_bytes_max);
  read_count(s, "read_threads", to.read_threads, 0, 64);
  read_size(s, "scrub_bytes_per_second", to.scrub_bytes_per_second);
  s.read("scrub_interval", to.scrub_interval);
  to.directory = "unset"; // main puts it below `data`; validate() wants one
  if (const auto valid = to.validate(); !valid)
    s.complain("log_segment_bytes", valid.error().message);
}

} // namespace

std::vector<std::string> check_data(const cloud_config& config) {
  std::vector<std::string> out;
  const auto take = [&out](const auto& looked_at) {
    if (!looked_at && looked_at.error().code != errc::not_found && looked_at.error().code != errc::io)
      out.push_back(looked_at.error().message);
  };
  take(data_directory::look(config.data, node_kind::cloud));
  take(http::check_socket_path((config.data / "operator.sock").string()));
  take(link::load_keypair(config.data / "link.key"));
  return out;
}

result<loaded_config> load_config(const std::filesystem::path& file) {
  BOOST_OUTCOME_TRY(document, config_document::load(file));
  loaded_config loaded;
  auto& to = loaded.config;
  auto& root = document->root();
  if (std::ifstream in{file}; in)
    to.text.assign(std::istreambuf_iterator<char>{in}, {});
  std::string data;
  if (root.read("data", data)) {
    to.data = data;
    if (data.empty())
      root.complain("data", "is empty; name the directory that holds this node's data, or leave the key out");
  }
  if (root.read("name", to.name)
      && (to.name.empty() || to.name.size() > link::name_bytes_max || !link::is_clean_text(to.name)))
    root.complain("name", fmt::format("must have 1 to {} bytes of printable text", link::name_bytes_max));
  root.section("log", [&](config_section& s) {
    if (s.read("level", to.log_level))
      if (const auto valid = check_log_level(to.log_level); !valid)
        s.complain("level", valid.error().message);
  });
  root.section("http", [&](config_section& s) {
    http::read_settings(s, to.http);
    s.read("admin_api", to.admin_api);
  });
  root.section("ingest", [&](config_section& s) {
    read_size(s, "credit_bytes", to.receiver.credit_bytes);
    if (to.receiver.credit_bytes < 4096 || to.receiver.credit_bytes > (1 << 30))
      s.complain("credit_bytes", "must lie between 4KiB and 1GiB");
    read_size(s, "memory_max", to.receiver.memory_max);
    if (to.receiver.memory_max < (8 << 20))
      s.complain("memory_max", "must be at least 8MiB");
    read_size(s, "batch_bytes_max", to.receiver.batch_bytes_max);
    if (to.receiver.batch_bytes_max < 4096 || to.receiver.batch_bytes_max > (8 << 20))
      s.complain("batch_bytes_max", "must lie between 4KiB and 8MiB");
    s.read("future_max", to.future_max);
    if (to.future_max < std::chrono::seconds{1})
      s.complain("future_max", "must be at least 1s");
    read_count(s, "hosts_max", to.hosts.hosts_max, 1, 100'000'000);
    read_count(s, "site_hosts_max", to.hosts.site_hosts_max, 1, 100'000'000);
    s.read("remote_write", to.remote_write);
    s.read("remote_write_site", to.remote_write_site);
    if (!is_site_name(to.remote_write_site))
      s.complain("remote_write_site", "must be 1 to 128 letters, digits, '.', '_' or '-', beginning with a "
                                      "letter or a digit");
    read_size(s, "remote_write_bytes_max", to.remote_write_bytes_max);
    if (to.remote_write_bytes_max < (1 << 20))
      s.complain("remote_write_bytes_max", "must be at least 1MiB");
  });
  root.section("link", [&](config_section& s) {
    link::read_addresses(s, to.link.bind, to.link.advertise, false);
    read_size(s, "queue_bytes_max", to.link.queue_bytes_max);
    if (to.link.queue_bytes_max < (1 << 20) || to.link.queue_bytes_max > (std::uint64_t{16} << 30))
      s.complain("queue_bytes_max", "must lie between 1MiB and 16GiB");
    link::read_message_limit(s, to.link.message_bytes_max, to.receiver.batch_bytes_max,
                             "ingest.batch_bytes_max");
    read_count(s, "connections_max", to.link.connections_max, 1, 1'000'000);
    read_count(s, "handshakes_per_second_max", to.link.handshakes_per_second_max, 1, 100'000);
    read_count(s, "handshakes_waiting_max", to.link.handshakes_waiting_max, 1, 1'000'000);
  });
  if (link::same_port(to.link.bind, to.http.listen))
    root.complain(root.has("link") ? "link" : "http",
                  fmt::format("link.bind ({}) has the port of http.listen ({}): give one of them another",
                              to.link.bind, to.http.listen));
  root.section("delivery", [&](config_section& s) {
    read_count(s, "ranges_max", to.receiver.ranges_max, 16, 65'536);
    read_count(s, "epochs_max", to.receiver.epochs_max, 16, 65'536);
  });
  root.section("store", [&](config_section& s) { read_store(s, to.store); });
  root.section("query", [&](config_section& s) {
    read_count(s, "threads", to.queries.threads, 1, 256);
    read_count(s, "queue_max", to.queries.queue_max, 1, 100'000);
    read_milliseconds(s, "timeout", to.queries.timeout_max);
    to.limits.timeout = to.queries.timeout_max;
    read_milliseconds(s, "lookback", to.limits.lookback);
    read_count(s, "samples_max", to.limits.samples_max, 1, std::int64_t{1} << 40);
    api::read_memory(s, to.limits);
    read_size(s, "cache_bytes_max", to.query_cache_bytes_max);
    if (const auto valid = to.queries.validate(); !valid)
      s.complain("threads", valid.error().message);
  });
  root.finish();
  loaded.errors = document->errors();
  loaded.settings = document->digest();
  return loaded;
}

} // namespace skerry::cloud
