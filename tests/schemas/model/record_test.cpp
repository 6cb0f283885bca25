#include "schemas/model/payload.hpp"
#include "schemas/model/record.hpp"
#include "tests/schemas/support.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::test;

namespace {

const stream_key key{edge_id{7}, {3, {1, 2, 3}}, stream_id::telemetry};

run sample_run() {
  run_builder builder{key, 41};
  builder.append(record_kind::event, 1000, "host-a", as_bytes("hello"));
  byte_buffer stone;
  encode_payload(tombstone{51, 1, 2, 3, 4, loss_cause::spool_age}, stone);
  builder.append(record_kind::tombstone, 1500, "", stone, 10);
  builder.append(record_kind::event, 2000, "", as_bytes(""));
  return std::move(builder).finish();
}

} // namespace

TEST_CASE("a run decodes to the records that were appended") {
  const auto made = sample_run();
  CHECK(made.header.first == 41);
  CHECK(made.header.last() == 52);
  const auto read = decode_run(made.bytes);
  REQUIRE(read);
  CHECK(read.value().header == made.header);
  const auto records = decode_records(read.value());
  REQUIRE(records);
  REQUIRE(records.value().size() == 3);
  CHECK(records.value()[0].host == "host-a");
  CHECK(records.value()[0].time_ns == 1000);
  CHECK(records.value()[0].kind == record_kind::event);
  CHECK(as_text(records.value()[0].payload) == "hello");
  CHECK(sequences_of(records.value()[1]).value() == 10);
  CHECK(records.value()[2].seq == 52);
  CHECK(records.value()[2].payload.empty());
}

TEST_CASE("records and runs have golden bytes") {
  constexpr auto golden_record = "536b01033300000026a305d2d8d3b1052900000000000000b8124a2a00020600e8030000000"
                                 "00000686f73742d6168656c6c6f";
  byte_buffer record;
  encode_record(record_kind::event, key, 41, 1000, "host-a", as_bytes("hello"), record);
  CHECK(hex(record) == golden_record);
  CHECK(decode_record(unhex(golden_record)).value().seq == 41);

  run_builder builder{key, 41, 9};
  builder.append(decode_record(record).value());
  const auto made = std::move(builder).finish();
  CHECK(hex(made.bytes.view.first(run_header_bytes))
        == "534b524e01020000090000000100000007000000000000000300000000000000010203000000000000000000000000002"
           "9000000000000002900000000000000330000005cdcc88c");
  CHECK(hex(made.bytes.view.subspan(run_header_bytes)) == golden_record);
}

TEST_CASE("no flipped bit and no cut goes unnoticed") {
  const auto made = sample_run();
  each_damage(made.bytes.view, [](const byte_buffer& in) {
    const auto read = decode_run(shared_bytes::copy(in));
    if (read)
      CHECK_FALSE(decode_records(read.value()));
  });
  byte_buffer record;
  encode_record(record_kind::event, key, 1, 1000, "host-a", as_bytes("hello"), record);
  each_damage(record, [](const byte_buffer& in) { CHECK_FALSE(decode_record(in)); });
}

TEST_CASE("records in the wrong place are refused") {
  byte_buffer first, second, foreign;
  encode_record(record_kind::event, key, 1, 0, "", {}, first);
  encode_record(record_kind::event, key, 2, 0, "", {}, second);
  encode_record(record_kind::event, {edge_id{8}, key.epoch, key.stream}, 2, 0, "", {}, foreign);
  run_builder builder{key, 1};
  builder.append(decode_record(first).value());
  builder.append(decode_record(second).value());
  const auto made = std::move(builder).finish();
  REQUIRE(decode_records(made));

  const auto with = [&](const byte_buffer& a, const byte_buffer& b) {
    byte_buffer bytes(made.bytes.view.begin(), made.bytes.view.begin() + run_header_bytes);
    bytes.insert(bytes.end(), a.begin(), a.end());
    bytes.insert(bytes.end(), b.begin(), b.end());
    const auto r = decode_run(shared_bytes::take(std::move(bytes)));
    REQUIRE(r);
    return decode_records(r.value());
  };
  CHECK(with(first, second));
  CHECK(with(second, first).error().code == errc::malformed);
  CHECK(with(first, first).error().code == errc::malformed);
  CHECK(with(first, foreign).error().code == errc::malformed);
  CHECK(decode_run(made.bytes.slice(0, made.bytes.view.size() - 1)).error().code == errc::malformed);
}

TEST_CASE("a tombstone cannot reach past its run or before itself") {
  byte_buffer stone;
  encode_payload(tombstone{3, 0, 0, 0, 0, loss_cause::corrupt}, stone);
  run_builder past{key, 2};
  past.append(record_kind::tombstone, 0, "", stone, 1); // says that it covers one sequence, and covers two
  CHECK(decode_records(std::move(past).finish()).error().code == errc::malformed);
  run_builder before{key, 9};
  before.append(record_kind::tombstone, 0, "", stone, 1);
  CHECK(decode_records(std::move(before).finish()).error().code == errc::malformed);
}

TEST_CASE("the last number there is cannot be used: what follows it could not be named") {
  run_builder builder{key, UINT64_MAX};
  builder.append(record_kind::event, 0, "", {});
  CHECK(decode_run(std::move(builder).finish().bytes).error().code == errc::malformed);
}

TEST_CASE("records of any size come back") {
  const auto seed = pick_seed();
  INFO("SKERRY_SEED=" << seed);
  std::mt19937_64 random{seed};
  for (int round = 0; round < 50; ++round) {
    run_builder builder{key, 1 + random() % 1000};
    std::vector<byte_buffer> payloads;
    std::vector<std::string> hosts;
    for (auto n = 1 + random() % 40; n > 0; --n) {
      payloads.emplace_back(random() % 3000);
      for (auto& b : payloads.back())
        b = static_cast<std::byte>(random());
      hosts.emplace_back(random() % 256, 'h');
      builder.append(record_kind::frame, static_cast<std::int64_t>(random()), hosts.back(), payloads.back());
    }
    const auto made = std::move(builder).finish();
    const auto records = decode_records(made);
    REQUIRE(records);
    REQUIRE(records.value().size() == payloads.size());
    for (std::size_t i = 0; i < payloads.size(); ++i) {
      CHECK(records.value()[i].host == hosts[i]);
      CHECK(std::equal(payloads[i].begin(), payloads[i].end(), records.value()[i].payload.begin(),
                       records.value()[i].payload.end()));
      CHECK(records.value()[i].seq == made.header.first + i);
    }
  }
}
