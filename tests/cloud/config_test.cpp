#include "actors/node/data_directory.hpp"
#include "cloud/config.hpp"
#include "tests/actors/base/temporary_folder.hpp"
#include "tests/config_keys.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::cloud;
using namespace skerry::test;

namespace {

const std::string tree = SKERRY_SOURCE_DIR;
const std::string example = tree + "/deploy/cloud.example.yaml";

} // namespace

TEST_CASE("the example of a cloud's configuration has the defaults") {
  const auto loaded = load_config(example);
  REQUIRE(loaded);
  CHECK(loaded.value().errors == std::vector<std::string>{});
  const auto& is = loaded.value().config;
  const cloud_config like;
  CHECK(is.data == like.data);
  CHECK(is.name == like.name);
  CHECK(is.log_level == like.log_level);
  check_same(is.http, like.http);
  CHECK(is.link.bind == like.link.bind);
  CHECK(is.link.advertise == like.link.advertise);
  CHECK(is.link.message_bytes_max == like.link.message_bytes_max);
  CHECK(is.link.connections_max == like.link.connections_max);
  CHECK(is.link.handshakes_per_second_max == like.link.handshakes_per_second_max);
  CHECK(is.link.handshakes_waiting_max == like.link.handshakes_waiting_max);
  CHECK(is.receiver.credit_bytes == like.receiver.credit_bytes);
  CHECK(is.receiver.memory_max == like.receiver.memory_max);
  CHECK(is.receiver.batch_bytes_max == like.receiver.batch_bytes_max);
  CHECK(is.receiver.ranges_max == like.receiver.ranges_max);
  CHECK(is.future_max == like.future_max);
  CHECK(is.hosts.hosts_max == like.hosts.hosts_max);
  CHECK(is.hosts.site_hosts_max == like.hosts.site_hosts_max);
  CHECK(is.store.retention == like.store.retention);
  CHECK(is.store.log_segment_bytes == like.store.log_segment_bytes);
  CHECK(is.store.log_bytes_max == like.store.log_bytes_max);
  CHECK(is.store.log_memory_bytes_max == like.store.log_memory_bytes_max);
  CHECK(is.store.state_bytes_max == like.store.state_bytes_max);
  CHECK(is.store.state_edge_bytes_max == like.store.state_edge_bytes_max);
  CHECK(is.store.log_age_max == like.store.log_age_max);
  CHECK(is.store.commit_gather == like.store.commit_gather);
  CHECK(is.store.partition_span == like.store.partition_span);
  CHECK(is.store.partitions_open_max == like.store.partitions_open_max);
  CHECK(is.store.queue_bytes_max == like.store.queue_bytes_max);
  CHECK(is.store.read_cache_bytes_max == like.store.read_cache_bytes_max);
  CHECK(is.store.read_threads == like.store.read_threads);
  CHECK(is.store.scrub_bytes_per_second == like.store.scrub_bytes_per_second);
  CHECK(is.store.scrub_interval == like.store.scrub_interval);
  CHECK(is.query_cache_bytes_max == like.query_cache_bytes_max);
  CHECK(is.queries.threads == like.queries.threads);
  CHECK(is.queries.queue_max == like.queries.queue_max);
  CHECK(is.queries.timeout_max == like.queries.timeout_max);
  CHECK(is.limits.timeout == like.limits.timeout);
  CHECK(is.limits.lookback == like.limits.lookback);
  CHECK(is.limits.samples_max == like.limits.samples_max);
  CHECK(is.limits.memory_bytes_max == like.limits.memory_bytes_max);
  CHECK(is.limits.memory_each_bytes_max == like.limits.memory_each_bytes_max);
}

TEST_CASE("the example of a cloud's configuration shows every key") {
  check_shows_every_key(example, {tree + "/cloud/config.cpp", tree + "/actors/node/http_settings.cpp"}, 40);
}

TEST_CASE("what would stop a cloud's start is said by the check, across keys too") {
  const temporary_folder folder;
  const auto mistakes_of = [&](std::string_view text) {
    const auto file = folder.path() / "c.yaml";
    std::ofstream{file} << text;
    auto loaded = load_config(file);
    REQUIRE(loaded);
    return loaded.value().errors;
  };
  const std::pair<std::string, const char*> wrong[] = {
      {"store: {log_bytes_max: 1MiB}", "room for two"},
      {"store: {clock_jump_wait: -1s}", "clock_jump_wait"},
      {"http: {listen: '300.1.2.3:7480', allow_remote_unauthenticated: true}",
       "neither an address nor a name"},
      {"http: {listen: '127.0.0.1:7481'}", "has the port of http.listen"},
      {"link: {bind: 'tcp://300.1.2.3:7481'}", "no address to listen on"},
      {"link: {bind: ''}", "no address to listen on"},
      {"{link: {message_bytes_max: 1MiB}, ingest: {batch_bytes_max: 2MiB}}",
       "at least ingest.batch_bytes_max"},
      {"name: ''", "name: must have 1 to 256 bytes"},
      {"name: " + std::string(300, 'n'), "name: must have 1 to 256 bytes"},
  };
  for (const auto& [text, part] : wrong) {
    INFO(text);
    const auto said = mistakes_of(text);
    REQUIRE(said.size() == 1);
    CHECK(said[0].find(part) != std::string::npos);
  }
  cloud_config config;
  config.data = folder.path() / "edge";
  CHECK(check_data(config).empty());
  { REQUIRE(data_directory::open(config.data, node_kind::edge)); }
  CHECK(check_data(config).at(0).find("directory of skerry-edge") != std::string::npos);
}

TEST_CASE("what the example of a cloud's configuration has in comments can be turned on") {
  const temporary_folder folder;
  const auto loaded = load_config(turned_on(example, folder.path()));
  REQUIRE(loaded);
  CHECK(loaded.value().errors == std::vector<std::string>{});
  CHECK(loaded.value().config.http.bearer_token == "secret");
  CHECK(loaded.value().config.link.advertise == "cloud.example.org:7481");
}
