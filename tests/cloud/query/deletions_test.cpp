#include "actors/promql/parser.hpp"
#include "cloud/query/deletions.hpp"
#include "tests/cloud/store/store_fixture.hpp"

using namespace skerry;
using namespace skerry::cloud;
using namespace skerry::cloud::test;

namespace {

constexpr std::int64_t now_ms = 10'000;

// Times of what is left of `m`.
std::vector<std::int64_t> times(deletions& from, const char* selector, bool newest_only = false) {
  promql::select_request request;
  request.newest_only = newest_only;
  request.matchers = promql::parse_selector(selector).value();
  request.to_ms = 1'000'000;
  std::vector<std::int64_t> out;
  REQUIRE(from.select(request, [&](const promql::series_view& series) {
    out.insert(out.end(), series.times_ms.begin(), series.times_ms.end());
  }));
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<std::vector<promql::matcher>> selectors(const char* text) {
  return {promql::parse_selector(text).value()};
}

void put(engine& db, const char* name, std::initializer_list<std::int64_t> seconds) {
  const auto set =
      make_series_set({{"m", metric_type::gauge, "", ""}}, {{0, {{"__name__", "m"}, {"name", name}}}});
  static std::uint64_t boot = 0;
  const stream_key key{edge_id{1}, {++boot, {}}, stream_id::telemetry};
  run_builder builder{key, 1};
  value_encoder encoder;
  for (const auto s : seconds) {
    frame f;
    f.time_ns = s * 1'000'000'000;
    f.sections.push_back({set->hash, 1, {}});
    f.values.push_back(1);
    byte_buffer payload;
    encode_frame(f, encoder, payload);
    builder.append(record_kind::frame, f.time_ns, "h", payload);
  }
  const auto made = std::move(builder).finish();
  append_request request;
  request.site = "s";
  request.origin = key;
  request.ranges.add({1, made.header.last()});
  request.records = decode_records(made).value();
  request.owner = made.bytes.owner;
  request.sets = {set};
  REQUIRE(append(db, std::move(request)));
}

} // namespace

TEST_CASE("what comes after a deletion is seen, whatever end it had") {
  temporary_directory directory;
  auto opened = open_store(small_config(directory.path()));
  const std::shared_ptr<engine> db{std::move(opened.db)};
  put(*db, "a", {1, 2});
  const auto deleted = deletions::open(db).value();
  REQUIRE(deleted->remove(selectors("m"), INT64_MIN, INT64_MAX, 2'000));
  REQUIRE(deleted->remove(selectors("m"), 5'000, INT64_MAX, 2'000)); // all of it is still to come
  CHECK(times(*deleted, "m").empty());
  put(*db, "a", {3, 6});
  CHECK(times(*deleted, "m") == std::vector<std::int64_t>{3'000, 6'000});
  CHECK(times(*deleted, "m", true).back() == 6'000);
}

TEST_CASE("what was deleted is hidden, and still is after a restart") {
  temporary_directory directory;
  {
    auto opened = open_store(small_config(directory.path()));
    const std::shared_ptr<engine> db{std::move(opened.db)};
    put(*db, "a", {1, 2, 3, 4});
    put(*db, "b", {1, 2});
    const auto deleted = deletions::open(db).value();
    CHECK(times(*deleted, "m").size() == 6);
    const auto version = db->changes().version();
    REQUIRE(deleted->remove(selectors(R"(m{name="a"})"), 2'000, 3'000, now_ms));
    CHECK(db->changes().changed_since(version) <= 2'000'000'000); // for who keeps answers
    CHECK(times(*deleted, R"(m{name="a"})") == std::vector<std::int64_t>{1'000, 4'000});
    CHECK(times(*deleted, R"(m{name="b"})").size() == 2);
    REQUIRE(deleted->remove(selectors(R"({name=~"b|c\"\n"})"), INT64_MIN, INT64_MAX, now_ms));
    CHECK(times(*deleted, R"(m{name="b"})").empty());
    // What is about other series does not stand in the way of reading the newest sample alone.
    CHECK(times(*deleted, R"({name="a",name!~"b.*"})", true) == std::vector<std::int64_t>{1'000, 4'000});
    CHECK(times(*deleted, R"({name="d"})", true).empty());
    put(*db, "d", {1, 2, 3, 4});
    CHECK(times(*deleted, R"({name="d"})", true) == std::vector<std::int64_t>{4'000});
    REQUIRE(deleted->remove(selectors(R"({name="d"})"), INT64_MIN, INT64_MAX, now_ms));
    promql::select_request any;
    any.to_ms = 10'000;
    std::size_t series = 0;
    REQUIRE(deleted->series(any, [&](const labels&) { ++series; }));
    CHECK(series == 1);
  }
  auto opened = open_store(small_config(directory.path()));
  const std::shared_ptr<engine> db{std::move(opened.db)};
  const auto deleted = deletions::open(db).value();
  CHECK(times(*deleted, "m") == std::vector<std::int64_t>{1'000, 4'000});
  CHECK(times(*deleted, "m", true).back() == 4'000);
  REQUIRE(deleted->remove(selectors("m"), 4'000, 4'000, now_ms));
  CHECK(times(*deleted, "m") == std::vector<std::int64_t>{1'000});
  CHECK(times(*deleted, "m", true) == std::vector<std::int64_t>{1'000}); // the newest that is left
}

TEST_CASE("deletions are bounded") {
  temporary_directory directory;
  auto opened = open_store(small_config(directory.path()));
  const auto deleted = deletions::open(std::shared_ptr<engine>{std::move(opened.db)}).value();
  const auto one = promql::parse_selector("m").value();
  REQUIRE(deleted->remove(std::vector(deletions_max, one), 0, 1, now_ms));
  const auto refused = deleted->remove({one}, 0, 1, now_ms);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::exhausted);
}
