// Messages of keys, over a real receiver and registry: in turn, and no more of one key than may wait.

#include "actors/delivery/reception.hpp"
#include "actors/link/registry.hpp"
#include "tests/actors/base/temporary_folder.hpp"
#include "tests/actors/delivery/world.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::delivery;
using namespace skerry::delivery::test;

namespace {

constexpr std::uint64_t mib = 1 << 20;

struct world {
  skerry::test::temporary_folder folder;
  manual_clock clock;
  seeded_random random{1};
  memory_backend backend;
  receiver to{receiver_config{}, clock, random, backend};
  std::shared_ptr<link::registry> registry = link::registry::open(folder.path() / "registry").value();
  reception under_test{
      to, *registry, clock, random, 64 * mib, mib, [](const link::peer_id&, link::message) {}};

  bool garbage(const std::string& user, std::size_t bytes) {
    return under_test.arrived({"peer", user, {shared_bytes::take(byte_buffer(bytes))}, {}, false});
  }
};

const std::string one = "edge:0000000000000001", other = "edge:0000000000000002";

} // namespace

TEST_CASE("of one key no more than may wait is taken, but a message always, whatever its size") {
  world w;
  CHECK(w.garbage(one, 20 * mib)); // more than may wait
  CHECK_FALSE(w.garbage(one, 1));
  CHECK(w.under_test.counters().crowded_out == 1);
  CHECK_FALSE(w.garbage(other, 1)); // is taken: it is at work already
  CHECK(w.under_test.counters().crowded_out == 1);
  CHECK_FALSE(w.under_test.take_some());
  CHECK(w.to.counters().malformed == 2);
  CHECK(w.garbage(one, 20 * mib)); // again, and it is to be told to work again
  for (int i = 0; i < 3; ++i)
    CHECK_FALSE(w.garbage(other, 4 * mib));
  CHECK(w.under_test.counters().crowded_out == 2); // 2 MiB of credit and 8: two of them wait
}
