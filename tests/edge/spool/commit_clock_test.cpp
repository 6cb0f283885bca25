// When the last commit was, where the wall clock was wrong then or is now.

#include "edge/spool/commit_clock.hpp"
#include "tests/edge/spool/spool_world.hpp"

#include <fstream>
#include <iterator>

using namespace skerry;
using namespace skerry::edge;
using namespace skerry::edge::testing;

namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t day = 86'400 * second;

// Opens the spool and commits a record, if it is to; gives how long ago the last commit was, as the opening says.
std::int64_t off_for(world& w, const fs::path& directory, bool commits = true) {
  const auto s = w.open(small_config(directory));
  const auto off_ns = w.clock.wall_ns() - s->report().last_commit_ns;
  if (commits)
    REQUIRE(s->commit(stream_id::telemetry, event_records(w.random, 1, 10), {}));
  return off_ns;
}

} // namespace

TEST_CASE("a spool that is opened while the clock is wrong says for how long it was closed") {
  const auto wrong_by = GENERATE(-40 * day, 40 * day, -3600 * second);
  INFO(wrong_by / second << " s");
  temporary_directory directory;
  world w;
  (void)off_for(w, directory.path());
  const auto after = [&](std::int64_t ahead_ns, bool commits) {
    w.clock.now += 60 * second;
    w.clock.ahead = ahead_ns;
    const auto off_ns = off_for(w, directory.path(), commits);
    CHECK(off_ns >= 59 * second);
    CHECK(off_ns <= 62 * second);
  };
  after(wrong_by, true);
  after(0, true);
  after(wrong_by, true);
  after(wrong_by, true);
  after(0, true);
}

TEST_CASE("an opening that commits nothing leaves what the one before has said") {
  temporary_directory directory;
  world w;
  (void)off_for(w, directory.path());
  w.clock.now += 60 * second;
  w.clock.ahead = -40 * day;
  (void)off_for(w, directory.path(), false);
  w.clock.now += 60 * second;
  w.clock.ahead = 0;
  const auto off_ns = off_for(w, directory.path());
  CHECK(off_ns >= 119 * second);
  CHECK(off_ns <= 122 * second);
}

TEST_CASE("a clock that is set while the spool is open does not change how long it was closed") {
  temporary_directory directory;
  world w;
  {
    const auto s = w.open(small_config(directory.path()));
    for (const auto ahead : {std::int64_t{0}, -40 * day, 40 * day}) {
      w.clock.ahead = ahead;
      REQUIRE(s->commit(stream_id::telemetry, event_records(w.random, 1, 10), {}));
    }
  }
  w.clock.now += 60 * second;
  w.clock.ahead = 0;
  const auto off_ns = off_for(w, directory.path());
  CHECK(off_ns >= 59 * second);
  CHECK(off_ns <= 62 * second);
}

TEST_CASE("of another boot, or without a sound file, the newest time that a commit was stamped with counts") {
  temporary_directory directory;
  test_clock clock;
  const auto file = directory.path() / "STAMP";
  const std::vector<std::int64_t> commits{5 * second, 7 * second, 3 * second};
  {
    commit_clock first{file, clock, {1}};
    CHECK(first.load(commits) == 7 * second);
    first.note();
  }
  CHECK(commit_clock{file, clock, {2}}.load(commits) == 7 * second);
  std::ofstream{file, std::ios::binary | std::ios::app} << "x";
  CHECK(commit_clock{file, clock, {1}}.load(commits) == 7 * second);
  CHECK(commit_clock{file, clock, {1}}.load({}) == 0);
}

TEST_CASE("the commit clock's file is as its page says") {
  temporary_directory directory;
  test_clock clock;
  clock.now = 1000 * second;
  clock.ahead = 5 * second - 1'000'000; // this clock shows a millisecond more each time
  const auto file = directory.path() / "STAMP";
  commit_clock c{file, clock, {0xab, 1}};
  const std::int64_t before = 900 * second;
  (void)c.load(std::span{&before, 1});
  c.committed();
  c.note();
  std::ifstream in{file, std::ios::binary};
  const std::string text{std::istreambuf_iterator<char>{in}, {}};
  CHECK(text.starts_with("skerry-commit-clock 1\nab010000000000000000000000000000 "));
  CHECK(text.find("\ncheck ") != std::string::npos);
}
