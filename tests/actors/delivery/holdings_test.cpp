#include "actors/delivery/holdings.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::delivery;

namespace {

const edge_id edge{7};

stream_key epoch(std::uint64_t boots) {
  return {edge, {boots, {static_cast<std::uint8_t>(boots)}}, stream_id::telemetry};
}

range_set ranges(sequence first, sequence last) {
  range_set out;
  out.add({first, last});
  return out;
}

void take(holdings& to, const stream_key& key, sequence first, sequence last, std::int64_t newest_ns = 1) {
  to.begin(key, ranges(first, last));
  to.end(key, ranges(first, last), newest_ns);
  to.settle(key, ranges(first, last));
}

} // namespace

TEST_CASE("what is being stored is not lacking, and is again after a failure") {
  holdings h{16};
  h.begin(epoch(1), ranges(1, 5));
  CHECK(h.lacking(epoch(1), {1, 8}) == ranges(6, 8));
  CHECK(h.held(epoch(1)) == nullptr);
  h.end(epoch(1), ranges(1, 5), std::nullopt);
  CHECK(h.lacking(epoch(1), {1, 8}) == ranges(1, 8));
  h.begin(epoch(1), ranges(1, 5));
  h.end(epoch(1), ranges(1, 5), 10);
  CHECK(h.held(epoch(1)) == nullptr); // stored, and not yet durably known
  REQUIRE(h.stored(epoch(1)) != nullptr);
  h.settle(epoch(1), ranges(1, 5));
  REQUIRE(h.held(epoch(1)) != nullptr);
  CHECK(*h.held(epoch(1)) == ranges(1, 5));
}

TEST_CASE("the oldest epochs go first, and only what has settled and nothing keeps") {
  holdings h{1};
  for (std::uint64_t i = 1; i <= 4; ++i)
    take(h, epoch(i), 1, 2);
  CHECK(h.forget_surplus(edge).empty()); // the edge was not heard of: more may come of each
  h.announce({edge, epoch(4).epoch, {{epoch(1), 2}, {epoch(2), 2}, {epoch(3), 2}}});
  CHECK(h.forget_surplus(edge).empty()); // it may well speak of them again
  h.announce({edge, epoch(4).epoch, {}});
  CHECK(h.surplus_most() == 3);
  h.begin(epoch(1), ranges(3, 3));
  CHECK(h.forget_surplus(edge) == std::vector{epoch(2)}); // the oldest is busy
  h.end(epoch(1), ranges(3, 3), std::nullopt);
  CHECK(h.forget_surplus(edge) == std::vector{epoch(1)});
  CHECK(h.held(epoch(1)) == nullptr);
  CHECK(h.held(epoch(3)) != nullptr);
  CHECK(h.forget_surplus(edge).empty()); // there is room for one, and the fourth is being written
  CHECK(h.epochs(edge, stream_id::telemetry) == 2);
}

TEST_CASE(
    "an edge that counts its starts again keeps the epoch that it writes, whatever its place in order") {
  holdings h{2};
  for (std::uint64_t i = 5; i <= 8; ++i)
    take(h, epoch(i), 1, 2);
  take(h, epoch(3), 1, 2);
  h.announce({edge, epoch(3).epoch, {}});
  CHECK(h.forget_surplus(edge) == std::vector{epoch(5), epoch(6)});
  CHECK(h.lacking(epoch(3), {1, 3}) == ranges(3, 3));
}

TEST_CASE("an epoch that may be named again is not forgotten") {
  holdings h{1};
  h.announce({edge, epoch(4).epoch, {}});
  for (std::uint64_t i = 1; i <= 3; ++i)
    take(h, epoch(i), 1, 2);
  h.named(edge, epoch(1));
  CHECK(h.came(edge_id{8}, epoch(1))); // from a gateway, which has no acknowledgement yet
  h.named(edge, epoch(2));
  CHECK(h.forget_surplus(edge).empty());
  h.forget_names(edge);
  CHECK(h.forget_surplus(edge) == std::vector{epoch(2)});
  h.forget_names(edge_id{8}); // its Hello does not have it any more
  CHECK(h.surplus_most() == 2);
  CHECK(h.forget_surplus(edge) == std::vector{epoch(1)});
}

TEST_CASE("epochs that are not complete are kept, however many") {
  holdings h{2};
  link::origin_state state{edge, epoch(9).epoch, {}};
  for (std::uint64_t i = 1; i <= 8; ++i)
    state.closed.emplace_back(epoch(i), 5);
  h.announce(state);
  for (std::uint64_t i = 1; i <= 8; ++i)
    take(h, epoch(i), 1, 2);
  CHECK(h.forget_surplus(edge).empty());
  CHECK(h.surplus_most() == 0);
}

TEST_CASE("of a session as many streams may come that its Hello did not name as epochs are remembered") {
  holdings h{2};
  const edge_id sender{8};
  h.named(sender, epoch(1));
  CHECK(h.came(sender, epoch(1)));
  CHECK(h.came(sender, epoch(2)));
  CHECK(h.came(sender, epoch(3)));
  CHECK_FALSE(h.came(sender, epoch(4)));
  CHECK(h.came(sender, epoch(3)));
  CHECK(h.came(edge, epoch(4))); // another's
  h.forget_names(sender);
  CHECK(h.came(sender, epoch(4)));
}

TEST_CASE("an epoch is complete when it is held to the end that Hello named, or Hello no longer names it") {
  holdings h{16};
  take(h, epoch(1), 1, 2);
  take(h, epoch(2), 1, 4);
  take(h, epoch(3), 1, 1);
  CHECK_FALSE(h.complete(epoch(1)));                          // no Hello yet
  CHECK(h.first_incomplete(edge, stream_id::telemetry) == 0); // nothing can be said
  h.announce({edge, epoch(3).epoch, {{epoch(2), 5}}});
  CHECK(h.complete(epoch(1)));
  CHECK_FALSE(h.complete(epoch(2)));
  CHECK_FALSE(h.complete(epoch(3))); // is being written
  CHECK(h.first_incomplete(edge, stream_id::telemetry) == 2);
  take(h, epoch(2), 5, 5);
  CHECK(h.complete(epoch(2)));
  CHECK(h.first_incomplete(edge, stream_id::telemetry) == 3);
  CHECK(h.disowned(epoch(1)));
  CHECK_FALSE(h.disowned(epoch(2)));
  CHECK_FALSE(h.disowned(epoch(3)));
  CHECK_FALSE(h.disowned({edge_id{9}, {1, {}}, stream_id::telemetry})); // it was not heard of
}

TEST_CASE("the newest time known before a loss is that of the stream, else of an older epoch") {
  holdings h{16};
  CHECK(h.newest_ns(epoch(2)) == 0);
  take(h, epoch(1), 1, 2, 100);
  CHECK(h.newest_ns(epoch(2)) == 100);
  take(h, epoch(2), 1, 2, 250);
  take(h, epoch(2), 3, 3, 200); // backlog
  CHECK(h.newest_ns(epoch(2)) == 250);
  CHECK(h.newest_ns({edge_id{8}, {3, {}}, stream_id::telemetry}) == 0);
  // Neither another stream that lies between, nor epochs that tell nothing.
  auto alerts = epoch(2);
  alerts.stream = stream_id::alert;
  take(h, alerts, 1, 1, 900);
  for (std::uint64_t boot = 3; boot < 6; ++boot)
    take(h, epoch(boot), 1, 1, 0);
  CHECK(h.newest_ns(epoch(6)) == 250);
}
