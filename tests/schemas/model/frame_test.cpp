#include "schemas/model/frame.hpp"
#include "tests/schemas/support.hpp"

#include <catch2/catch.hpp>

#include <map>

using namespace skerry;
using namespace skerry::test;

namespace {

frame sample_frame() {
  frame f;
  f.time_ns = 1'700'000'000'123'000'000; // milliseconds
  f.monotonic_ns = 987'654'321;
  f.sections.resize(2);
  for (std::size_t i = 0; i < 16; ++i) {
    f.sections[0].set.bytes[i] = static_cast<std::uint8_t>(i);
    f.sections[1].set.bytes[i] = static_cast<std::uint8_t>(0xf0 + i);
  }
  f.sections[0].series_count = 3;
  f.sections[1].series_count = 70;
  f.sections[1].present = {0x8000000000000001, 0x21};
  f.values = {1, 2.5, stale_marker(), 0, -0.0, 1e300, 7};
  return f;
}

bool same(const frame& a, const frame& b) {
  if (a.time_ns != b.time_ns || a.monotonic_ns != b.monotonic_ns || a.sections.size() != b.sections.size()
      || a.values.size() != b.values.size())
    return false;
  for (std::size_t i = 0; i < a.sections.size(); ++i)
    if (a.sections[i].set != b.sections[i].set || a.sections[i].series_count != b.sections[i].series_count
        || a.sections[i].present != b.sections[i].present)
      return false;
  return a.values.empty()
         || std::memcmp(a.values.data(), b.values.data(), a.values.size() * sizeof(double)) == 0;
}

byte_buffer encoded(const frame& f) {
  value_encoder encoder;
  byte_buffer out;
  encode_frame(f, encoder, out);
  return out;
}

} // namespace

TEST_CASE("a frame has golden bytes") {
  constexpr auto golden =
      "0102f6a1abfef962e2a2f3ad0702000102030405060708090a0b0c0d0e0f0300f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff460101"
      "0000000000008021010109f800f8f8010119020000000000f07f00000000000000809c7500883ce4377e07";
  CHECK(hex(encoded(sample_frame())) == golden);
  value_decoder decoder;
  frame back;
  REQUIRE(decode_frame(unhex(golden), decoder, back));
  CHECK(same(sample_frame(), back));
  CHECK(is_stale(back.values[2]));
}

TEST_CASE("frames of every shape and time come back") {
  const auto seed = pick_seed();
  INFO("SKERRY_SEED=" << seed);
  std::mt19937_64 random{seed};
  value_decoder decoder;
  frame back;
  for (int round = 0; round < 300; ++round) {
    frame f;
    constexpr std::int64_t units[] = {1, 1000, 1'000'000, 1'000'000'000};
    const auto unit = units[random() % 4];
    f.time_ns = static_cast<std::int64_t>(random()) / unit * unit;
    f.monotonic_ns = static_cast<std::int64_t>(random() >> (random() % 64));
    f.sections.resize(random() % 8);
    std::size_t values = 0;
    for (auto& s : f.sections) {
      for (auto& b : s.set.bytes)
        b = static_cast<std::uint8_t>(random());
      s.series_count = static_cast<std::uint16_t>(1 + random() % set_series_max);
      if (random() % 2) {
        s.present.resize((s.series_count + 63u) / 64);
        for (auto& word : s.present)
          word = random();
        if (s.series_count % 64 != 0)
          s.present.back() &= (std::uint64_t{1} << (s.series_count % 64)) - 1;
      }
      values += s.value_count();
    }
    for (std::size_t i = 0; i < values; ++i)
      f.values.push_back(static_cast<double>(random() >> (random() % 64)) / 100);
    const auto bytes = encoded(f);
    REQUIRE(decode_frame(bytes, decoder, back));
    CHECK(same(f, back));
    REQUIRE(decode_frame_sections(bytes, back));
    CHECK(back.sections.size() == f.sections.size());
    CHECK(back.time_ns == f.time_ns);
    CHECK(back.values.empty());
  }
}

TEST_CASE("a series' value is found among those of its section") {
  const auto all = sample_frame().sections[0];
  for (std::size_t i = 0; i < 3; ++i)
    CHECK(all.value_index(i) == i);
  CHECK(all.value_index(3) == std::nullopt);
  const auto some = sample_frame().sections[1];
  std::map<std::size_t, std::size_t> found;
  for (std::size_t i = 0; i < 300; ++i)
    if (const auto index = some.value_index(i))
      found[i] = *index;
  CHECK(found == std::map<std::size_t, std::size_t>{{0, 0}, {63, 1}, {64, 2}, {69, 3}});
}

TEST_CASE("the ends of time fit into a frame") {
  value_decoder decoder;
  frame back;
  for (const auto t : {INT64_MIN, INT64_MIN + 1, std::int64_t{-1}, std::int64_t{0}, INT64_MAX}) {
    frame f;
    f.time_ns = t;
    f.monotonic_ns = t;
    REQUIRE(decode_frame(encoded(f), decoder, back));
    CHECK(same(f, back));
  }
}

TEST_CASE("damaged frames never crash") {
  value_decoder decoder;
  frame back;
  each_damage(encoded(sample_frame()), [&](const byte_buffer& in) {
    const auto r = decode_frame(in, decoder, back);
    if (!r)
      CHECK((r.error().code == errc::malformed || r.error().code == errc::unsupported_version));
    (void)decode_frame_sections(in, back);
  });
}

TEST_CASE("a frame that claims more than its bounds is refused") {
  value_decoder decoder;
  frame back;
  const auto code = [&](std::string_view text) {
    const auto r = decode_frame(unhex(text), decoder, back);
    return r ? errc{} : r.error().code;
  };
  const std::string set(32, 'a');
  CHECK(code("0200000000") == errc::unsupported_version);
  CHECK(code("0104000000") == errc::malformed);                           // no such unit of time
  CHECK(code("0103feffffffffffffffff010000") == errc::malformed);         // a time that does not fit
  CHECK(code("01000000812000") == errc::malformed);                       // 4097 sections
  CHECK(code("0100000001" + set + "0000" + "0100") == errc::malformed);   // a set of no series
  CHECK(code("0100000001" + set + "810200" + "0100") == errc::malformed); // of 257
  CHECK(code("0100000001" + set + "010100" + "01") == errc{});            // one series, absent
  CHECK(code("0100000001" + set + "010102" + "0100") == errc::malformed); // a bit beyond the set
  CHECK(code("0100000001" + set + "010200" + "0100") == errc::malformed); // neither whole nor partial
}
