// A suspect segment is examined by a child process: what that finds, and what becomes of the node when it crashes,
// hangs or talks nonsense.

#include "edge/spool/examine.hpp"
#include "edge/spool/examiner.hpp"
#include "tests/edge/spool/spool_world.hpp"

#include <chrono>
#include <fstream>
#include <thread>

using namespace skerry;
using namespace skerry::edge;
using namespace skerry::edge::testing;

namespace {

constexpr const char* child = SKERRY_EXAMINE_CHILD;

spool_config config_with(const fs::path& directory, const char* how) {
  auto out = small_config(directory);
  out.examine_command = {child, how};
  return out;
}

fs::path first_segment(const fs::path& directory) { return directory / "segments" / "00000001" / "data.mdb"; }

void flip(const fs::path& file, const std::string& where, std::size_t at) {
  std::fstream f{file, std::ios::in | std::ios::out | std::ios::binary};
  const std::string content{std::istreambuf_iterator<char>{f}, {}};
  const auto found = content.find(where);
  REQUIRE(found != std::string::npos);
  f.clear();
  f.seekp(static_cast<std::streamoff>(found + at));
  f.put(static_cast<char>(content[found + at] ^ 1));
}

// 20 records in the first segment, of which the fifth is damaged, and some more in a second one.
struct damaged_spool {
  temporary_directory dir;
  world w{seed_of(3)};
  stream_key key;
  std::map<sequence, std::string> expected;

