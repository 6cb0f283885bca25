// Whose work is next.

#include "actors/delivery/turns.hpp"

#include <catch2/catch.hpp>

#include <map>

using namespace skerry;
using namespace skerry::delivery;

TEST_CASE("who brings much makes nobody else wait: keys take turns by what theirs costs") {
  turns<int> to{100};
  const edge_id greedy{1}, modest{2};
  for (int i = 0; i < 1000; ++i)
    to.add(greedy, i);
  std::uint64_t under_way = 0;
  while (auto next = to.next()) {
    CHECK(next->first == greedy);
    to.started(next->first, 50);
    under_way += 50;
  }
  CHECK(under_way == 100);
  to.add(modest, -1); // before a thousand others
  CHECK_FALSE(to.next());
  to.ended(greedy, 50);
  auto next = to.next();
  REQUIRE(next);
  CHECK(next->first == modest);
  to.started(modest, 1);
  // Nor does it gain by having been silent: of many each, the costs are alike.
  for (int i = 0; i < 1000; ++i)
    to.add(modest, i);
  std::map<edge_id, std::uint64_t> costs;
  int expected = 2;
  for (int i = 0; i < 500; ++i) {
    if ((next = to.next())) {
      const std::uint64_t cost = next->first == greedy ? 50 : 1;
      if (next->first == greedy)
        CHECK(next->second == expected++); // in their order
      costs[next->first] += cost;
      to.started(next->first, cost);
      to.ended(next->first, cost);
    }
  }
  CHECK(costs[greedy] > 200);
  CHECK(costs[modest] > 200);
  CHECK(costs[greedy] <= costs[modest] + 100);
}

TEST_CASE("what comes of a key while its turn is given has a turn of its own, once") {
  turns<int> to{100};
  to.add(edge_id{1}, 1);
  auto next = to.next();
  REQUIRE(next);
  to.add(edge_id{1}, 2); // by whoever works on the first
  to.started(edge_id{1}, 1);
  to.ended(edge_id{1}, 1);
  next = to.next();
  REQUIRE(next);
  CHECK(next->second == 2);
  to.started(edge_id{1}, 1);
  to.ended(edge_id{1}, 1);
  CHECK_FALSE(to.next());
}

TEST_CASE("small work of a key with little under way does not wait for what large work takes") {
  turns<int> to{100, 10};
  const edge_id greedy{1}, modest{2}, busy{3};
  to.add(greedy, 1, 90);
  to.add(greedy, 2, 90);
  to.add(greedy, 3, 90);
  for (int begun = 1; begun <= 2; ++begun) {
    auto next = to.next();
    REQUIRE(next);
    CHECK(next->second == begun);
    to.started(greedy, 90);
  }
  CHECK_FALSE(to.next()); // 180 of 100 are under way
  to.add(modest, 4, 10);
  to.add(modest, 5, 11); // not small
  auto next = to.next();
  REQUIRE(next);
  CHECK(next->second == 4);
  to.started(modest, 3);
  CHECK_FALSE(to.next());
  // One that has as much under way as small work may have waits like everybody, until some of it ends.
  to.add(busy, 6, 10);
  to.add(busy, 7, 1);
  next = to.next();
  REQUIRE(next);
  CHECK(next->second == 6);
  to.started(busy, 10);
  CHECK_FALSE(to.next());
  to.ended(busy, 10);
  next = to.next();
  REQUIRE(next);
  CHECK(next->second == 7);
  to.started(busy, 1);
  // Four times the bound is a bound.
  std::size_t more = 0;
  for (std::uint64_t user = 4; user < 100; ++user) {
    to.add(edge_id{user}, 8, 10);
    if (const auto one = to.next()) {
      CHECK(one->second == 8);
      to.started(one->first, 10);
      ++more;
    }
  }
  CHECK(more == 22); // 184 before, 404 now
  // What waited goes on when there is room, in turns.
  to.ended(greedy, 90);
  to.ended(greedy, 90);
  next = to.next();
  REQUIRE(next);
  CHECK(next->second == 8);
}
