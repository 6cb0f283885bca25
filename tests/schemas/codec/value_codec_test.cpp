#include "schemas/codec/value_codec.hpp"
#include "tests/schemas/support.hpp"

#include <catch2/catch.hpp>

#include <bit>
#include <cmath>
#include <limits>

using namespace skerry;
using namespace skerry::test;

namespace {

using limits = std::numeric_limits<double>;

// Compares bits: NaN payloads and the sign of zero count.
bool same_bits(std::span<const double> a, std::span<const double> b) {
  return a.size() == b.size()
         && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}

byte_buffer encoded(std::span<const double> values) {
  value_encoder encoder;
  byte_buffer out;
  encoder.encode(values, out);
  return out;
}

void round_trip(std::span<const double> values) {
  const auto bytes = encoded(values);
  value_decoder decoder;
  std::vector<double> back(values.size(), -1.0);
  REQUIRE(decoder.decode(bytes, back));
  for (std::size_t i = 0; i < values.size(); ++i)
    if (std::bit_cast<std::uint64_t>(values[i]) != std::bit_cast<std::uint64_t>(back[i]))
      FAIL(fmt::format("value {}: {:#018x} ({}) came back as {:#018x} ({})", i,
                       std::bit_cast<std::uint64_t>(values[i]), values[i],
                       std::bit_cast<std::uint64_t>(back[i]), back[i]));
}

const std::vector<double> nasty{0.0,
                                -0.0,
                                1,
                                -1,
                                0.1,
                                -0.1,
                                0.3,
                                1.0 / 3,
                                1e-12,
                                1e-13,
                                1e-300,
                                1e22,
                                1e23,
                                1e300,
                                limits::infinity(),
                                -limits::infinity(),
                                limits::quiet_NaN(),
                                std::bit_cast<double>(std::uint64_t{0x7ff0000000000002}),
                                std::bit_cast<double>(std::uint64_t{0xfff8dead0000beef}),
                                std::bit_cast<double>(std::uint64_t{0x7ff0000000000001}),
                                limits::denorm_min(),
                                -limits::denorm_min(),
                                limits::min(),
                                limits::max(),
                                limits::lowest(),
                                limits::epsilon(),
                                9007199254740991.0,
                                9007199254740992.0,
                                9007199254740993.0,
                                9007199254740994.0,
                                -9007199254740991.0,
                                -9007199254740992.0,
                                4503599627370495.5,
                                4503599627370496.5,
                                2251799813685247.25,
                                0.5,
                                4503599627370497.5,
                                9223372036854775807.0,
                                -9223372036854775808.0,
                                18446744073709551616.0,
                                512,
                                4096,
                                -512,
                                -4096,
                                511,
                                513,
                                4096.0 * 2199023255551.0,
                                15024 * 1e-3,
                                59797009 * 1e-6,
                                123456789 * 1e-9,
                                15.024,
                                -15024 * 1e-3,
                                5e-324,
                                0.7,
                                123456789.123456789,
                                1795149177.752342,
                                99999999999999.9,
                                0.000157014,
                                1e15,
                                1e16,
                                255,
                                256,
                                65535,
                                65536};

} // namespace

TEST_CASE("doubles of every kind come back bit by bit") {
  round_trip({});
  round_trip(nasty);
  for (const double v : nasty) { // alone, after itself, and after a neighbour that sets the hint
    round_trip(std::vector{v});
    round_trip(std::vector{v, v, v});
    for (const double before : {0.25, 0.123456789, 1.5, 1e-12})
      round_trip(std::vector{before, v, before});
  }
}

TEST_CASE("random doubles of every kind come back bit by bit") {
  const auto seed = pick_seed();
  INFO("SKERRY_SEED=" << seed);
  std::mt19937_64 random{seed};
  std::vector<double> values;
  for (int round = 0; round < 400; ++round) {
    values.resize(random() % 600);
    const auto style = random() % 8;
    for (auto& v : values) {
      const auto bits = random();
      const auto digits = static_cast<double>(bits >> (random() % 64));
      const double power = std::pow(10.0, static_cast<double>(random() % 16));
      switch (style == 7 ? random() % 7 : style) {
      case 0: v = std::bit_cast<double>(bits); break; // anything
      case 1: v = digits; break;                      // counters
      case 2: v = digits / power; break;              // decimals
      case 3: v = digits * (1 / power); break;        // what is left of decimals
      case 4: v = -digits / power; break;
      case 5: v = static_cast<double>((bits >> (20 + random() % 44)) * (random() % 2 ? 512 : 4096)); break;
      default: v = nasty[bits % nasty.size()]; break;
      }
      if (random() % 4 == 0) // next to a decimal, and not one
        v = std::nextafter(v, random() % 2 ? limits::infinity() : -limits::infinity());
    }
    round_trip(values);
  }
}

