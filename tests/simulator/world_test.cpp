// The deterministic world holds from any seed, and cuts a failure down.

#include "simulator/world/campaign.hpp"

#include <catch2/catch.hpp>
#include <spdlog/spdlog.h>

#include <cstdlib>

using namespace skerry;
using namespace skerry::sim;

namespace {

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

campaign_result run_quietly(campaign_options options) {
  spdlog::set_level(spdlog::level::off);
  return run_campaign(options);
}

} // namespace

TEST_CASE("nothing is lost, doubled or hidden in two hundred worlds of faults") {
  campaign_options options;
  options.first.seed = number_from("SKERRY_SEED", 1);
  options.runs = number_from("SKERRY_WORLD_RUNS", 200);
  const auto done = run_quietly(options);
  if (done.failure)
    FAIL(done.failure->violation << "; replay with: " << replay_command(done.failure->options));
  CHECK(done.runs == options.runs);
  CHECK(done.commits / done.runs >= 200);
  if (options.runs >= 200)
    for (std::size_t act = 0; act < limit_acts; ++act) {
      INFO("limits of spools: " << to_string(limit_act{static_cast<std::uint8_t>(act)}));
      CHECK(done.limited[act][0] + done.limited[act][1] > 0);
    }
  if (options.runs >= 200)
    for (std::size_t what = 0; what < clock_sights; ++what) {
      INFO("clocks: " << to_string(clock_sight{static_cast<std::uint8_t>(what)}));
      CHECK(done.clocks[what] > 0);
    }
  if (options.runs >= 200)
    for (std::size_t act = 0; act < uplink_acts; ++act) {
      INFO("uplinks: " << to_string(uplink_act{static_cast<std::uint8_t>(act)}));
      CHECK(done.uplinks[act][0] + done.uplinks[act][1] > 0);
    }
  if (options.runs >= 200)
    CHECK(done.bounded[static_cast<std::size_t>(receiver_bound::epochs)][1] > 0);
}

TEST_CASE("the same seed gives the same run") {
  spdlog::set_level(spdlog::level::off);
  world_options options;
  options.seed = 7;
  const auto first = run_world(options);
  const auto second = run_world(options);
  CHECK(first.events == second.events);
  CHECK(first.commits == second.commits);
  CHECK(first.struck == second.struck);
  options.seed = 8;
  CHECK(run_world(options).events != first.events);
}

TEST_CASE("a failure is cut down to less that still fails, by the same rule") {
  campaign_options options;
  options.first.planted = planted_fault::custody_loss_unnoticed;
  options.runs = 2000;
  const auto done = run_quietly(options);
  REQUIRE(done.failure);
  const auto smallest = shrink(done.failure->options, done.failure->rule);
  CHECK(smallest.schedule.size() < 5);
  CHECK_FALSE(smallest.options.limits); // they had no part in it
  CHECK(replay_command(smallest.options).find(" --no-limits") != std::string::npos);
  CHECK_FALSE(smallest.trace.empty());
  const auto again = run_world(smallest.options);
  CHECK(again.violation == smallest.violation);
  CHECK(again.rule == done.failure->rule);
}
