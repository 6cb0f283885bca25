// A copy of the directory is taken at every step of sealing, as a crash there would leave it. Each must open,
// answer everything, and seal again without counting anything twice.

#include "store_fixture.hpp"

#include <fmt/format.h>

using namespace skerry;
using namespace skerry::cloud;
using namespace skerry::cloud::test;

TEST_CASE("a crash at any step of sealing changes nothing") {
  constexpr std::int64_t second = 1'000'000'000;
  const temporary_directory dir;
  auto config = small_config(dir.path() / "store");
  std::vector<std::pair<std::string, fs::path>> copies;
  auto s = open_store(config, [&](const char* step) {
    copies.emplace_back(step, dir.path() / fmt::format("copy{}", copies.size()));
    fs::copy(config.directory, copies.back().second, fs::copy_options::recursive);
  });
  const auto set = make_set("a", 20);
  model m;
  request_builder b{edge_id{1}, "x"};
  for (int i = 0; i < 50; ++i) { // over two partitions
    const auto time = test_clock().wall_ns() - i * 3600 * second;
    std::vector<double> values;
    for (int k = 0; k < 20; ++k) {
      values.push_back(i * k * 0.5);
      m.add("x", "h", set->members[static_cast<std::size_t>(k)].all, time, values.back());
    }
    b.values("h", set, time, values);
  }
  b.note(record_kind::event, "h", test_clock().wall_ns(), as_bytes("hello"));
  b.state("held", "51");
  REQUIRE(append(*s.db, b.take()));
  s->flush();
  s.db.reset();
  REQUIRE(copies.size() >= 2 * 3 + 2);

  config.directory.clear();
  for (const auto& [step, copy] : copies) {
    INFO("crashed at: " << step << " in " << copy.filename());
    config.directory = copy;
    auto again = open_store(config);
    CHECK(select(*again.db, everything()) == m.expected());
    CHECK(all_state(*again.db)["held"] == "51");
    again->flush();
    CHECK(select(*again.db, everything()) == m.expected());
    again.db.reset();
    again = open_store(config); // counts are read when partitions are opened
    CHECK(select(*again.db, everything()) == m.expected());
    CHECK(again->usage().samples == 1000);
    std::size_t events = 0;
    REQUIRE(again->ledger(INT64_MIN, INT64_MAX, [&](const ledger_entry&) { ++events; }));
    CHECK(events == 1);
    CHECK(again.metric("skerry_store_damaged_total") == 0);
  }
}
