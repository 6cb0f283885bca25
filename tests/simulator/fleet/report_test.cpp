#include "simulator/fleet/fleet.hpp"
#include "simulator/fleet/progress.hpp"
#include "simulator/fleet/report.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace skerry;
using namespace skerry::sim;

namespace {

constexpr std::int64_t second = 1'000'000'000;

} // namespace

TEST_CASE("a recovery counts what happened after the links' return alone") {
  const auto t = 100 * second;
  const std::vector<edge_moments> edges{
      {t + second, t + 2 * second, t + 3 * second},     // back
      {t + second, t + 2 * second, t + 6 * second},     // back, after a while
      {t + 3 * second, t + 4 * second, t + second},     // its samples of this Welcome are not there yet
      {t - 5 * second, t - 4 * second, t - 3 * second}, // not since
      {},                                               // never
  };
  const auto r = summarize("region-outage", 30, t, edges);
  CHECK(r.edges == 5);
  CHECK(r.back == 2);
  CHECK(r.connected_s == Approx(3));
  CHECK(r.live_s == Approx(4));
  CHECK(r.current_s == Approx(6));
  CHECK(r.connections_per_s == Approx(1));
  CHECK(r.connections_per_s_peak == 2);
  CHECK(r.welcome_to_current_max_s == Approx(4));
  CHECK(summarize("none", 0, t, {}).current_s == 0);
}

TEST_CASE("a report is a table and a JSON document with the same figures") {
  fleet_report r;
  r.version = "1";
  r.edges = 20;
  r.agents = 200;
  r.duration_s = 10;
  r.samples = {5'000'000, 4'000'000, 600'000};
  r.refused = 7;
  r.tcp_sent = 8'000'000;
  r.agent_bytes = 12'345;
  r.recoveries.push_back({"region-outage at=2m for=5m region=1", 10, 9, 300, 1, 2, 3, 10, 4, 0.1, 0.2});
  CHECK_FALSE(r.all_acked());
  const auto table = to_table(r);
  for (const auto* says : {"5,000,007", "4,000,000", "400,000", "600,000 in tombstones, 7 never numbered",
                           "2.00 B/sample in TCP", "12.3 KB an agent", "region-outage at=2m for=5m region=1"})
    CHECK_THAT(table, Catch::Contains(says));
  const auto json = nlohmann::json::parse(to_json(r));
  CHECK(json["samples"]["sent"] == 5'000'007);
  CHECK(json["samples"]["pending"] == 400'000);
  CHECK(json["samples"]["dropped"] == 600'000);
  CHECK(json["bytes"]["tcp_per_sample"] == Approx(2));
  CHECK(json["recoveries"][0]["back"] == 9);
  CHECK(json["latency"]["live"]["samples"] == 0);
  r.samples = {10, 10, 0};
  r.refused = 0;
  CHECK(r.all_acked());
}

TEST_CASE("a progress line says what matters in its stage") {
  fleet_progress now;
  now.edges = 500;
  now.done = 20;
  CHECK_THAT(to_line(now), Catch::Contains("20 of 500 edges"));
  now.now = fleet_progress::stage::running;
  now.live = 400;
  now.agents = 10'000;
  now.samples = {1'000'000, 900'000, 0};
  now.faults = "region-outage";
  CHECK_THAT(to_line(now), Catch::Contains("400/500 live") && Catch::Contains("pending 100.0k")
                               && Catch::Contains("[region-outage]") && !Catch::Contains("dropped"));
}

TEST_CASE("options of a fleet are checked before anything is touched") {
  fleet_options right;
  CHECK(right.validate());
  const auto refuses = [](auto change) {
    fleet_options options;
    change(options);
    const auto valid = options.validate();
    return !valid && valid.error().code == errc::invalid_argument;
  };
  CHECK(refuses([](auto& o) { o.agents = 0; }));
  CHECK(refuses([](auto& o) { o.series = fleet_series_max + 1; }));
  CHECK(refuses([](auto& o) { o.edges = 3, o.regions = 4; }));
  CHECK(refuses([](auto& o) { o.interval = std::chrono::milliseconds{1}; }));
  CHECK(refuses([](auto& o) { o.churn_per_hour = -1; }));
  CHECK(refuses(
      [](auto& o) { o.faults.push_back(parse_fault("region-outage at=1m for=1m region=2").value()); }));
}
