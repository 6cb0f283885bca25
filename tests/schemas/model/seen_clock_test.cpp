#include "schemas/model/frame.hpp"
#include "schemas/model/seen_clock.hpp"

#include <catch2/catch.hpp>

using namespace skerry;

namespace {

const stream_key key{edge_id{7}, {1, {1}}, stream_id::telemetry};

struct run_maker {
  run_builder builder{key, 1};
  value_encoder encoder;

  run_maker& frame_at(std::int64_t time_ns, std::int64_t monotonic_ns) {
    frame f;
    f.time_ns = time_ns;
    f.monotonic_ns = monotonic_ns;
    byte_buffer payload;
    encode_frame(f, encoder, payload);
    builder.append(record_kind::frame, time_ns, "a", payload);
    return *this;
  }
  std::vector<std::int64_t> seen(bool ahead) {
    const auto all = std::move(builder).finish();
    const auto records = decode_records(all).value();
    seen_clock clock;
    if (ahead)
      clock.look_ahead(records);
    std::vector<std::int64_t> out;
    for (const auto& record : records)
      out.push_back(clock.of(record));
    return out;
  }
};

} // namespace

TEST_CASE("a frame of claimed times was seen when the record before it was") {
  CHECK(run_maker{}.frame_at(1, 0).frame_at(100, 5).frame_at(1, 0).frame_at(9'000, 0).frame_at(115, 6).seen(
            true)
        == std::vector<std::int64_t>{100, 100, 100, 100, 115});
  CHECK(run_maker{}.frame_at(1, 0).frame_at(100, 5).seen(false) == std::vector<std::int64_t>{1, 100});
  CHECK(run_maker{}.frame_at(1, 0).frame_at(2, 0).seen(true) == std::vector<std::int64_t>{1, 2});
}

TEST_CASE("other records are dated by the node that made them, a frame that does not decode is not") {
  CHECK(has_node_time(record_kind::watermark, {}));
  CHECK(has_node_time(record_kind::tombstone, as_bytes("x")));
  CHECK_FALSE(has_node_time(record_kind::frame, {}));
  CHECK_FALSE(has_node_time(record_kind::frame, as_bytes("\x07 no frame")));
}