TEST_CASE("one encoder and one decoder serve frames of every size in turn") {
  value_encoder encoder;
  value_decoder decoder;
  std::vector<double> values, back;
  for (const std::size_t n : {1000u, 3u, 0u, 100000u, 1u, 507u}) {
    values.resize(n);
    for (std::size_t i = 0; i < n; ++i)
      values[i] = static_cast<double>(i) / 8;
    byte_buffer out(5, std::byte{0xee}); // appends
    encoder.encode(values, out);
    CHECK(hex(bytes_view{out}.first(5)) == "eeeeeeeeee");
    back.assign(n, -1);
    REQUIRE(decoder.decode(bytes_view{out}.subspan(5), back));
    CHECK(same_bits(values, back));
  }
}

TEST_CASE("decimals are found with and without a hint") {
  decimal d;
  CHECK((to_decimal(15.25, 0, d) && d.mantissa == 1525 && d.exponent == 2));
  CHECK((to_decimal(15.25, 3, d) && d.mantissa == 15250 && d.exponent == 3));
  CHECK((to_decimal(-0.7, 0, d) && d.mantissa == -7 && d.exponent == 1));
  CHECK((to_decimal(0, 5, d) && d.mantissa == 0 && d.exponent == 0));
  CHECK((to_decimal(9007199254740991.0, 0, d) && d.mantissa == 9007199254740991));
  for (const double v :
       {-0.0, 9007199254740992.0, limits::quiet_NaN(), limits::infinity(), 1e-300, 15024 * 1e-3})
    if (to_decimal(v, 3, d))
      CHECK(from_decimal(d) == v); // the last one may be one, with more digits
  CHECK_FALSE(to_decimal(-0.0, 0, d));
  CHECK_FALSE(to_decimal(9007199254740992.0, 0, d));
  CHECK_FALSE(to_decimal(limits::quiet_NaN(), 0, d));
}

TEST_CASE("values have golden bytes") {
  // Each scale once; small enough that zstd does not gain: the bytes are ours alone.
  const std::vector<double> values{0,    1,    300,  0.25, -7,    -0.5, 15024 * 1e-3, 59797009 * 1e-6,
                                   1024, 8192, -0.0, 1e-9, 1.5e-9};
  constexpr auto golden = "010001021191996a748189f84951012c01190705b03a116e900302020000000000000080010f";
  CHECK(hex(encoded(values)) == golden);
  std::vector<double> back(values.size());
  value_decoder decoder;
  REQUIRE(decoder.decode(unhex(golden), back));
  CHECK(same_bits(values, back));

  // Compressed: what other releases of zstd make of it may differ, what they read may not.
  const auto packed =
      unhex("02900800080d0100a00001010264c82c019001f4015802bc02200384030300daccac76b045010c1001");
  std::vector<double> many(400), got(400);
  for (std::size_t i = 0; i < many.size(); ++i)
    many[i] = static_cast<double>(i % 10 * 100);
  REQUIRE(decoder.decode(packed, got));
  CHECK(same_bits(many, got));
  CHECK(encoded(many).size() < 100);
}

TEST_CASE(
    "damaged values are refused or decode to something, and never read or reserve beyond their bounds") {
  std::vector<double> values = nasty;
  for (int i = 0; i < 100; ++i)
    values.push_back(1000 + i);
  value_decoder decoder;
  std::vector<double> back(values.size());
  for (const auto& bytes : {encoded(nasty), encoded(values)}) {
    const auto count = bytes == encoded(nasty) ? nasty.size() : values.size();
    each_damage(bytes, [&](const byte_buffer& in) {
      const auto r = decoder.decode(in, std::span{back}.first(count));
      if (!r)
        CHECK((r.error().code == errc::malformed || r.error().code == errc::unsupported_version));
    });
    // Any other count.
    std::vector<double> other(count + 1);
    CHECK(decoder.decode(bytes, other).error().code == errc::malformed);
    CHECK(decoder.decode(bytes, std::span{other}.first(count - 1)).error().code == errc::malformed);
    // Nothing may follow.
    auto longer = bytes;
    longer.push_back(std::byte{0});
    CHECK(decoder.decode(longer, std::span{back}.first(count)).error().code == errc::malformed);
  }
  CHECK(decoder.decode({}, {}).error().code == errc::malformed);
  CHECK(decoder.decode(unhex("09"), {}).error().code == errc::unsupported_version);
  // A length that no count allows, with nothing behind it.
  CHECK(decoder.decode(unhex("02ffffffffffffff7f"), back).error().code == errc::malformed);
  // A raw control with mantissa bytes: no encoder writes it.
  CHECK(decoder.decode(unhex("01f900"), std::span{back}.first(1)).error().code == errc::malformed);
}
