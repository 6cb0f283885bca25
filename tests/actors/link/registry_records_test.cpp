// The bytes of the registry's rows. They never change: a later version of a row only adds fields before its check.

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
    "02"                                 // version
    "054e6f727261"                       // site
    "00f1536500000000"                   // created
    "01f1536500000000"                   // joined
    "ffffffffffffffff"                   // revoked
    "8877665544332211"                   // parent
    "2c010000";                          // origins

constexpr std::string_view golden_key = //
    "02"                                // version
    "02"                                // role
    "8877665544332211"                  // id
    "0807060504030201"                  // invite
    "00f1536500000000"                  // created
    "01f1536500000000"                  // revoked
    "01";                               // seen

constexpr std::string_view golden_invite =                             //
    "02"                                                               // version
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

// At the end.
constexpr std::string_view check_of_edge = "108d3aeef6246fc2585029e9e6fcdf70";
constexpr std::string_view check_of_key = "df33926b8660825f7e77ccfdd29261ed";
constexpr std::string_view check_of_invite = "dd05d3a611afb7fb5eddf79f81433ed7";

std::string with(std::string_view content, std::string_view check) {
  return std::string{content} + std::string{check};
}

const auto row_key = unhex("1122334455667788");

// As it is written, and with what a later version adds.
template <class Check>
void each_version(std::string_view content, std::string_view check, Check&& holds) {
  holds(unhex(with(content, check)));
  auto later = unhex("03" + std::string{content.substr(2)} + "0102030405");
  append_check(row_key, later);
  holds(later);
}

// Every bit of a row counts, and so does the key that it stands under; a row without a check is none.
template <class Row>
void flips_are_noticed(std::string_view content, std::string_view check) {
  const auto whole = unhex(with(content, check));
  Row row;
  skerry::test::each_damage(whole,
                            [&](const byte_buffer& bytes) { REQUIRE_FALSE(decode(row_key, bytes, row)); });
  REQUIRE_FALSE(decode(unhex("1122334455667789"), whole, row));
  REQUIRE_FALSE(decode(row_key, unhex("01" + std::string{content.substr(2)}), row));
}

} // namespace

TEST_CASE("golden bytes of a registry's edge") {
  CHECK(hex(encode(row_key,
                   edge_row{"Norra", 1'700'000'000, 1'700'000'001, -1, edge_id{0x1122334455667788}, 300}))
        == with(golden_edge, check_of_edge));
  each_version(golden_edge, check_of_edge, [&](const byte_buffer& bytes) {
    edge_row row;
    REQUIRE(decode(row_key, bytes, row));
    CHECK(row.site == "Norra");
    CHECK(row.created_s == 1'700'000'000);
    CHECK(row.joined_s == 1'700'000'001);
    CHECK(row.revoked_s == -1);
    CHECK(row.parent == edge_id{0x1122334455667788});
    CHECK(row.origins == 300);
  });
  flips_are_noticed<edge_row>(golden_edge, check_of_edge);
}

TEST_CASE("golden bytes of a registry's key") {
  CHECK(hex(encode(row_key, key_row{key_row::role::invite, 0x1122334455667788, 0x0102030405060708,
                                    1'700'000'000, 1'700'000'001, true}))
        == with(golden_key, check_of_key));
  each_version(golden_key, check_of_key, [&](const byte_buffer& bytes) {
    key_row row;
    REQUIRE(decode(row_key, bytes, row));
    CHECK(row.what == key_row::role::invite);
    CHECK(row.id == 0x1122334455667788);
    CHECK(row.invite == 0x0102030405060708);
    CHECK(row.created_s == 1'700'000'000);
    CHECK(row.revoked_s == 1'700'000'001);
    CHECK(row.seen);
  });
  CHECK(static_cast<int>(key_row::role::edge) == 1);
  flips_are_noticed<key_row>(golden_key, check_of_key);
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
  CHECK(hex(encode(row_key, made)) == with(golden_invite, check_of_invite));
  each_version(golden_invite, check_of_invite, [&](const byte_buffer& bytes) {
    invite_row row;
    REQUIRE(decode(row_key, bytes, row));
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
  });
  flips_are_noticed<invite_row>(golden_invite, check_of_invite);
}

TEST_CASE("golden bytes of a registry's ids as keys") {
  const auto key = big_endian(0x1122334455667788);
  CHECK(hex(key) == "1122334455667788");
  CHECK(from_big_endian(key) == 0x1122334455667788);
}
