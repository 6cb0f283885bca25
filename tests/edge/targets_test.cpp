#include "edge/targets.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <prometheus/registry.h>

using namespace skerry;
using namespace skerry::edge;
using namespace std::chrono_literals;

TEST_CASE("targets are listed as Prometheus lists them, with why one is down") {
  prometheus::Registry registry;
  scrape_metrics metrics{registry};
  scrape_config config;
  config.job_name = "job with spaces";
  config.scrape_interval = 15s;
  config.scrape_timeout = 10s;
  auto resolved = resolve_target({{"__address__", "h:1"}, {"rack", "r1"}}, config);
  REQUIRE(resolved);
  auto target = std::make_shared<scrape_target>(std::make_shared<const scrape_config>(config),
                                                *resolved.value(), 7, metrics);

  auto all = targets_json({target}, "", "");
  REQUIRE(all["activeTargets"].size() == 1);
  CHECK(all["droppedTargets"].empty());
  CHECK(all["activeTargets"][0]["health"] == "unknown");
  CHECK(all["activeTargets"][0]["lastScrape"] == "0001-01-01T00:00:00Z");

  fetch_response response;
  response.failure = fetch_failure::connect;
  response.error = "connection refused";
  response.duration = 250ms;
  static_cast<void>(target->process(response, 1'700'000'000'123'000'000, 1));
  all = targets_json({target}, "active", "");
  const auto& one = all["activeTargets"][0];
  CHECK(one["health"] == "down");
  CHECK(one["lastError"] == "connection refused");
  CHECK(one["lastScrape"] == "2023-11-14T22:13:20.123000000Z");
  CHECK(one["lastScrapeDuration"] == 0.25);
  CHECK(one["scrapePool"] == "job with spaces");
  CHECK(one["scrapeUrl"] == "http://h:1/metrics");
  CHECK(one["labels"] == nlohmann::json{{"instance", "h:1"}, {"job", "job with spaces"}, {"rack", "r1"}});
  CHECK(one["discoveredLabels"]
        == nlohmann::json{{"__address__", "h:1"},
                          {"__metrics_path__", "/metrics"},
                          {"__scheme__", "http"},
                          {"__scrape_interval__", "15s"},
                          {"__scrape_timeout__", "10s"},
                          {"job", "job with spaces"},
                          {"rack", "r1"}});
  CHECK(one["scrapeInterval"] == "15s");
  CHECK(targets_json({target}, "", "job with spaces")["activeTargets"].size() == 1);
  CHECK(targets_json({target}, "", "job")["activeTargets"].empty());
  CHECK(targets_json({target}, "dropped", "")["activeTargets"].empty());
}
