// What retention deletes, and what it must not: a clock that stands ahead, and a store that nobody writes to, lose nothing.

#include "schemas/model/payload.hpp"
#include "store_fixture.hpp"

#include <fstream>

using namespace skerry;
using namespace skerry::cloud;
using namespace skerry::cloud::test;

namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t day = 86'400 * second;

// Puts the clock back when a test ends.
struct clock_guard {
  const std::int64_t wall = test_clock().wall;
  const std::int64_t monotonic = test_clock().monotonic;
  ~clock_guard() {
    test_clock().wall = wall;
    test_clock().monotonic = monotonic;
  }
};

void pass(std::int64_t ns) {
  test_clock().wall += ns;
  test_clock().monotonic += ns;
}

embedded_config keeping(const fs::path& directory, int days) {
  auto config = small_config(directory);
  config.retention = std::chrono::hours{24 * days};
  return config;
}

void put(store& s, sequence seq, std::int64_t time_ns) {
  static const auto set = make_set("a", 1);
  REQUIRE(append(*s.db, request_builder{edge_id{1}, "x", seq}.values("h", set, time_ns, {1}).take()));
}

// `days` days with a sample each, the newest today, in partitions.
void fill(const embedded_config& config, int days) {
  auto s = open_store(config);
  for (int i = 0; i < days; ++i)
    put(s, static_cast<sequence>(i + 1), test_clock().wall - (days - 1 - i) * day);
  s->flush();
}

std::size_t samples_in(store& s) {
  const auto all = select(*s.db, everything());
  return all.empty() ? 0 : all.begin()->second.size();
}

// Lets the sealing thread look once more.
void look(store& s, sequence seq, std::int64_t time_ns) {
  put(s, seq, time_ns);
  s->flush();
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{10};
  while (s.metric("skerry_store_retention_looks_total") == 0 && std::chrono::steady_clock::now() < until)
    std::this_thread::yield();
}

std::vector<tombstone> deleted(store& s, std::int64_t from_ns = INT64_MIN, std::int64_t to_ns = INT64_MAX) {
  std::vector<tombstone> found;
  REQUIRE(s->ledger(from_ns, to_ns, [&](const ledger_entry& entry) {
    if (const auto stone = decode_tombstone(entry.payload);
        stone && stone.value().cause == loss_cause::retention)
      found.push_back(stone.value());
  }));
  return found;
}

} // namespace

TEST_CASE("a start with the clock ahead deletes nothing") {
  const temporary_directory dir;
  const clock_guard guard;
  const auto config = keeping(dir.path(), 30);
  fill(config, 20);
  test_clock().wall += 40 * day;
  {
    auto s = open_store(config);
    // The edge on the same machine is as wrong.
    look(s, 100, test_clock().wall);
    CHECK(s.metric("skerry_store_retention_waits") == 1);
    CHECK(samples_in(s) == 21);
    CHECK(deleted(s).empty());
  }
  {
    auto s = open_store(config); // and once more
    look(s, 101, test_clock().wall + second);
    CHECK(samples_in(s) == 22);
  }
  test_clock().wall -= 40 * day; // somebody sets it right
  auto s = open_store(config);
  look(s, 102, test_clock().wall + 2 * second);
  CHECK(s.metric("skerry_store_retention_waits") == 0);
  CHECK(samples_in(s) == 23);
}

TEST_CASE("a clock that stays ahead is believed in the end, and what goes is named") {
  const temporary_directory dir;
  const clock_guard guard;
  const auto config = keeping(dir.path(), 30);
  const auto first_ns = test_clock().wall - 19 * day;
  const auto last_ns = test_clock().wall.load();
  fill(config, 20);
  test_clock().wall += 60 * day;
  auto s = open_store(config);
  look(s, 100, test_clock().wall);
  CHECK(samples_in(s) == 21);
  pass(config.clock_jump_wait.count());
  put(s, 101, test_clock().wall);
  s->flush();
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{10};
  while (samples_in(s) != 2 && std::chrono::steady_clock::now() < until)
    std::this_thread::yield();
  CHECK(samples_in(s) == 2);
  const auto named = deleted(s);
  REQUIRE(named.size() == 1);
  CHECK(named[0].samples == 20);
  CHECK(named[0].from_ns <= first_ns);
  CHECK(named[0].to_ns >= last_ns);
  CHECK(deleted(s, test_clock().wall - 10 * day, INT64_MAX).empty());
  s.db.reset();
  s = open_store(config);
  CHECK(deleted(s).size() == 1); // also after a restart
}

TEST_CASE("a store that nobody writes to keeps what it has") {
  const temporary_directory dir;
  const clock_guard guard;
  const auto config = keeping(dir.path(), 5);
  fill(config, 4);
  {
    auto s = open_store(config);
    for (int i = 0; i < 60; ++i) {
      pass(day);
      s->flush();
    }
    CHECK(samples_in(s) == 4);
  }
  auto s = open_store(config);
  CHECK(samples_in(s) == 4);
  CHECK(deleted(s).empty());
}

TEST_CASE("what comes late and is past retention is named when it goes") {
  const temporary_directory dir;
  const clock_guard guard;
  const auto config = keeping(dir.path(), 5);
  fill(config, 4);
  auto s = open_store(config);
  const auto late_ns = test_clock().wall - 30 * day;
  look(s, 100, late_ns);
  CHECK(samples_in(s) == 4);
  const auto named = deleted(s);
  REQUIRE(named.size() == 1);
  CHECK(named[0].samples == 1);
  CHECK(named[0].from_ns == late_ns);
  CHECK(named[0].to_ns == late_ns);
}

TEST_CASE("golden text of a store's RETENTION, and damage in it deletes nothing") {
  const temporary_directory dir;
  const auto file = dir.path() / "RETENTION";
  prometheus::Registry registry;
  store_metrics metrics{registry};
  constexpr auto keep = std::chrono::hours{24 * 30};
  constexpr auto wait = std::chrono::hours{24};
  const auto wall = test_clock().wall.load();
  {
    retention r{file, keep, wait, metrics};
    r.load();
    CHECK(r.oldest_ns(wall, 0, wall - 5) == wall - 5 - 30 * day);
    CHECK(r.oldest_ns(wall, 1, INT64_MIN) == INT64_MIN); // nothing is stored
    CHECK_FALSE(r.expired());
    r.note({-7, 9, 300});
    r.note({-5, 12, 21});
  }
  std::ifstream in{file};
  const std::string text{std::istreambuf_iterator<char>{in}, {}};
  CHECK(text
        == "skerry-retention 1\n"
           "clock 1700000000000000000 1700000000000000000 0\n"
           "expired -7 12 321\n"
           "check ad3afaec1b882e11\n");
  for (std::size_t at = 0; at <= text.size(); ++at)
    for (const bool cut : {true, false}) {
      auto bad = text.substr(0, cut ? at : text.size());
      if (!cut && at < text.size())
        bad[at] = static_cast<char>(bad[at] ^ 1);
      std::ofstream{file} << bad;
      retention r{file, keep, wait, metrics};
      r.load();
      CHECK(r.expired().has_value() == (bad == text));
      // Judged by the newest sample, as in a store of which nothing else is known.
      CHECK(r.oldest_ns(wall + 40 * day, 5, wall + 40 * day) <= wall + 10 * day);
      CHECK(r.oldest_ns(wall + 40 * day, 6, wall) == wall - 30 * day);
    }
}
