#include "actors/link/keys.hpp"
#include "actors/node/data_directory.hpp"
#include "edge/config.hpp"
#include "tests/actors/base/temporary_folder.hpp"
#include "tests/config_keys.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <fstream>

using namespace skerry;
using namespace skerry::edge;
using namespace skerry::test;

namespace {

const std::string tree = SKERRY_SOURCE_DIR;
const std::string example = tree + "/deploy/edge.example.yaml";

} // namespace

namespace {

std::vector<std::string> mistakes_of(std::string_view text) {
  const temporary_folder folder;
  const auto file = folder.path() / "e.yaml";
  std::ofstream{file} << text;
  auto loaded = load_config(file);
  REQUIRE(loaded);
  return loaded.value().errors;
}

bool any_has(const std::vector<std::string>& all, std::string_view line, std::string_view part) {
  return std::any_of(all.begin(), all.end(), [&](const std::string& one) {
    return one.find(fmt::format("e.yaml:{}: ", line)) != std::string::npos
           && one.find(part) != std::string::npos;
  });
}

} // namespace

TEST_CASE("every mistake of a section is said, at the line of its key") {
  const auto said =
      mistakes_of("collect:\n  disabled: [nosuch, lodavg]\n  netdev_device_exclude: '('\n  series_max: 5\n");
  CHECK(said.size() == 3);
  CHECK(any_has(said, "2", "\"nosuch\""));
  CHECK(any_has(said, "2", "did you mean \"loadavg\"?"));
  CHECK(any_has(said, "3", "netdev_device_exclude: not a regular expression"));
}

TEST_CASE("what Prometheus documents and an edge does not do is refused by name") {
  for (const auto* key : {"remote_write", "remote_read", "rule_files", "alerting", "storage", "tracing"})
    CHECK(any_has(mistakes_of(fmt::format("{}: []\n", key)), "1", fmt::format("{}: not supported: ", key)));
}

TEST_CASE("addresses of the link and the data directory are checked where they are read") {
  CHECK(any_has(mistakes_of("link: {bind: '127.0.0.1:7481'}\n"), "1", "tcp://ADDRESS:PORT"));
  for (const auto* wrong :
       {"nohost", "host:", "host:0", "*:7481", "host:x", "a b:1", "http://host:1", "::1:7481"})
    CHECK(any_has(mistakes_of(fmt::format("link: {{advertise: '{}'}}\n", wrong)), "1", "HOST:PORT"));
  for (const auto* right : {"host:7481", "tcp://host:7481", "[::1]:7481", "192.0.2.1:1"})
    CHECK(mistakes_of(fmt::format("link: {{bind: 'tcp://*:7481', advertise: '{}'}}\n", right)).empty());
  CHECK(mistakes_of("link: {bind: ''}\n").empty());
  CHECK(any_has(mistakes_of("data: ''\n"), "1", "data: is empty"));
}

TEST_CASE("what would stop the start is said by the check, across keys too") {
  const std::pair<const char*, const char*> wrong[] = {
      {"spool: {bytes_max: 10MiB}", "at least segment_bytes"},
      {"spool: {segment_bytes: 1KiB}", "segment_bytes is 1024"},
      {"spool: {segment_bytes: 8GiB, bytes_max: 16GiB}", "4 GiB"},
      {"spool: {clock_jump_wait: -1s}", "clock_jump_wait"},
      {"http: {listen: '300.1.2.3:7490', allow_remote_unauthenticated: true}",
       "neither an address nor a name"},
      {"http: {listen: '[::zz]:7490', allow_remote_unauthenticated: true}", "neither an address nor a name"},
      {"http: {listen: 'a b:7490', allow_remote_unauthenticated: true}", "neither an address nor a name"},
      {"link: {bind: 'tcp://300.1.2.3:7491'}", "no address to listen on"},
      {"link: {bind: 'tcp://a b:7491'}", "no address to listen on"},
      {"link: {bind: 'tcp://*:7490'}", "the port of http.listen"},
      {"link: {bind: 'tcp://127.0.0.1:7490'}", "the port of http.listen"},
      {"link: {message_bytes_max: 1KiB}", "between 64KiB and 1GiB"},
      {"{link: {message_bytes_max: 1MiB}, uplink: {batch_bytes_max: 2MiB}}",
       "at least uplink.batch_bytes_max"},
  };
  for (const auto& [text, part] : wrong) {
    INFO(text);
    const auto said = mistakes_of(text);
    REQUIRE(said.size() == 1);
    CHECK(said[0].find(part) != std::string::npos);
  }
  for (const auto* right :
       {"spool: {bytes_max: 64MiB}", "spool: {bytes_max: 10MiB, segment_bytes: 1MiB, when_full: thin_oldest}",
        "link: {bind: 'tcp://eth0:7491'}", "link: {bind: 'tcp://[fe80::1%eth0]:7491'}",
        "link: {bind: 'tcp://*:*'}", "link: {bind: 'tcp://192.0.2.1:7490'}", "http: {listen: 'localhost:0'}",
        "http: {listen: '[::1]:7490'}"}) {
    INFO(right);
    CHECK(mistakes_of(right).empty());
  }
}

