// What operators may do, over a real registry.

#include "actors/link/registry.hpp"
#include "actors/link/token.hpp"
#include "cloud/operations.hpp"
#include "tests/actors/base/temporary_folder.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace skerry;
using namespace skerry::cloud;
using skerry::test::temporary_folder;

namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t day = 86'400 * second;
constexpr std::int64_t start = 19'675 * day + 3600 * second; // an hour after midnight

class moved_clock final : public clock_source {
public:
  std::int64_t now = start;
  [[nodiscard]] std::int64_t wall_ns() const noexcept override { return now; }
  [[nodiscard]] std::int64_t monotonic_ns() const noexcept override { return now - start + second; }
};

struct world {
  temporary_folder folder;
  moved_clock clock;
  std::shared_ptr<link::registry> registry;
  std::vector<edge_id> revoked;
  operations_settings settings;
  std::unique_ptr<operations> ops;

  world() {
    auto opened = link::registry::open(folder.path() / "registry");
    REQUIRE(opened);
    registry = std::move(opened).value();
    settings.registry = registry;
    settings.advertise = "cloud.example.org:7481";
    settings.link_address = "tcp://0.0.0.0:7481";
    settings.on_revoked = [this](edge_id edge) { revoked.push_back(edge); };
    settings.takes_data = [] { return result<void>{ok()}; };
    settings.reload = [] { return result<std::string>{std::string{}}; };
    restart();
  }
  void restart() { ops = std::make_unique<operations>(settings, clock, system_random()); }
  edge_id join(const std::string& site) {
    const auto now_s = clock.now / second;
    const auto made = registry->create_invite(site, 3600, now_s, system_random());
    REQUIRE(made);
    const auto done =
        registry->complete_join(made.value().id, link::make_keypair().public_key, now_s, system_random());
    REQUIRE(done);
    return done.value().edge;
  }
};

} // namespace

TEST_CASE("a revoked edge is revoked in the registry, and whoever serves it is told") {
  world w;
  const auto edge = w.join("harbour");
  REQUIRE(w.ops->revoke(edge));
  CHECK(w.revoked == std::vector{edge});
  const auto edges = w.registry->list_edges();
  REQUIRE(edges);
  CHECK(edges.value().front().revoked_s == w.clock.now / second);
  CHECK(w.ops->revoke(edge_id{4711}).error().code == errc::not_found);
  CHECK(w.revoked.size() == 1);
}

TEST_CASE("an invite's token leads to this cloud, and lists do not hold it") {
  world w;
  const auto made = w.ops->make_invite({"north", std::chrono::hours{1}, edge_id::none});
  REQUIRE(made);
  const auto token = link::decode_token(made.value().token, w.clock.now / second);
  REQUIRE(token);
  CHECK(token.value().addresses == std::vector<std::string>{"tcp://cloud.example.org:7481"});
  CHECK(token.value().site == "north");
  CHECK(made.value().expires_ns == w.clock.now + 3600 * second);
  auto list = w.ops->invites();
  REQUIRE(list);
  REQUIRE(list.value().size() == 1);
  CHECK(list.value()[0].token.empty());
  CHECK_FALSE(list.value()[0].used);
  const auto edge = w.join("north");
  list = w.ops->invites();
  REQUIRE(list);
  CHECK(std::count_if(list.value().begin(), list.value().end(),
                      [&](const invite& i) { return i.used && i.edge == edge; })
        == 1);
  CHECK(w.ops->make_invite({"north", std::chrono::hours{0}, edge_id::none}).error().code
        == errc::invalid_argument);
  CHECK(w.ops->make_invite({"north", std::chrono::hours{1}, edge_id{4711}}).error().code == errc::not_found);
  w.settings.advertise.clear(); // then this machine's name, with the port that was bound
  w.restart();
  const auto other = w.ops->make_invite({"north", std::chrono::hours{1}, edge_id::none});
  REQUIRE(other);
  const auto address =
      link::decode_token(other.value().token, w.clock.now / second).value().addresses.front();
  CHECK(address.starts_with("tcp://"));
  CHECK(address.ends_with(":7481"));
}
