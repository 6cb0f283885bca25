#include "schemas/model/host.hpp"
#include "schemas/model/identity.hpp"

#include <catch2/catch.hpp>

using namespace skerry;

TEST_CASE("edge ids are printed and read as sixteen digits") {
  CHECK(to_string(edge_id{0xc0ffee}) == "0000000000c0ffee");
  CHECK(parse_edge_id("0000000000c0ffee").value() == edge_id{0xc0ffee});
  CHECK(parse_edge_id("FFFFFFFFFFFFFFFF").value() == edge_id{UINT64_MAX});
  for (const auto* text :
       {"", "c0ffee", "0000000000000000", "0000000000c0ffeg", "00000000000c0ffee", "-000000000c0ffee"})
    CHECK_FALSE(parse_edge_id(text));
}

TEST_CASE("what data is stored by has golden values") {
  const stream_key key{edge_id{7}, {3, {1, 2, 3}}, stream_id::telemetry};
  CHECK(to_string(key) == "0000000000000007/3-01020300000000000000000000000000/telemetry");
  CHECK(epoch_tag(key.edge, key.epoch) == 0x2a4a12b8);
  CHECK(static_cast<std::uint64_t>(make_host_id(0, "harbour", "crane-1")) == 0x151ddf70602e22a6);
  CHECK(static_cast<std::uint64_t>(make_host_id(0, "", "")) == 0xe864e5893a273242);
  CHECK(shard_of(make_host_id(0, "harbour", "crane-1")) == 678);
  // Site and host are told apart.
  CHECK(make_host_id(0, "ab", "c") != make_host_id(0, "a", "bc"));
  CHECK(make_host_id(0, "ab", "c") != make_host_id(1, "ab", "c"));
}
