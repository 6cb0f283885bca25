// Which series sets a segment may have.

#include "edge/spool/segment.hpp"
#include "edge/spool/set_filter.hpp"

#include <catch2/catch.hpp>

#include <random>

using namespace skerry;
using namespace skerry::edge;

namespace {

byte_buffer key_of(std::uint64_t number) {
  std::mt19937_64 random{number};
  set_name name{edge_id{1 + number % 7}, {}};
  for (auto& byte : name.hash.bytes)
    byte = static_cast<std::uint8_t>(random());
  return encode_set_key(name);
}

} // namespace

TEST_CASE("a filter of series sets has each that was added, and few others") {
  const auto sets = GENERATE(as<std::uint64_t>{}, 0, 1, 100, 5'000);
  set_filter filter{sets, 42};
  for (std::uint64_t i = 0; i < sets; ++i)
    filter.add(key_of(i));
  for (std::uint64_t i = 0; i < sets; ++i)
    CHECK(filter.may_have(key_of(i)));
  int in_vain = 0;
  for (std::uint64_t i = 0; i < 20'000; ++i)
    in_vain += filter.may_have(key_of(1'000'000 + i)) ? 1 : 0;
  INFO(sets << " sets");
  CHECK(in_vain < 20'000 / 100);
}

TEST_CASE("a filter of anything says no to nothing") {
  const auto any = set_filter::of_anything();
  for (std::uint64_t i = 0; i < 1000; ++i)
    CHECK(any.may_have(key_of(i)));
}

TEST_CASE("a filter of more series sets than it is made for loses none") {
  set_filter filter{200'000, 42};
  for (std::uint64_t i = 0; i < 200'000; ++i)
    filter.add(key_of(i));
  bool all = true;
  for (std::uint64_t i = 0; i < 200'000; ++i)
    all = all && filter.may_have(key_of(i));
  CHECK(all);
}