TEST_CASE("the spool fits on a small disk where no limit is set") {
  edge_config config;
  const auto small = spool_config_of(config, 20 << 20);
  CHECK(small.bytes_max == 20 << 20);
  CHECK(small.segment_bytes == 5 << 20);
  CHECK(small.validate_sizes());
  CHECK(spool_config_of(config, 1000).validate_sizes());
  CHECK(spool_config_of(config, spool_bytes_max_default).segment_bytes == 64 << 20);
}

TEST_CASE("the check looks into the data directory") {
  const temporary_folder folder;
  edge_config config;
  config.data = folder.path() / "data";
  CHECK(check_data(config).empty()); // a first start makes it
  std::ofstream{config.data} << "a file";
  CHECK(check_data(config).at(0).find("is not a folder") != std::string::npos);
  std::filesystem::remove(config.data);
  {
    const auto made = data_directory::open(config.data, node_kind::edge);
    REQUIRE(made);
    CHECK(check_data(config).empty()); // it has not joined yet
    REQUIRE(link::save_keypair(config.data / "link.key", link::make_keypair()));
    CHECK(check_data(config).empty()); // while it runs, too
    std::filesystem::permissions(config.data / "link.key", std::filesystem::perms{0644});
    const auto said = check_data(config);
    REQUIRE(said.size() == 1);
    CHECK(said[0].find("chmod 600") != std::string::npos);
  }
  std::ofstream{config.data / "identity.json"} << "{";
  CHECK(check_data(config).size() == 2);
  config.data = folder.path() / "cloud";
  { REQUIRE(data_directory::open(config.data, node_kind::cloud)); }
  CHECK(check_data(config).at(0).find("directory of skerry-cloud") != std::string::npos);
  config.data = folder.path() / std::string(120, 'd');
  CHECK(check_data(config).at(0).find("operator.sock") != std::string::npos);
}

TEST_CASE("a token file that others can read is refused") {
  const temporary_folder folder;
  const auto token = folder.path() / "token";
  std::ofstream{token} << "secret\n";
  std::filesystem::permissions(token, std::filesystem::perms{0644});
  const auto text = fmt::format("http: {{token_file: {}}}\n", token.string());
  CHECK(any_has(mistakes_of(text), "1", "chmod 600"));
  std::filesystem::permissions(token, std::filesystem::perms{0600});
  CHECK(mistakes_of(text).empty());
}

TEST_CASE("files that jobs name and that are not there are named, and are no mistake of the file") {
  const temporary_folder folder;
  const auto file = folder.path() / "e.yaml";
  std::ofstream{file} << "scrape_configs: [{job_name: j, tls_config: {ca_file: nosuch}, authorization: "
                         "{credentials_file: no}}]\n";
  const auto loaded = load_config(file);
  REQUIRE(loaded);
  CHECK(loaded.value().errors.empty());
  const auto missing = missing_files(loaded.value().config.collect.scrape);
  REQUIRE(missing.size() == 2);
  CHECK(missing[0].find("job 'j': tls_config.ca_file: can't read " + (folder.path() / "nosuch").string())
        == 0);
}

