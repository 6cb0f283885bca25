#include "cloud/config.hpp"
#include "tests/actors/node/temporary_folder.hpp"
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
  CHECK(is.http.listen == like.http.listen);
  CHECK(is.http.bearer_token == like.http.bearer_token);
  CHECK(is.http.allow_remote_unauthenticated == like.http.allow_remote_unauthenticated);
  CHECK(is.http.hosts_allowed == like.http.hosts_allowed);
  CHECK(is.http.threads == like.http.threads);
  CHECK(is.http.connections_max == like.http.connections_max);
  CHECK(is.http.request_timeout == like.http.request_timeout);
  CHECK(is.http.body_bytes_max == like.http.body_bytes_max);
  CHECK(is.link_bind == like.link_bind);
  CHECK(is.link_advertise == like.link_advertise);
  CHECK(is.link_message_bytes_max == like.link_message_bytes_max);
  CHECK(is.receiver.credit_bytes == like.receiver.credit_bytes);
  CHECK(is.receiver.batch_bytes_max == like.receiver.batch_bytes_max);
  CHECK(is.receiver.ranges_max == like.receiver.ranges_max);
  CHECK(is.future_max == like.future_max);
  CHECK(is.store.retention == like.store.retention);
  CHECK(is.store.log_segment_bytes == like.store.log_segment_bytes);
  CHECK(is.store.log_bytes_max == like.store.log_bytes_max);
  CHECK(is.store.log_age_max == like.store.log_age_max);
  CHECK(is.store.commit_gather == like.store.commit_gather);
  CHECK(is.store.partition_span == like.store.partition_span);
  CHECK(is.store.partitions_open_max == like.store.partitions_open_max);
  CHECK(is.store.queue_bytes_max == like.store.queue_bytes_max);
  CHECK(is.queries.threads == like.queries.threads);
  CHECK(is.queries.queue_max == like.queries.queue_max);
  CHECK(is.queries.timeout_max == like.queries.timeout_max);
  CHECK(is.limits.timeout == like.limits.timeout);
  CHECK(is.limits.lookback == like.limits.lookback);
  CHECK(is.limits.samples_max == like.limits.samples_max);
}

TEST_CASE("the example of a cloud's configuration shows every key") {
  const auto shown = keys_shown(text_of(example));
  const auto asked = keys_asked_for({tree + "/cloud/config.cpp", tree + "/actors/http/settings.cpp"});
  for (const auto& key : asked) {
    INFO(key);
    CHECK(shown.count(key) >= asked.count(key));
  }
  CHECK(asked.size() >= 37); // or the pattern no longer finds how keys are read
}

TEST_CASE("what the example of a cloud's configuration has in comments can be turned on") {
  const temporary_folder folder;
  auto text = with_comments_on(text_of(example));
  const auto token = (folder.path() / "token").string();
  std::ofstream{token} << "secret\n";
  std::filesystem::permissions(token, std::filesystem::perms{0600});
  const std::string named = "/etc/skerry/token";
  REQUIRE(text.find(named) != std::string::npos);
  text.replace(text.find(named), named.size(), token);
  const auto file = folder.path() / "cloud.yaml";
  std::ofstream{file} << text;
  const auto loaded = load_config(file);
  REQUIRE(loaded);
  CHECK(loaded.value().errors == std::vector<std::string>{});
  CHECK(loaded.value().config.http.bearer_token == "secret");
  CHECK(loaded.value().config.link_advertise == "cloud.example.org:7481");
}