  damaged_spool() {
    {
      const auto s = w.open(small_config(dir.path()));
      key = {test_edge, s->epoch(), stream_id::telemetry};
      for (int i = 0; i < 20; ++i)
        expect_run(expected, s->commit(stream_id::telemetry, event_records(w.random, 1, 20'000), {}).value());
      REQUIRE(s->close());
    }
    {
      const auto s = w.open(small_config(dir.path()));
      REQUIRE(s->commit(stream_id::telemetry, event_records(w.random, 1, 1'000), {}));
      REQUIRE(s->close());
    }
    flip(first_segment(dir.path()), expected.at(5), 100);
  }
  // Meets the damage, and waits until what is gone is named.
  void meet(const spool& s) const {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{60};
    while (state_of(s, key)->lost.empty() && std::chrono::steady_clock::now() < until)
      static_cast<void>(s.read(key, 5, 1 << 20));
    REQUIRE_FALSE(state_of(s, key)->lost.empty());
  }
  [[nodiscard]] double examined(const std::string& result) const {
    for (const auto& family : w.metrics->Collect())
      if (family.name == "skerry_spool_examinations_total")
        for (const auto& one : family.metric)
          for (const auto& label : one.label)
            if (label.value == result)
              return one.counter.value;
    return 0;
  }
};

} // namespace

TEST_CASE("a child finds what is readable in a damaged segment") {
  damaged_spool of;
  const auto s = of.w.open(config_with(of.dir.path(), "well"));
  of.expected.erase(5);
  CHECK(read_all(*s, of.key) == of.expected);
  CHECK(state_of(*s, of.key)->lost == ranges({{5, 5}}));
  CHECK(of.examined("damaged") == 1);
  CHECK(of.examined("not_started") == 0);
}

TEST_CASE("a child examines what is there after a stop that was not orderly") {
  damaged_spool of;
  {
    const auto s = of.w.open(small_config(of.dir.path()));
    REQUIRE(s->commit(stream_id::telemetry, event_records(of.w.random, 1, 1'000), {}));
  } // not closed
  const auto s = of.w.open(config_with(of.dir.path(), "well"));
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{60};
  while (state_of(*s, of.key)->lost.empty() && std::chrono::steady_clock::now() < until)
    std::this_thread::yield();
  CHECK(state_of(*s, of.key)->lost == ranges({{5, 5}}));
  CHECK(of.examined("sound") >= 1); // the newest, before it opened
  CHECK(of.examined("damaged") == 1);
}

TEST_CASE("a child that crashes costs the segment, not the node") {
  const std::string how = GENERATE("sigbus", "garbage", "endless", "gone wrong");
  INFO(how);
  damaged_spool of;
  const auto s = of.w.open(config_with(of.dir.path(), how.c_str()));
  of.meet(*s);
  const auto found = read_all(*s, of.key);
  CHECK(found.empty());
  const auto state = state_of(*s, of.key);
  CHECK(state->held.empty());
  CHECK(state->lost == ranges({{1, 20}})); // named, hence in the ledger
  CHECK(of.examined("crashed") == 2);      // once more, in case it was the machine
  REQUIRE(s->commit(stream_id::telemetry, event_records(of.w.random, 1, 50), {}));
  REQUIRE(s->close()); // and what was being moved has been
  CHECK(fs::exists(of.dir.path() / "damaged" / "00000001" / "data.mdb"));
}

TEST_CASE("what a child found before it crashed is kept") {
  damaged_spool of;
  const auto s = of.w.open(config_with(of.dir.path(), "half"));
  of.meet(*s);
  const auto found = read_all(*s, of.key);
  CHECK(found.size() >= 5);
  CHECK(found.size() < 19);
  for (const auto& [seq, bytes] : found)
    CHECK(of.expected.at(seq) == bytes);
  CHECK(state_of(*s, of.key)->lost.count() == 20 - found.size());
}

TEST_CASE("a child that hangs is ended; commits go on meanwhile, and so does stopping") {
  damaged_spool of;
  auto config = config_with(of.dir.path(), "hang");
  const bool stops = GENERATE(false, true);
  config.examine_time = stops ? std::chrono::minutes{10} : std::chrono::milliseconds{2'000};
  const auto s = of.w.open(config);
  const auto begin = std::chrono::steady_clock::now();
  const auto first = s->read(of.key, 1, 1 << 20); // what is sound comes first
  REQUIRE(first);
  const auto refused = s->read(of.key, 5, 1 << 20);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::corrupt);
  REQUIRE_FALSE(s->read(of.key, 5, 1 << 20)); // at once: somebody waited already
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::milliseconds{1'900});
  REQUIRE(s->commit(stream_id::telemetry, event_records(of.w.random, 1, 50), {}));
  if (stops) {
    REQUIRE(s->close());
    CHECK(state_of(*s, of.key)->lost.empty()); // nothing is known of it yet
    CHECK(of.examined("crashed") + of.examined("timed_out") == 0);
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds{30});
    return;
  }
  const auto until = begin + std::chrono::seconds{60};
  while (state_of(*s, of.key)->lost.empty() && std::chrono::steady_clock::now() < until)
    std::this_thread::yield();
  CHECK(state_of(*s, of.key)->lost == ranges({{1, 20}}));
  CHECK(of.examined("timed_out") == 1);
  REQUIRE(s->commit(stream_id::telemetry, event_records(of.w.random, 1, 50), {}));
}

TEST_CASE("where no process can be started the node examines by itself") {
  damaged_spool of;
  auto config = small_config(of.dir.path());
  config.examine_command = {"/nowhere/skerry-edge"};
  const auto s = of.w.open(config);
  of.expected.erase(5);
  CHECK(read_all(*s, of.key) == of.expected);
  CHECK(of.examined("not_started") == 1);
}

TEST_CASE("an answer that was cut or changed gives what was sound before") {
  damaged_spool of;
  byte_buffer answer;
  REQUIRE(examine_segment(first_segment(of.dir.path()).parent_path(), true, [&](bytes_view part) {
    answer.insert(answer.end(), part.begin(), part.end());
    return true;
  }));
  REQUIRE(read_verdict(answer).whole);
  REQUIRE(read_verdict(answer).wrong);
  REQUIRE(read_answer(shared_bytes::copy(answer), {}).records.at(of.key).size() == 19);
  for (int i = 0; i < 200; ++i) {
    auto changed = answer;
    if (i % 2 == 0)
      changed.resize(of.w.random.below(changed.size()));
    else
      changed[of.w.random.below(changed.size())] ^= std::byte{1};
    CHECK_FALSE(read_verdict(changed).whole);
    const auto found = read_answer(shared_bytes::take(std::move(changed)), {});
    for (const auto& [key, records] : found.records)
      for (const auto& [seq, record] : records)
        CHECK(std::string{as_text(record.bytes)} == of.expected.at(seq));
  }
}
