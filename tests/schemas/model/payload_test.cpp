#include "schemas/model/payload.hpp"
#include "tests/schemas/support.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::test;

namespace {

template <class T>
byte_buffer encoded(const T& payload) {
  byte_buffer out;
  encode_payload(payload, out);
  return out;
}

clock_note sample_note() {
  clock_note note;
  for (std::size_t i = 0; i < note.boot_id.size(); ++i)
    note.boot_id[i] = static_cast<std::uint8_t>(i);
  note.monotonic_ns = 123;
  note.offset_ns = -456;
  return note;
}
const tombstone sample_stone{99, 10, 20, 1000, 2000, loss_cause::thinned};
const not_collected sample_gap{5, 6, loss_cause::node_off, "power"};

} // namespace

TEST_CASE("payloads have golden bytes") {
  CHECK(hex(encoded(watermark{1'000'000'000}))
        == "0000000003000000000000000200000000ca9a3b000000000200000000000000");
  // Before kinds: still read.
  const auto before = decode_watermark(unhex("0000000002000000000000000100000000ca9a3b00000000"));
  CHECK(before.value().interval_ns == 1'000'000'000);
  CHECK(before.value().kinds == bit_of(record_kind::frame));
  CHECK(hex(encoded(sample_note()))
        == "000000000600000000000000020001007b0000000000000038feffffffffffff010000008200000000010203040506070"
           "8090a0b0c0d0e0f");
  CHECK(hex(encoded(sample_stone))
        == "0000000007000000000000000600000063000000000000000a000000000000001400000000000000e803000000000000d"
           "0070000000000000400000000000000");
  CHECK(hex(encoded(sample_gap))
        == "0000000006000000000000000300010005000000000000000600000000000000140000000000000001000000320000007"
           "06f776572000000");
}

TEST_CASE("payloads come back") {
  CHECK(decode_watermark(encoded(watermark{-5})).value().interval_ns == -5);
  CHECK(decode_watermark(encoded(watermark{-5})).value().kinds == bit_of(record_kind::frame));
  CHECK(decode_watermark(encoded(watermark{0, 12})).value().kinds == 12);
  CHECK(decode_watermark(encoded(watermark{0, 0})).value().kinds == bit_of(record_kind::frame));
  const auto note = decode_clock_note(encoded(sample_note()));
  REQUIRE(note);
  CHECK(note.value().boot_id == sample_note().boot_id);
  CHECK(note.value().monotonic_ns == 123);
  CHECK(note.value().offset_ns == -456);
  const auto stone = decode_tombstone(encoded(sample_stone));
  REQUIRE(stone);
  CHECK(stone.value().last == 99);
  CHECK(stone.value().from_ns == 10);
  CHECK(stone.value().to_ns == 20);
  CHECK(stone.value().samples == 1000);
  CHECK(stone.value().bytes == 2000);
  CHECK(stone.value().cause == loss_cause::thinned);
  auto gap = sample_gap;
  gap.detail = std::string(5000, 'x'); // cut to the bound, not refused
  const auto back = decode_not_collected(encoded(gap));
  REQUIRE(back);
  CHECK(back.value().detail.size() == 1024);
  CHECK(back.value().from_ns == 5);
  CHECK(back.value().to_ns == 6);
  CHECK(back.value().cause == loss_cause::node_off);
}

TEST_CASE("damaged payloads are refused or decode to something, and never throw") {
  const auto try_all = [](const byte_buffer& in) {
    CHECK_NOTHROW(decode_watermark(in));
    CHECK_NOTHROW(decode_clock_note(in));
    CHECK_NOTHROW(decode_tombstone(in));
    CHECK_NOTHROW(decode_not_collected(in));
  };
  each_damage(encoded(watermark{1}), try_all);
  each_damage(encoded(sample_note()), try_all);
  each_damage(encoded(sample_stone), try_all);
  each_damage(encoded(sample_gap), try_all);
  CHECK(decode_watermark({}).error().code == errc::malformed);
  CHECK(decode_watermark(byte_buffer(1 << 20)).error().code == errc::malformed);
  // Not aligned to a word.
  auto shifted = encoded(sample_stone);
  shifted.insert(shifted.begin(), std::byte{0});
  CHECK(decode_tombstone(bytes_view{shifted}.subspan(1)).value().last == 99);
}
