// The bytes of the registry's rows, version 1. They never change: a later version of a row only appends.

#include "actors/link/registry_records.hpp"
#include "tests/schemas/support.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::link;
using namespace skerry::link::detail;
using skerry::test::hex;
using skerry::test::unhex;

namespace {

curve_key key_from(std::uint8_t first) {
  curve_key out;
  for (auto& byte : out.bytes)
    byte = first++;
  return out;
}

constexpr std::string_view golden_edge = //
    "01"                                 // version
    "054e6f727261"                       // site
    "00f1536500000000"                   // created
    "01f1536500000000"                   // joined
    "ffffffffffffffff"                   // revoked
    "8877665544332211"                   // parent
    "2c010000";                          // origins

constexpr std::string_view golden_key = //
    "01"                                // version
    "02"                                // role
    "8877665544332211"                  // id
    "0807060504030201"                  // invite
    "00f1536500000000"                  // created
    "01f1536500000000"                  // revoked
    "01";                               // seen

constexpr std::string_view golden_invite =                             //
    "01"                                                               // version
    "054e6f727261"                                                     // site
    "8877665544332211"                                                 // rejoins
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" // one-time key
    "00f1536500000000"                                                 // created
    "01f1536500000000"                                                 // expiry
    "02f1536500000000"                                                 // cancelled
    "01"                                                               // used
    "00"                                                               // closed
    "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f" // joined key
    "0807060504030201";                                                // joined

} // namespace

TEST_CASE("golden bytes of a registry's edge") {
  CHECK(hex(encode(edge_row{"Norra", 1'700'000'000, 1'700'000'001, -1, edge_id{0x1122334455667788}, 300}))
        == golden_edge);
  for (const auto* appended : {"", "0102030405"}) { // a later version's
    edge_row row;
    REQUIRE(decode(unhex(std::string{golden_edge} + appended), row));
    CHECK(row.site == "Norra");
    CHECK(row.created_s == 1'700'000'000);
    CHECK(row.joined_s == 1'700'000'001);
    CHECK(row.revoked_s == -1);
    CHECK(row.parent == edge_id{0x1122334455667788});
    CHECK(row.origins == 300);
  }
}

TEST_CASE("golden bytes of a registry's key") {
  CHECK(hex(encode(key_row{key_row::role::invite, 0x1122334455667788, 0x0102030405060708, 1'700'000'000,
                           1'700'000'001, true}))
        == golden_key);
  for (const auto* appended : {"", "0102030405"}) {
    key_row row;
    REQUIRE(decode(unhex(std::string{golden_key} + appended), row));
    CHECK(row.what == key_row::role::invite);
    CHECK(row.id == 0x1122334455667788);
    CHECK(row.invite == 0x0102030405060708);
    CHECK(row.created_s == 1'700'000'000);
    CHECK(row.revoked_s == 1'700'000'001);
    CHECK(row.seen);
  }
  CHECK(static_cast<int>(key_row::role::edge) == 1);
}

TEST_CASE("golden bytes of a registry's invite") {
  invite_row made;
  made.site = "Norra";
  made.rejoins = edge_id{0x1122334455667788};
  made.one_time = key_from(0);
  made.created_s = 1'700'000'000;
  made.expiry_s = 1'700'000'001;
  made.cancelled_s = 1'700'000'002;
  made.used = true;
  made.joined_key = key_from(0x40);
  made.joined = edge_id{0x0102030405060708};
  CHECK(hex(encode(made)) == golden_invite);
  for (const auto* appended : {"", "0102030405"}) {
    invite_row row;
    REQUIRE(decode(unhex(std::string{golden_invite} + appended), row));
    CHECK(row.site == made.site);
    CHECK(row.rejoins == made.rejoins);
    CHECK(row.one_time == made.one_time);
    CHECK(row.created_s == made.created_s);
    CHECK(row.expiry_s == made.expiry_s);
    CHECK(row.cancelled_s == made.cancelled_s);
    CHECK(row.used);
    CHECK_FALSE(row.closed);
    CHECK(row.joined_key == made.joined_key);
    CHECK(row.joined == made.joined);
  }
}

TEST_CASE("golden bytes of a registry's ids as keys") {
  const auto key = big_endian(0x1122334455667788);
  CHECK(hex(key) == "1122334455667788");
  CHECK(from_big_endian(key) == 0x1122334455667788);
}
