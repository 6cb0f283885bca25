#include "actors/node/config.hpp"
#include "actors/node/reload.hpp"

#include <catch2/catch.hpp>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

using namespace skerry;

namespace {

settings_digest digest(std::string_view text) {
  auto document = config_document::parse(text, "c.yaml");
  REQUIRE(document);
  return document.value()->digest();
}

} // namespace

TEST_CASE("a reload says what is in force and what waits for a restart") {
  settings_watch watch{
      digest("collect: {interval: 5s}\nlog: {level: info}\nscrape_configs: [{job_name: a}]\n"),
      {"scrape_configs", "log.level"}};
  CHECK(watch.take(digest("log: {level: info}\ncollect: {interval: 5s}\nscrape_configs: [{job_name: a}]\n"))
        == "the configuration was read again; nothing has changed");
  const auto other = digest("collect: {interval: 6s}\nscrape_configs: [{job_name: b}]\nname: x\n");
  CHECK(watch.take(other)
        == "the configuration was read again; in force from now on: log.level, scrape_configs; changed, and "
           "needs a "
           "restart: collect.interval, name");
  // What is in force is no news; what still waits for a restart is.
  CHECK(watch.take(other)
        == "the configuration was read again; changed, and needs a restart: collect.interval, name");
}

TEST_CASE("a reload that fails is counted, and the next one clears it") {
  prometheus::Registry registry;
  bool works = false;
  config_reload reload{"edge", registry, [&]() -> result<std::string> {
                         if (!works)
                           return fail(errc::invalid_argument, "c.yaml:3: no");
                         return std::string{"read"};
                       }};
  const auto text = [&] { return prometheus::TextSerializer{}.Serialize(registry.Collect()); };
  CHECK(text().find("skerry_config_last_reload_successful 1") != std::string::npos);
  const auto at_start = reload.last();
  CHECK(at_start.successful);
  CHECK_FALSE(reload());
  CHECK_FALSE(reload.last().successful);
  CHECK(reload.last().success_ns == at_start.success_ns);
  CHECK(text().find("skerry_config_last_reload_successful 0") != std::string::npos);
  works = true;
  CHECK(reload());
  CHECK(reload.last().successful);
  CHECK(reload.last().success_ns > at_start.success_ns);
  CHECK(text().find("skerry_config_last_reload_successful 1") != std::string::npos);
  CHECK(text().find("skerry_config_last_reload_success_timestamp_seconds ") != std::string::npos);
}
