#include "edge/status.hpp"
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

TEST_CASE("what is due for more than an interval and not collected is told") {
  constexpr std::int64_t second = 1'000'000'000;
  constexpr std::int64_t now = 1'700'000'000 * second;
  prometheus::Registry registry;
  scrape_metrics metrics{registry};
  scrape_config config;
  config.job_name = "j";
  config.scrape_interval = 15s;
  config.scrape_timeout = 10s;
  std::vector<scrape_target_ptr> targets;
  for (const char* address : {"a:1", "b:1"})
    targets.push_back(std::make_shared<scrape_target>(
        std::make_shared<const scrape_config>(config),
        *resolve_target({{"__address__", address}, {"__param_key", "secret"}}, config).value(), 7, metrics));
  status_board board;
  board.publish(targets);
  const auto host = std::make_shared<due_watch>(15 * second);
  board.publish(std::shared_ptr<const due_watch>{host});
  CHECK(board.behind(now).empty()); // nothing is known yet
  host->set_due(now);
  targets[0]->watch.set_due(now);
  targets[1]->watch.set_due(now - 5 * second);
  CHECK(board.behind(now + 15 * second).empty());
  CHECK(board.behind(now + 16 * second)
        == "this machine's own values were due 16 s ago and are not collected");
  host->set_due(now + 60 * second);
  CHECK(board.behind(now + 24 * second) // a target has its timeout besides
        == "1 of the targets were due more than an interval ago and are not scraped, http://b:1/metrics "
           "since 29 s");
  targets[1]->watch.set_due(now + 60 * second);
  CHECK(board.behind(now + 24 * second).empty());
}
