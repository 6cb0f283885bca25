#include "actors/promql/evaluator.hpp"
#include "actors/promql/parser.hpp"
#include "edge/query/spooled_series.hpp"
#include "tests/edge/spool/spool_world.hpp"

#include <fstream>
#include <map>
#include <thread>

using namespace skerry;
using namespace skerry::edge;
using namespace skerry::edge::testing;

namespace {

constexpr std::int64_t second = 1'000'000'000;

std::map<std::string, std::size_t> selected(spooled_series& from, const char* selector, std::int64_t from_ms,
                                            std::int64_t to_ms) {
  promql::select_request request;
  request.matchers = promql::parse_selector(selector).value();
  request.from_ms = from_ms;
  request.to_ms = to_ms;
  std::map<std::string, std::size_t> out;
  REQUIRE(from.select(request, [&](const promql::series_view& series) {
    CHECK(std::is_sorted(series.times_ms.begin(), series.times_ms.end()));
    out[to_string(series.all)] = series.times_ms.size();
  }));
  return out;
}

} // namespace

TEST_CASE("what a spool holds and keeps is a source for queries") {
  temporary_directory dir;
  world w;
  auto config = small_config(dir.path());
  config.local_retention = std::chrono::hours{24 * 365 * 100};
  std::shared_ptr<spool> store = w.open(config);
  spooled_series source{store};
  const std::vector<series_set_ptr> sets{some_set(1), some_set(2)};
  for (std::int64_t t = 1; t <= 10; ++t)
    REQUIRE(store->commit(
        stream_id::telemetry,
        std::vector<pending_record>{frame_record(sets[0], t * second), frame_record(sets[1], t * second)},
        sets));
  const stream_key key{test_edge, store->epoch(), stream_id::telemetry};
  REQUIRE(store->release(key, ranges({{1, 9}})));

  const auto all = selected(source, "m", 0, 20'000);
  REQUIRE(all.size() == 6);
  CHECK(all.begin()->first == R"(m{id="1",nr="0000"})");
  for (const auto& [name, count] : all)
    CHECK(count == 10);
  CHECK(selected(source, R"(m{id="2",nr=~"000[01]",site="",host=""})", 3'000, 5'000).size() == 2);
  CHECK(selected(source, R"(m{id="2",nr="0000"})", 3'000, 5'000).begin()->second == 3);
  CHECK(selected(source, R"(m{host="other"})", 0, 20'000).empty());

  promql::select_request any;
  any.to_ms = 20'000;
  CHECK(source.label_names(any).value() == std::vector<std::string>{"__name__", "id", "nr"});
  CHECK(source.label_values("id", any).value() == std::vector<std::string>{"1", "2"});
  REQUIRE(source.metadata().value().size() == 1);
  CHECK(source.metadata().value()[0].help == "help");

  const auto tree = promql::parse("count(m)").value();
  const auto answer = promql::evaluate_instant(*tree, source, 10'000, {});
  REQUIRE(answer);
  CHECK(std::get<promql::vector_value>(answer.value()).at(0).at.value == 6);

  any.samples_max = 5;
  const auto refused = source.select(any, [](const promql::series_view&) {});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::exhausted);
}

TEST_CASE("the same sample from two records is one, and of two values the same one always wins") {
  temporary_directory dir;
  world w;
  std::shared_ptr<spool> store = w.open(small_config(dir.path()));
  spooled_series source{store};
  const std::vector<series_set_ptr> sets{some_set(1, 1)};
  auto frame_of = [&](double value) {
    frame f;
    f.time_ns = second;
    f.sections.push_back({sets[0]->hash, 1, {}});
    f.values.push_back(value);
    value_encoder encoder;
    pending_record out{record_kind::frame, f.time_ns, "h", {}};
    encode_frame(f, encoder, out.payload);
    return out;
  };
  for (const auto value : {2.0, stale_marker(), 3.0, 2.0})
    REQUIRE(store->commit(stream_id::telemetry, std::vector<pending_record>{frame_of(value)}, sets));
  promql::select_request any;
  any.to_ms = 2'000;
  std::vector<double> values;
  REQUIRE(source.select(any, [&](const promql::series_view& series) {
    values.assign(series.values.begin(), series.values.end());
  }));
  CHECK(values == std::vector<double>{3.0});
}

TEST_CASE("over a damaged spool a query answers what is sound, and the segment is repaired") {
  temporary_directory dir;
  world w;
  std::shared_ptr<spool> store = w.open(small_config(dir.path()));
  spooled_series source{store};
  // Large frames, so that each has pages of its own and there are several segments.
  const std::vector<series_set_ptr> sets{some_set(1, 256)};
  constexpr std::int64_t frames = 2'000;
  std::string damaged_record;
  for (std::int64_t t = 1; t <= frames; ++t) {
    auto record = frame_record(sets[0], t * second);
    if (t == 10)
      damaged_record = std::string{as_text(record.payload)};
    REQUIRE(store->commit(stream_id::telemetry, std::vector<pending_record>{std::move(record)}, sets));
    if (store->usage().segments >= 3)
      break;
  }
  const auto count = [&] {
    const auto all = selected(source, R"(m{nr="0000"})", 0, (frames + 1) * 1'000);
    return all.empty() ? std::size_t{0} : all.begin()->second;
  };
  const auto whole = count();
  REQUIRE(source.left_out() == 0);

  std::size_t places = 0;
  for (const auto& entry : fs::recursive_directory_iterator{dir.path() / "segments"}) {
    if (!entry.is_regular_file())
      continue;
    std::string content;
    {
      std::ifstream in{entry.path(), std::ios::binary};
      content.assign(std::istreambuf_iterator<char>{in}, {});
    }
    for (auto at = content.find(damaged_record); at != std::string::npos;
         at = content.find(damaged_record, at + 1)) {
      content[at + damaged_record.size() / 2] ^= 4;
      ++places;
    }
    std::ofstream{entry.path(), std::ios::binary | std::ios::trunc} << content;
  }
  REQUIRE(places > 0);

  const auto found = count(); // was: corrupt, for ever
  CHECK(found < whole);
  CHECK(found > 0); // the repair may be under way already
  const auto noticed = source.left_out();
  CHECK(noticed == 1);
  REQUIRE(source.metadata());
  // The repair goes on by itself, without anybody who delivers.
  for (int i = 0; i < 2'000; ++i) {
    const bool all_back = count() == whole - 1; // what was saved comes back in pieces
    if (all_back && w.metric("skerry_spool_segments_damaged_total") != 0)
      break;
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
  CHECK(w.metric("skerry_spool_segments_damaged_total") == 1);
  const auto after = source.left_out();
  CHECK(count() == whole - 1);
  CHECK(source.left_out() == after);
}
