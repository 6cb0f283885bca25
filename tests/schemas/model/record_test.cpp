#include "schemas/model/record.hpp"

#include <catch2/catch.hpp>

using namespace skerry;

TEST_CASE("a run decodes to the records that were appended") {
  const stream_key key{edge_id{7}, {3, {1, 2, 3}}, stream_id::telemetry};
  run_builder builder{key, 41};
  builder.append(record_kind::event, 1000, "host-a", as_bytes("hello"));
  builder.append(record_kind::event, 2000, "", as_bytes(""));
  const auto made = std::move(builder).finish();
  const auto read = decode_run(made.bytes);
  REQUIRE(read);
  CHECK(read.value().header == made.header);
  const auto records = decode_records(read.value());
  REQUIRE(records);
  REQUIRE(records.value().size() == 2);
  CHECK(records.value()[0].host == "host-a");
  CHECK(as_text(records.value()[0].payload) == "hello");
  CHECK(records.value()[1].seq == 42);
}
