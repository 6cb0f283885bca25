#include "schemas/codec/block_codec.hpp"
#include "schemas/model/frame.hpp"

#include <catch2/catch.hpp>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>

using namespace skerry;

namespace {

struct block {
  std::vector<std::int64_t> times;
  std::size_t columns = 0;
  std::vector<double> values;
  std::vector<std::uint64_t> present;

  [[nodiscard]] block_view view() const { return {times, columns, values, present}; }
  [[nodiscard]] bool has(std::size_t c, std::size_t r) const {
    return present.empty() || (present[c * row_words(times.size()) + r / 64] >> (r % 64) & 1) != 0;
  }
};

byte_buffer encode(const block& from) {
  block_encoder encoder;
  byte_buffer out;
  encoder.encode(from.view(), out);
  return out;
}

void check_round_trip(const block& from) {
  const auto bytes = encode(from);
  block_decoder decoder;
  const auto opened = decoder.open(bytes);
  REQUIRE(opened);
  REQUIRE(std::vector<std::int64_t>{decoder.times_ns().begin(), decoder.times_ns().end()} == from.times);
  REQUIRE(decoder.columns() == from.columns);
  std::vector<double> values(from.times.size());
  std::vector<std::uint64_t> present(row_words(from.times.size()));
  for (auto c = from.columns; c-- > 0;) { // in any order
    REQUIRE(decoder.column(c, values, present));
    for (std::size_t r = 0; r < values.size(); ++r) {
      const bool has = (present[r / 64] >> (r % 64) & 1) != 0;
      if (has != from.has(c, r)
          || (has
              && std::bit_cast<std::uint64_t>(values[r])
                     != std::bit_cast<std::uint64_t>(from.values[c * values.size() + r]))) {
        CAPTURE(c, r);
        FAIL("a value changed");
      }
    }
  }
}

const double nasty[] = {0.0,
                        -0.0,
                        1,
                        -1,
                        0.1,
                        0.30000000000000004,
                        1e15,
                        1e16,
                        9007199254740991.0,
                        9007199254740992.0,
                        9007199254740993.0,
                        -9007199254740991.0,
                        1e300,
                        5e-324,
                        std::numeric_limits<double>::max(),
                        std::numeric_limits<double>::min(),
                        std::numeric_limits<double>::infinity(),
                        -std::numeric_limits<double>::infinity(),
                        std::numeric_limits<double>::quiet_NaN(),
                        std::bit_cast<double>(0xfff8000000000123),
                        std::bit_cast<double>(0x7ff0000000000001),
                        std::bit_cast<double>(stale_bits),
                        123456.789,
                        0.000001,
                        4096.5};

block random_block(std::mt19937_64& rng) {
  block b;
  const auto rows = 1 + rng() % (rng() % 4 == 0 ? 300 : 70);
  b.columns = 1 + rng() % 12;
  auto time = static_cast<std::int64_t>(rng());
  const auto unit = std::int64_t{1} << (rng() % 34);
  for (std::size_t r = 0; r < rows; ++r) {
    b.times.push_back(time);
    time = rng() % 20 == 0 ? static_cast<std::int64_t>(rng())
                           : static_cast<std::int64_t>(static_cast<std::uint64_t>(time) + unit * (rng() % 3));
  }
  if (rng() % 2 == 0)
    b.present.assign(b.columns * row_words(rows), 0);
  for (std::size_t c = 0; c < b.columns; ++c) {
    const auto shape = rng() % 7;
    double v = static_cast<double>(rng() % 1'000'000);
    for (std::size_t r = 0; r < rows; ++r) {
      switch (shape) {
      case 0: break;
      case 1: v += static_cast<double>(rng() % 1000); break;
      case 2: v = static_cast<double>(rng() % 100'000) / 1000; break;
      case 3: v = nasty[rng() % std::size(nasty)]; break;
      case 4: v = std::bit_cast<double>(rng()); break;
      case 5: v = rng() % 30 == 0 ? stale_marker() : static_cast<double>(rng() % 9) * 4096; break;
      default: v = rng() % 40 == 0 ? nasty[rng() % std::size(nasty)] : static_cast<double>(r) * 0.25; break;
      }
      b.values.push_back(v);
    }
    if (!b.present.empty()) {
      const auto fill = rng() % 3;
      for (std::size_t r = 0; r < rows; ++r)
        if (fill == 0 || (fill == 1 && rng() % 2 == 0))
          b.present[c * row_words(rows) + r / 64] |= std::uint64_t{1} << (r % 64);
    }
  }
  return b;
}

std::uint64_t seed() {
  const char* text = std::getenv("SKERRY_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 1;
}

} // namespace

TEST_CASE("a block gives back every bit of random columns and times") {
  std::mt19937_64 rng{seed()};
  for (int round = 0; round < 2000; ++round) {
    INFO("SKERRY_SEED=" << seed() << " round " << round);
    check_round_trip(random_block(rng));
  }
}

TEST_CASE("a block of every nasty double next to every other is exact") {
  for (const auto a : nasty)
    for (const auto b : nasty) {
      check_round_trip({{1, 2}, 1, {a, b}, {}});
      check_round_trip({{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 1, {a, a, a, a, b, a, a, a, a, a}, {}});
    }
}

TEST_CASE("the largest block and times at both ends are exact") {
  block b;
  b.columns = block_columns_max;
  for (std::size_t r = 0; r < block_rows_max; ++r)
    b.times.push_back(r % 2 == 0 ? INT64_MIN + static_cast<std::int64_t>(r)
                                 : INT64_MAX - static_cast<std::int64_t>(r));
  b.values.resize(b.columns * block_rows_max);
  for (std::size_t i = 0; i < b.values.size(); ++i)
    b.values[i] = static_cast<double>(i % 977);
  check_round_trip(b);
}

namespace {

const block golden_block{{1'700'000'000'000'000'000, 1'700'000'001'000'000'000, 1'700'000'002'000'000'000},
                         3,
                         {1, 1, 1, 10.5, 11.5, 13.5, 7, stale_marker(), 9},
                         {7, 7, 7}};

void check_golden(const std::string& golden) {
  byte_buffer bytes;
  for (std::size_t i = 0; i < golden.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoi(golden.substr(i, 2), nullptr, 16)));
  const auto& b = golden_block;
  block_decoder decoder;
  REQUIRE(decoder.open(bytes));
  CHECK(std::vector<std::int64_t>{decoder.times_ns().begin(), decoder.times_ns().end()} == b.times);
  std::vector<double> values(3);
  std::vector<std::uint64_t> present(1);
  for (std::size_t c = 0; c < 3; ++c) {
    REQUIRE(decoder.column(c, values, present));
    CHECK(std::memcmp(values.data(), b.values.data() + c * 3, 24) == 0);
  }
}

// Of several groups, with rows that are not there.
block wide_block() {
  std::mt19937_64 rng{7};
  block b;
  b.columns = 40;
  for (std::int64_t r = 0; r < 500; ++r)
    b.times.push_back(r * 1'000'000'000);
  for (std::size_t i = 0; i < b.columns * b.times.size(); ++i)
    b.values.push_back(static_cast<double>(rng() % 100'000) / 1000);
  b.present.assign(b.columns * row_words(b.times.size()), 0x5555'5555'5555'5555);
  for (std::size_t c = 0; c < b.columns; ++c)
    b.present[(c + 1) * row_words(b.times.size()) - 1] &= (std::uint64_t{1} << (500 % 64)) - 1;
  return b;
}

} // namespace

TEST_CASE("the bytes of a block are fixed") {
  std::string hex;
  for (const auto byte : encode(golden_block))
    hex += fmt::format("{:02x}", static_cast<unsigned>(byte));
  const std::string golden =
      "536b426b0102030031907176c12a7aee0300000016000000600000003f00000028b52ffd2016b100000380c49fd50cfdc39fd5"
      "0c0003060f0103212849ad7b28b52ffd2018c100000100022201052a040812000101020000000000f07f0e0004";
  CHECK(hex == golden);
  check_golden(golden);
}

TEST_CASE("blocks of the first codec are still read") {
  check_golden("536b426b01010300f50503aeeb44ae180300000027000000500000000000000028b52ffd20273901"
               "000380c49fd50cfdc39fd50c0003060f0100022201052a040812000101020000000000f07f0e0004");
}

TEST_CASE("a wide block has several groups, each read alone") {
  const auto b = wide_block();
  check_round_trip(b);
  const auto bytes = encode(b);
  block_decoder decoder;
  block_index index;
  REQUIRE(decoder.read_index(bytes, index));
  REQUIRE(index.groups.size() > 1);
  CHECK(index.group_of(0) == 0);
  CHECK(index.group_of(39) == index.groups.size() - 1);
  byte_buffer group;
  std::vector<double> values(index.rows());
  std::vector<std::uint64_t> present(row_words(index.rows()));
  for (const std::size_t c : {39U, 0U, 17U}) {
    REQUIRE(decoder.read_group(bytes, index, index.group_of(c), group));
    const auto rows = index.rows();
    for (const auto& [begin, end] : std::vector<std::pair<std::size_t, std::size_t>>{
             {0, SIZE_MAX}, {0, rows}, {rows - 1, rows}, {0, 1}, {rows / 3, rows / 2}}) {
      std::fill(values.begin(), values.end(), -1);
      REQUIRE(decoder.read_column(index, c, group, values, present, {begin, end}));
      for (auto r = begin; r < std::min(end, rows); r += 1)
        if ((present[r / 64] >> (r % 64) & 1) != 0 && values[r] != b.values[c * rows + r])
          FAIL("column " << c << ", row " << r << " of " << begin << " to " << end);
    }
  }
  // Groups can't be taken for each other.
  auto swapped = index;
  std::swap(swapped.groups[0].at, swapped.groups[1].at);
  CHECK_FALSE(decoder.read_group(bytes, swapped, 0, group));
}

TEST_CASE("flipped, cut and foreign bytes are refused") {
  std::mt19937_64 rng{seed()};
  const auto bytes = encode(random_block(rng));
  block_decoder decoder;
  const auto readable = [&decoder](const byte_buffer& from) {
    if (!decoder.open(from))
      return false;
    std::vector<double> values(decoder.rows());
    std::vector<std::uint64_t> present(row_words(decoder.rows()));
    for (std::size_t c = 0; c < decoder.columns(); ++c)
      if (!decoder.column(c, values, present))
        return false;
    return true;
  };
  REQUIRE(readable(bytes));
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    auto damaged = bytes;
    damaged[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
    if (readable(damaged))
      FAIL("bit " << bit << " can be flipped unnoticed");
  }
  for (std::size_t n = 0; n < bytes.size(); ++n)
    REQUIRE(!decoder.open(bytes_view{bytes}.first(n)));
  auto newer = bytes;
  newer[4] = std::byte{2};
  CHECK(decoder.open(newer).error().code == errc::unsupported_version);
  CHECK(decoder.open(as_bytes("something else that is longer than a header")).error().code
        == errc::malformed);
  auto longer = bytes;
  longer.resize(longer.size() + 100);
  CHECK(decoder.open(longer)); // its length stands in its header
}
