// Queries from several threads while appends, rotations, sealing and restarts of logs go on: what was acknowledged
// before a query began is in its answer, once.

#include "store_fixture.hpp"

#include <thread>

using namespace skerry;
using namespace skerry::cloud;
using namespace skerry::cloud::test;

TEST_CASE("queries see everything that was acknowledged, whatever is being sealed") {
  const temporary_directory dir;
  auto config = small_config(dir.path());
  config.log_segment_bytes = 64 << 10; // rotates all the time
  config.log_bytes_max = 256 << 10;
  config.partition_span = std::chrono::hours{1};
  config.partitions_open_max = 1;
  auto s = open_store(config);
  const auto set = make_set("a", 60);
  constexpr int appends = 400;
  std::atomic<int> acknowledged = 0;
  std::atomic<bool> stop = false;
  std::atomic<int> queries = 0;
  const auto time_of = [](int i) {
    return test_clock().wall_ns() - 3'600'000'000'000 * (i % 3) + i * 1'000'000;
  };

  std::vector<std::string> wrong(2);
  std::vector<std::thread> readers;
  for (auto& each : wrong)
    readers.emplace_back([&] {
      while (!stop && each.empty()) {
        const auto before = static_cast<std::size_t>(acknowledged.load());
        auto request = everything();
        request.matchers.push_back(match(promql::match_op::equal, "n", "7"));
        std::size_t samples = 0;
        std::size_t series = 0;
        const auto done = s->select(request, [&](const promql::series_view& v) {
          ++series;
          samples += v.values.size();
        });
        if (!done)
          each = done.error().message;
        else if (samples < before || samples > static_cast<std::size_t>(appends) || series > 1)
          each = std::to_string(samples) + " samples of " + std::to_string(before);
        if (s->label_values("n", everything()).value().size() != 60 && before > 0)
          each = "label values are missing";
        ++queries;
      }
    });
  std::mt19937_64 rng{1};
  for (int i = 0; i < appends; ++i) {
    std::vector<double> values(60);
    for (auto& v : values)
      v = std::bit_cast<double>(rng() & 0x7fefffffffffffff); // no NaN, and nothing to compress
    REQUIRE(append(*s.db, request_builder{edge_id{1}, "x", static_cast<sequence>(i + 1)}
                              .values("h", set, time_of(i), values)
                              .take()));
    ++acknowledged;
    if (i % 150 == 149)
      s->flush();
  }
  stop = true;
  for (auto& r : readers)
    r.join();
  for (const auto& each : wrong)
    CHECK(each.empty());
  CHECK(queries > 2);
  CHECK(s.metric("skerry_store_logs_sealed_total") > 3);
  CHECK(s.metric("skerry_store_damaged_total") == 0);
  s->flush();
  CHECK(select(*s.db, everything()).begin()->second.size() == appends);
}
