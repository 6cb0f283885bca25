// How many hosts may be known.

#include "cloud/ingest/host_admission.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

using namespace skerry;
using namespace skerry::cloud;

namespace {

constexpr edge_id edge{7};

} // namespace

TEST_CASE("hosts have a bound, for each site and for all, and one that is known stays") {
  host_admission places{{.hosts_max = 5, .site_hosts_max = 3}};
  for (const auto* name : {"a", "b", "c"})
    CHECK(places.admit("ship", name, edge));
  CHECK_FALSE(places.admit("ship", "d", edge));
  CHECK_FALSE(places.admit("ship", "d", edge_id{8})); // another edge of that site, or one behind it
  CHECK(places.admit("ship", "a", edge));
  CHECK(places.admit("island", "a", edge_id{9}));
  CHECK(places.admit("pushed", "a", edge_pushed));
  CHECK(places.size() == 5);
  CHECK_FALSE(places.admit("island", "b", edge_id{9}));

  places.leave("ship", "a", edge);
  places.leave("ship", "x", edge); // it had none
  CHECK(places.size() == 4);
  CHECK(places.admit("ship", "d", edge));
  CHECK_FALSE(places.admit("ship", "a", edge));
}

TEST_CASE("names that run into each other are different hosts") {
  host_admission places;
  CHECK(places.admit("ab", "c", edge));
  CHECK(places.admit("a", "bc", edge));
  CHECK(places.admit("abc", "", edge));
  CHECK(places.size() == 3);
}

TEST_CASE("what is pushed has one share, whatever sites it names") {
  host_admission places{{.hosts_max = 5, .site_hosts_max = 2}};
  CHECK(places.admit("one", "a", edge_pushed));
  CHECK(places.admit("two", "a", edge_pushed));
  CHECK_FALSE(places.admit("three", "a", edge_pushed));
  CHECK(places.admit("one", "b", edge));
  places.leave("one", "a", edge_pushed);
  CHECK(places.admit("three", "a", edge_pushed));
  CHECK(places.admit("one", "c", edge));
}

TEST_CASE("a host counts once for each edge that names it") {
  host_admission places{{.hosts_max = 3, .site_hosts_max = 2}};
  CHECK(places.admit("ship", "a", edge_id{1}));
  CHECK(places.admit("ship", "a", edge_id{2}));
  CHECK_FALSE(places.admit("ship", "a", edge_id{3}));
  CHECK(places.admit("ship", "a", edge_id{2}));
}

TEST_CASE("a place for what is never stored is free after a while, and whoever remembers it is told") {
  host_admission places{{.hosts_max = 2, .site_hosts_max = 2}};
  CHECK(places.admit("ship", "kept", edge));
  places.keep("ship", "kept", edge);
  CHECK(places.admit("ship", "never", edge));
  const auto version = places.version();
  places.sweep(); // it may be under way
  CHECK(places.size() == 2);
  CHECK(places.version() == version);
  places.sweep();
  CHECK(places.size() == 1);
  CHECK(places.version() != version);
  CHECK(places.admit("ship", "kept", edge));
  CHECK(places.admit("ship", "other", edge));
  CHECK_FALSE(places.admit("ship", "third", edge));
  places.keep("ship", "third", edge); // it is stored: it counts beyond the bound
  CHECK(places.size() == 3);
}

TEST_CASE("the bound is exact while many ask at once") {
  constexpr std::size_t askers = 4, each = 1'000, room = 1'500;
  host_admission places{{.hosts_max = room, .site_hosts_max = room}};
  std::atomic<std::size_t> admitted = 0;
  std::vector<std::thread> all;
  for (std::size_t a = 0; a < askers; ++a)
    all.emplace_back([&, a] {
      for (std::size_t i = 0; i < each; ++i)
        admitted += places.admit("ship", std::to_string(a * each + i), edge) ? 1 : 0;
    });
  std::thread owner{[&] {
    for (std::size_t i = 0; i < each; ++i) {
      places.leave("ship", "of nobody " + std::to_string(i), edge);
      static_cast<void>(places.version());
    }
  }};
  for (auto& one : all)
    one.join();
  owner.join();
  CHECK(admitted == room);
  CHECK(places.size() == room);
}
