#include "actors/push/write_request.hpp"
#include "tests/actors/push/write_builder.hpp"

#include <catch2/catch.hpp>

#include <bit>

using namespace skerry;
using namespace skerry::push;

TEST_CASE("a remote write request is read as it was written") {
  const auto stale = std::bit_cast<double>(std::uint64_t{0x7ff0000000000002});
  write_builder builder;
  builder.series({{"__name__", "up"}, {"job", "a"}}, {{1'000, 1.5}, {2'000, stale}}, 1, 2)
      .series({}, {{-5, -0.0}})
      .metadata(1, "up", "whether it is up", "");
  write_request read;
  REQUIRE(read.decode(builder.body()));
  REQUIRE(read.series().size() == 2);
  const auto& first = read.series()[0];
  REQUIRE(read.labels_of(first).size() == 2);
  CHECK(read.labels_of(first)[1] == label_view{"job", "a"});
  CHECK(read.samples_of(first)[0].time_ms == 1'000);
  CHECK(read.samples_of(first)[0].value == 1.5);
  CHECK(std::bit_cast<std::uint64_t>(read.samples_of(first)[1].value) == 0x7ff0000000000002);
  CHECK(first.histograms == 1);
  CHECK(read.exemplars() == 2);
  CHECK(read.samples_of(read.series()[1])[0].time_ms == -5);
  REQUIRE(read.metadata().size() == 1);
  CHECK(read.metadata()[0].family == "up");
  CHECK(read.metadata()[0].type == metric_type::counter);
  CHECK(read.metadata()[0].help == "whether it is up");

  // An object is used again and again.
  REQUIRE(read.decode(write_builder{}.body()));
  CHECK(read.series().empty());
  CHECK(read.metadata().empty());
  CHECK(read.exemplars() == 0);
}

TEST_CASE("unknown fields are skipped, a message that is cut is refused") {
  write_builder builder;
  builder.series({{"__name__", "up"}}, {{1, 1}});
  const auto message = builder.message();
  write_request read;
  // Fields 9 (varint), 10 (fixed64), 11 (fixed32), 12 (bytes).
  REQUIRE(read.decode_message(message
                              + std::string{"\x48\x01\x51"
                                            "12345678\x5d"
                                            "1234\x62\x02xy"}));
  CHECK(read.series().size() == 1);
  for (std::size_t size = 1; size < message.size(); ++size) {
    const auto cut = read.decode_message(std::string_view{message}.substr(0, size));
    REQUIRE_FALSE(cut);
    CHECK(cut.error().code == errc::malformed);
  }
  CHECK_FALSE(read.decode_message("\x0b"));               // a group
  CHECK_FALSE(read.decode_message(std::string(1, '\0'))); // field 0
}

TEST_CASE("what is no snappy block, or claims too much, gets no memory") {
  write_request read;
  CHECK_FALSE(read.decode(""));
  CHECK_FALSE(read.decode("hello, this is text"));
  CHECK_FALSE(read.decode(std::string{"\xff\xff\xff\x3f\x00", 5})); // 128 MiB, says the header
  CHECK_FALSE(read.decode(std::string{"\xff\xff\xff\xff\x0f\x00", 6}));
  auto body = write_builder{}.series({{"__name__", "up"}}, {{1, 1}}).body();
  body.pop_back();
  CHECK_FALSE(read.decode(body));
}

TEST_CASE("what goes beyond the bounds of a request is left out, and the rest is read") {
  // A series of few bytes, so often that the last three are too many.
  std::string one = write_builder{}.series({{"__name__", "a"}}, {{1, 1}}).message();
  std::string all;
  all.reserve(one.size() * (request_series_max + 3));
  for (std::size_t i = 0; i < request_series_max + 3; ++i)
    all += one;
  write_request read;
  REQUIRE(read.decode_message(all));
  CHECK(read.series().size() == request_series_max);
  CHECK(read.beyond().samples == 3);
  CHECK(read.beyond().why.find("more than 1048576 series") != std::string::npos);
  REQUIRE(read.decode_message(one));
  CHECK(read.beyond().samples == 0);
}
