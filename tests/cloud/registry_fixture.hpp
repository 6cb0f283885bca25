#pragma once

// A real registry in a folder of its own, and a clock that the test moves.

#include "actors/base/clock.hpp"
#include "actors/link/keys.hpp"
#include "actors/link/registry.hpp"
#include "tests/actors/base/temporary_folder.hpp"

#include <catch2/catch.hpp>

#include <memory>
#include <string>

namespace skerry::cloud::test {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t day = 86'400 * second;
constexpr std::int64_t start = 19'675 * day + 3600 * second; // an hour after midnight

class moved_clock final : public clock_source {
public:
  std::int64_t now = start;
  [[nodiscard]] std::int64_t wall_ns() const noexcept override { return now; }
  [[nodiscard]] std::int64_t monotonic_ns() const noexcept override { return now - start + second; }
};

struct registry_fixture {
  skerry::test::temporary_folder folder;
  moved_clock clock;
  std::shared_ptr<link::registry> registry;

  registry_fixture() {
    auto opened = link::registry::open(folder.path() / "registry");
    REQUIRE(opened);
    registry = std::move(opened).value();
  }
  edge_id join(const std::string& site) const {
    const auto now_s = clock.now / second;
    const auto made = registry->create_invite(site, 3600, now_s, system_random());
    REQUIRE(made);
    const auto done =
        registry->complete_join(made.value().id, link::make_keypair().public_key, now_s, system_random());
    REQUIRE(done);
    return done.value().edge;
  }
};

} // namespace skerry::cloud::test
