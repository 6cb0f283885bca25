#include "schemas/model/range_set.hpp"
#include "tests/schemas/support.hpp"

#include <catch2/catch.hpp>

#include <bitset>

using namespace skerry;
using namespace skerry::test;

namespace {

constexpr std::size_t universe = 64;
using model = std::bitset<universe>;

bool well_formed(const range_set& s) {
  for (std::size_t i = 0; i < s.ranges().size(); ++i) {
    const auto& r = s.ranges()[i];
    if (r.first > r.last || (i > 0 && s.ranges()[i - 1].last + 1 >= r.first))
      return false;
  }
  return true;
}

} // namespace

TEST_CASE("a range set does what a set of numbers does") {
  const auto seed = pick_seed();
  INFO("SKERRY_SEED=" << seed);
  std::mt19937_64 random{seed};
  for (int round = 0; round < 200; ++round) {
    range_set set;
    model expected;
    for (int step = 0; step < 30; ++step) {
      const auto first = random() % universe;
      const auto last = std::min<sequence>(first + random() % 8, universe - 1);
      const bool add = random() % 3 != 0;
      add ? set.add({first, last}) : set.remove({first, last});
      for (auto i = first; i <= last; ++i)
        expected.set(i, add);
      REQUIRE(well_formed(set));
      REQUIRE(set.count() == expected.count());
      REQUIRE(set.empty() == expected.none());
      for (sequence i = 0; i < universe; ++i)
        REQUIRE(set.contains(i) == expected[i]);
    }
    range_set others;
    for (int i = 0; i < 6; ++i) {
      const auto first = random() % universe;
      others.add({first, std::min<sequence>(first + random() % 8, universe - 1)});
    }
    auto less = set;
    less.remove(others);
    REQUIRE(well_formed(less));
    for (sequence i = 0; i < universe; ++i)
      REQUIRE(less.contains(i) == (expected[i] && !others.contains(i)));
    const auto from = random() % universe;
    const auto to = std::min<sequence>(from + random() % 20, universe - 1);
    const auto missing = set.missing_in({from, to});
    CHECK(well_formed(missing));
    bool all = true;
    for (sequence i = 0; i < universe; ++i) {
      CHECK(missing.contains(i) == (i >= from && i <= to && !expected[i]));
      all = all && (i < from || i > to || expected[i]);
    }
    CHECK(set.contains(sequence_range{from, to}) == all);
    sequence through = 0;
    while (through + 1 < universe && expected[through + 1])
      ++through;
    CHECK(set.contiguous_through() == through);
    byte_buffer bytes;
    encode_ranges(set, bytes);
    const auto back = decode_ranges(bytes);
    REQUIRE(back);
    CHECK(back.value() == set);
  }
}

TEST_CASE("ranges reach to the end of numbers") {
  range_set set;
  set.add({UINT64_MAX - 1, UINT64_MAX});
  set.add({UINT64_MAX - 5, UINT64_MAX - 3});
  CHECK(set.ranges().size() == 2);
  set.add({UINT64_MAX - 2, UINT64_MAX - 2});
  CHECK(set.ranges().size() == 1);
  set.remove({UINT64_MAX, UINT64_MAX});
  CHECK(set.highest() == UINT64_MAX - 1);
  byte_buffer bytes;
  encode_ranges(set, bytes);
  CHECK(decode_ranges(bytes).value() == set);
}

TEST_CASE("range lists have golden bytes; damaged and oversized ones are refused") {
  range_set set;
  set.add({1, 100});
  set.add({200, 200});
  set.add({1000, 5000});
  byte_buffer bytes;
  encode_ranges(set, bytes);
  constexpr auto golden = "0301636400a006a01f";
  CHECK(hex(bytes) == golden);
  CHECK(decode_ranges(unhex(golden)).value() == set);
  each_damage(bytes, [](const byte_buffer& in) {
    const auto r = decode_ranges(in);
    if (r)
      CHECK(well_formed(r.value()));
    else
      CHECK(r.error().code == errc::malformed);
  });
  CHECK_FALSE(decode_ranges(unhex("ffffffffffffffff7f")));
  CHECK_FALSE(decode_ranges(unhex("02010001"
                                  "00")));                       // adjacent
  CHECK_FALSE(decode_ranges(unhex("0102ffffffffffffffffff01"))); // past the end of numbers
  CHECK_FALSE(decode_ranges(unhex("01010000")));                 // bytes left over
}