TEST_CASE("the example of an edge's configuration has the defaults") {
  const auto loaded = load_config(example);
  REQUIRE(loaded);
  CHECK(loaded.value().errors == std::vector<std::string>{});
  const auto& is = loaded.value().config;
  const auto like = default_config();
  CHECK(is.data == like.data);
  CHECK(is.collect.host == like.collect.host);
  CHECK(is.log_level == like.log_level);
  check_same(is.http, like.http);
  CHECK(is.collect.host_metrics == like.collect.host_metrics);
  CHECK(is.collect.interval == like.collect.interval);
  CHECK(is.collect.job == like.collect.job);
  CHECK(is.collect.collectors.enabled == like.collect.collectors.enabled);
  CHECK(is.collect.collectors.disabled == like.collect.collectors.disabled);
  CHECK(is.collect.collectors.proc == like.collect.collectors.proc);
  CHECK(is.collect.collectors.sys == like.collect.collectors.sys);
  CHECK(is.collect.collectors.rootfs == like.collect.collectors.rootfs);
  CHECK(is.collect.collectors.udev == like.collect.collectors.udev);
  CHECK(is.collect.collectors.filesystem_mount_points_exclude
        == like.collect.collectors.filesystem_mount_points_exclude);
  CHECK(is.collect.collectors.filesystem_fs_types_exclude
        == like.collect.collectors.filesystem_fs_types_exclude);
  CHECK(is.collect.collectors.diskstats_device_exclude == like.collect.collectors.diskstats_device_exclude);
  CHECK(is.collect.collectors.netdev_device_exclude == like.collect.collectors.netdev_device_exclude);
  CHECK(is.collect.collectors.netclass_ignored_devices == like.collect.collectors.netclass_ignored_devices);
  CHECK(is.collect.collectors.netstat_fields == like.collect.collectors.netstat_fields);
  CHECK(is.collect.collectors.vmstat_fields == like.collect.collectors.vmstat_fields);
  CHECK(is.collect.collectors.series_max == like.collect.collectors.series_max);
  CHECK(is.collect.pages_bytes_max == like.collect.pages_bytes_max);
  CHECK(is.collect.collectors.tasks_max == like.collect.collectors.tasks_max);
  CHECK(is.collect.collectors.time_max == like.collect.collectors.time_max);
  CHECK(is.collect.scrape.scrape_interval == like.collect.scrape.scrape_interval);
  CHECK(is.collect.scrape.scrape_timeout == like.collect.scrape.scrape_timeout);
  CHECK(is.collect.scrape.jobs.empty());
  CHECK(is.spool.bytes_max == like.spool.bytes_max);
  CHECK(is.spool.segment_bytes == like.spool.segment_bytes);
  CHECK(is.spool.reserve_bytes == like.spool.reserve_bytes);
  CHECK(is.spool.clock_jump_wait == like.spool.clock_jump_wait);
  CHECK(is.gateway.commit_interval == like.gateway.commit_interval);
  CHECK(is.gateway.journal == like.gateway.journal);
  CHECK(is.sender.batch_bytes_max == like.sender.batch_bytes_max);
  CHECK(is.sender.dead_after == like.sender.dead_after);
  CHECK(is.sender.ping_interval == like.sender.ping_interval);
  CHECK(is.link.bind == like.link.bind);
  CHECK(is.link.advertise == like.link.advertise);
  CHECK(is.link.message_bytes_max == like.link.message_bytes_max);
}

TEST_CASE("the example of an edge's configuration shows every key") {
  check_shows_every_key(example, {tree + "/edge/config.cpp", tree + "/actors/node/http_settings.cpp"}, 45);
}

TEST_CASE("what the example of an edge's configuration has in comments can be turned on") {
  const temporary_folder folder;
  const auto loaded = load_config(turned_on(example, folder.path()));
  REQUIRE(loaded);
  CHECK(loaded.value().errors == std::vector<std::string>{});
  const auto& config = loaded.value().config;
  CHECK(config.collect.host == "ship-01");
  CHECK(config.http.bearer_token == "secret");
  CHECK(config.collect.collectors.netdev_device_exclude == "^lo$");
  CHECK(config.collect.collectors.diskstats_device_exclude == R"(^(ram|loop|fd)\d+$)");
  CHECK(config.spool.bytes_max == std::uint64_t{10} << 30);
  CHECK(config.gateway.journal == "FILE");
  CHECK(config.link.bind == "tcp://*:7491");
  CHECK(config.link.advertise == "gateway.example.org:7491");
}
