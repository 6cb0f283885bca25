#include "cloud/ledger/loss_rows.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace skerry;
using namespace skerry::cloud;

namespace {

constexpr std::int64_t second = 1'000'000'000;

loss_entry lost(std::int64_t from_ns, std::int64_t to_ns, sequence seq, std::string host = "a") {
  loss_entry out;
  out.site = "s";
  out.host = std::move(host);
  out.origin = {edge_id{7}, {1, {1}}, stream_id::telemetry};
  out.first = out.last = seq;
  out.records = 1;
  out.collected = true;
  out.from_ns = from_ns;
  out.to_ns = to_ns;
  out.samples = 2;
  out.cause = loss_cause::clock_ahead;
  return out;
}

} // namespace

TEST_CASE("losses of one cause and stream become one row where they lie close") {
  loss_rows rows{100, 60 * second};
  for (sequence i = 0; i < 910; ++i)
    rows.add(lost(static_cast<std::int64_t>(i) * second, static_cast<std::int64_t>(i) * second, 2 * i + 1));
  rows.add(lost(5'000 * second, 5'000 * second, 5'000));
  auto other = lost(0, 10 * second, 3);
  other.cause = loss_cause::corrupt;
  rows.add(other);
  const auto all = rows.take();
  REQUIRE(all.size() == 3);
  CHECK(all[0].cause == loss_cause::corrupt);
  CHECK(all[1].entries == 910);
  CHECK(all[1].records == 910);
  CHECK(all[1].samples == 1820);
  CHECK(all[1].first == 1);
  CHECK(all[1].last == 1819);
  CHECK(all[1].to_ns == 909 * second);
  CHECK(all[2].from_ns == 5'000 * second);
  CHECK(rows.take().empty());
}

TEST_CASE("without a gap only losses that touch become one, in any order") {
  loss_rows rows{100};
  rows.add(lost(20, 29, 3));
  rows.add(lost(10, 18, 1));
  rows.add(lost(40, 50, 4));
  auto all = loss_rows{rows}.take();
  REQUIRE(all.size() == 3);
  rows.add(lost(19, 19, 2)); // between the two
  all = rows.take();
  REQUIRE(all.size() == 2);
  CHECK(all[0].from_ns == 10);
  CHECK(all[0].to_ns == 29);
  CHECK(all[0].entries == 3);
}

TEST_CASE("what was thinned is one row, though every few frames one stayed") {
  loss_rows rows{100, 0, 60 * second};
  for (int i = 0; i < 1'000;
       ++i) { // each second one of four frames stayed; of another epoch from the middle on
    auto one = lost(i * second, i * second + 750'000'000, static_cast<sequence>(4 * i + 1));
    one.cause = loss_cause::thinned;
    if (i >= 500)
      one.origin.epoch.boot_counter = 2;
    rows.add(one);
  }
  rows.add(lost(0, second, 1)); // of another cause nothing is joined over a gap
  rows.add(lost(2 * second, 3 * second, 9));
  const auto all = rows.take();
  REQUIRE(all.size() == 3);
  const auto thinned =
      std::find_if(all.begin(), all.end(), [](const auto& one) { return one.cause == loss_cause::thinned; });
  REQUIRE(thinned != all.end());
  CHECK(thinned->entries == 1'000);
  CHECK(thinned->samples == 2'000);
  CHECK(thinned->first == 0); // sequences of two epochs are no range
  CHECK(thinned->to_ns == 999 * second + 750'000'000);
}

TEST_CASE("times in which nothing was collected stay apart, however close") {
  loss_rows rows{100, 60 * second};
  auto gap = lost(0, second, 0);
  gap.collected = false;
  rows.add(gap);
  gap.from_ns = 2 * second;
  gap.to_ns = 3 * second;
  rows.add(gap);
  CHECK(rows.take().size() == 2);
}

TEST_CASE("there are never more rows than may be, and none is forgotten") {
  loss_rows rows{50};
  for (sequence i = 0; i < 2'000; ++i) // hosts and times without end
    rows.add(lost(static_cast<std::int64_t>(i) * 1'000 * second,
                  static_cast<std::int64_t>(i) * 1'000 * second + 1, i + 1,
                  "host-" + std::to_string(i % 200)));
  rows.add(lost(INT64_MIN, INT64_MIN, 1));
  rows.add(lost(INT64_MAX, INT64_MAX, 1));
  const auto all = rows.take();
  REQUIRE_FALSE(all.empty());
  CHECK(all.size() <= 50);
  std::uint64_t entries = 0;
  for (const auto& row : all)
    entries += row.entries;
  CHECK(entries == 2'002);
  CHECK(all.front().host.empty()); // of every host of its edge now
}
