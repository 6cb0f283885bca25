// What operators may do, over a real registry.

#include "actors/link/token.hpp"
#include "cloud/operations.hpp"
#include "tests/cloud/registry_fixture.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace skerry;
using namespace skerry::cloud;
using namespace skerry::cloud::test;

namespace {

struct world : registry_fixture {
  std::vector<edge_id> revoked;
  operations_settings settings;
  std::unique_ptr<operations> ops;

  world() {
    settings.registry = registry;
    settings.advertise = "cloud.example.org:7481";
    settings.link_address = "tcp://0.0.0.0:7481";
    settings.on_revoked = [this](edge_id edge) { revoked.push_back(edge); };
    settings.takes_data = [] { return result<void>{ok()}; };
    settings.reload = [] { return result<std::string>{std::string{}}; };
    restart();
  }
  void restart() { ops = std::make_unique<operations>(settings, clock, system_random()); }
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
