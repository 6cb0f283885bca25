// The store's files as a power loss at any moment may leave them, while logs are sealed into partitions: every append
// that was acknowledged is in the answers, with the state that went with it, and nothing is called damaged.

#include "images.hpp"
#include "tests/cloud/store/store_fixture.hpp"

using namespace skerry;
using namespace skerry::cloud;
using namespace skerry::cloud::test;

namespace {

struct sample {
  std::uint64_t mark; // promised from here on
  std::string series;
  std::int64_t time_ms;
  std::uint64_t bits;
};

} // namespace

TEST_CASE("what the store acknowledged survives a power loss at any moment") {
  const cloud::test::temporary_directory dir;
  auto config = small_config(dir.path() / "disk" / "store");
  config.log_segment_bytes = 64 << 10;
  config.log_bytes_max = 1 << 20;
  config.read_threads = 0;
  std::mt19937_64 rng{1};
  std::vector<sample> promised;
  std::uint64_t marks = 0;
  fs::create_directory(dir.path() / "disk");
  skerry::test::disk_recording::start(dir.path() / "disk");
  {
    auto s = open_store(config);
    std::vector<series_set_ptr> sets;
    for (std::size_t i = 0; i < 4; ++i)
      sets.push_back(make_set("job" + std::to_string(i), 5 + 10 * i));
    std::vector<sequence> next(4, 1);
    for (int step = 0; step < 160; ++step) {
      const auto edge = rng() % 4;
      const auto& set = sets[edge];
      const auto host = "h" + std::to_string(edge);
      request_builder b{edge_id{1 + edge}, "x", next[edge]};
      std::vector<sample> added;
      for (std::uint64_t n = 0; n <= rng() % 6; ++n, ++next[edge]) {
        // A millisecond each, over three days: several partitions.
        const auto time = test_clock().wall_ns() - static_cast<std::int64_t>(rng() % 3) * 86'400'000'000'000
                          + static_cast<std::int64_t>(next[edge] * 4 + edge) * 1'000'000;
        std::vector<double> values;
        for (const auto& member : set->members) {
          values.push_back(static_cast<double>(rng() % 100'000) / 8);
          auto all = member.all;
          all.push_back({"site", "x"});
          sort_labels(all);
          added.push_back({0, to_string(all), time / 1'000'000, std::bit_cast<std::uint64_t>(values.back())});
        }
        b.values(host, set, time, std::move(values));
      }
      b.state("count", std::to_string(step + 1));
      REQUIRE(append(*s.db, b.take()));
      skerry::test::disk_recording::mark(++marks);
      for (auto& one : added) {
        one.mark = marks;
        promised.push_back(std::move(one));
      }
      if (rng() % 40 == 0)
        s->flush();
      if (rng() % 50 == 0) {
        s.db.reset();
        s = open_store(config);
      }
    }
  }
  const auto recording = skerry::test::disk_recording::stop();
  REQUIRE(recording.operations().size() > 1'000);

  std::uint64_t seen = 0;
  skerry::test::each_image(
      recording, dir.path(), "build/release/bin/store_power_loss_test",
      [&](const fs::path& image, std::size_t cut) {
        const auto mark = recording.mark_before(cut);
        auto after = config;
        after.directory = image / "store";
        auto s = open_store(after);
        const auto answers = select(*s.db, everything());
        for (const auto& one : promised) {
          if (one.mark > mark)
            break;
          const auto series = answers.find(one.series);
          const bool there = series != answers.end() && series->second.contains(one.time_ms)
                             && series->second.at(one.time_ms) == one.bits;
          if (!there)
            FAIL(one.series << " at " << one.time_ms << " was acknowledged at mark " << one.mark << " of "
                            << mark << " and is "
                            << (series == answers.end() ? "gone with its series" : "gone or another"));
          ++seen;
        }
        if (mark != 0) {
          const auto count = std::stoull(all_state(*s.db).at("count"));
          CHECK((count == mark || count == mark + 1));
        }
        CHECK(s.metric("skerry_store_damaged_total") == 0);
      });
  CHECK(seen > 100'000);
}
