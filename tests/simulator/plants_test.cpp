// The checks of the deterministic world see each fault that is planted in the product's code. Sanitizers would add
// ten minutes and see nothing that the worlds of world_test don't run into.

#include "simulator/world/campaign.hpp"

#include <catch2/catch.hpp>
#include <spdlog/spdlog.h>

using namespace skerry;
using namespace skerry::sim;

TEST_CASE("each planted fault is found") {
  spdlog::set_level(spdlog::level::off);
  for (const auto& one : plants()) {
    if (!one.missing.empty())
      continue;
    campaign_options options;
    options.first.planted = one.fault;
    options.runs = 2000;
    const auto done = run_campaign(options);
    INFO(one.name << " from seed " << options.first.seed);
    CHECK(done.failure);
  }
}
