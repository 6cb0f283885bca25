// Other processes, full and forbidden disks, versions: what the operating system can do to a spool.

#include "edge/spool/state_file.hpp"
#include "tests/edge/spool/spool_world.hpp"

#include <fcntl.h>
#include <fstream>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace skerry;
using namespace skerry::edge;
using namespace skerry::edge::testing;

namespace {

// What a child tells through the pipe after each commit.
struct told {
  std::uint64_t boot_counter = 0;
  std::array<std::uint8_t, 16> random{};
  std::uint64_t first = 0;
  std::uint64_t last = 0;
};

[[noreturn]] void commit_for_ever(const fs::path& directory, std::uint64_t seed, int to) {
  world w{seed};
  auto s = w.try_open(small_config(directory));
  if (!s)
    ::_exit(3);
  for (;;) {
    const auto made = s.value()->commit(
        stream_id::telemetry, event_records(w.random, 1 + w.random.below(20), w.random.below(3000)), {});
    if (!made)
      ::_exit(4);
    const auto& header = made.value().header;
    const told message{header.key.epoch.boot_counter, header.key.epoch.random, header.first, header.last()};
    if (::write(to, &message, sizeof message) != sizeof message)
      ::_exit(5);
  }
}

} // namespace

TEST_CASE("what was acknowledged survives kill -9 in the middle of commits") {
  const auto seed = seed_of(3);
  INFO("SKERRY_SEED=" << seed);
  temporary_directory dir;
  test_random random{seed};
  std::map<stream_key, sequence> acknowledged;
  for (int round = 0; round < 15; ++round) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const auto child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0)
      commit_for_ever(dir.path(), seed * 1000 + static_cast<std::uint64_t>(round), ends[1]);
    ::close(ends[1]);
    // After that many acknowledgements, and then somewhere in the next commits.
    const auto wanted = 1 + random.below(40);
    told message;
    std::uint64_t heard = 0;
    const auto hear = [&] {
      if (::read(ends[0], &message, sizeof message) != sizeof message)
        return false;
      acknowledged[{test_edge, {message.boot_counter, message.random}, stream_id::telemetry}] = message.last;
      ++heard;
      return true;
    };
    while (heard < wanted && hear()) {
    }
    ::usleep(static_cast<useconds_t>(random.below(2000)));
    ::kill(child, SIGKILL);
    while (hear()) {
    }
    ::close(ends[0]);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(heard >= wanted);
  }
  world w{seed};
  const auto s = w.open(small_config(dir.path()));
  CHECK_FALSE(s->report().clean);
  CHECK(s->report().damaged.empty());
  CHECK(s->epoch().boot_counter == 16);
  CHECK(acknowledged.size() == 15);
  for (const auto& [key, last] : acknowledged) {
    const auto found = read_all(*s, key);
    CHECK(found.size() >= last);
    CHECK(found.begin()->first == 1);
    CHECK(found.rbegin()->first == found.size()); // without gaps
  }
}

TEST_CASE("a second opening of the same directory is refused") {
  temporary_directory dir;
  world w;
  const auto s = w.open(small_config(dir.path()));
  world other{2};
  const auto second = other.try_open(small_config(dir.path()));
  REQUIRE_FALSE(second);
  CHECK(second.error().code == errc::conflict);
  CHECK(second.error().message.find(dir.path().string()) != std::string::npos);
  const auto child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    world third{3};
    const auto opened = third.try_open(small_config(dir.path()));
    ::_exit(!opened && opened.error().code == errc::conflict ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  REQUIRE(s->commit(stream_id::telemetry, event_records(w.random, 1, 1), {}));
}

TEST_CASE("a newer format is refused, a damaged format file is not") {
  temporary_directory dir;
  world w;
  { REQUIRE(w.open(small_config(dir.path()))->close()); }
  std::ofstream{dir.path() / "FORMAT"} << format_text(spool_format_version + 1);
  const auto newer = w.try_open(small_config(dir.path()));
  REQUIRE_FALSE(newer);
  CHECK(newer.error().code == errc::unsupported_version);
  auto text = format_text(spool_format_version);
  text[13] = '9'; // as a flipped bit would do it
  std::ofstream{dir.path() / "FORMAT"} << text;
  CHECK(w.open(small_config(dir.path()))->report().damaged.size() == 1);
}

TEST_CASE("a directory that cannot be used is an error that says which") {
  temporary_directory dir;
  world w;
  std::ofstream{dir.path() / "file"} << "x";
  const auto not_a_directory = w.try_open(small_config(dir.path() / "file"));
  REQUIRE_FALSE(not_a_directory);
  CHECK(not_a_directory.error().code == errc::io);
  CHECK(not_a_directory.error().message.find((dir.path() / "file").string()) != std::string::npos);
  const auto below_file = w.try_open(small_config(dir.path() / "file" / "spool"));
  CHECK_FALSE(below_file);

  if (::geteuid() == 0) {
    const auto child = ::fork(); // root may write anywhere: become nobody
    REQUIRE(child >= 0);
    if (child == 0) {
      fs::permissions(dir.path(), fs::perms::owner_read | fs::perms::owner_exec | fs::perms::others_exec);
      if (::setgid(65534) != 0 || ::setuid(65534) != 0)
        ::_exit(2);
      world other;
      const auto refused = other.try_open(small_config(dir.path() / "spool"));
      ::_exit(!refused && refused.error().code == errc::io ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WEXITSTATUS(status) == 0);
    return;
  }
  fs::permissions(dir.path(), fs::perms::owner_read | fs::perms::owner_exec);
  const auto refused = w.try_open(small_config(dir.path() / "spool"));
  fs::permissions(dir.path(), fs::perms::owner_all);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::io);
}

TEST_CASE("the directory is private") {
  temporary_directory dir;
  world w;
  fs::create_directory(dir.path() / "spool");
  fs::permissions(dir.path() / "spool", fs::perms::all);
  const auto s = w.open(small_config(dir.path() / "spool"));
  CHECK(fs::status(dir.path() / "spool").permissions() == fs::perms::owner_all);
  CHECK(fs::status(dir.path() / "spool" / "segments").permissions() == fs::perms::owner_all);
}

TEST_CASE("a full disk: large commits are refused, small ones, release and deletion go on") {
  temporary_directory dir;
  if (::geteuid() != 0 || ::mount("none", dir.path().c_str(), "tmpfs", 0, "size=8m") != 0) {
    WARN("skipped: a small file system of its own needs root");
    return;
  }
  struct unmount {
    const fs::path& path;
    ~unmount() { ::umount2(path.c_str(), MNT_DETACH); }
  } const at_end{dir.path()};
  world w;
  auto config = small_config(dir.path() / "spool");
  config.reserve_bytes = 1 << 20;
  std::map<sequence, std::string> expected;
  stream_key key;
  {
    const auto s = w.open(config);
    key = {test_edge, s->epoch(), stream_id::telemetry};
    for (;;) {
      const auto made = s->commit(stream_id::telemetry, event_records(w.random, 2, 100'000), {});
      if (!made) {
        CHECK(made.error().code == errc::exhausted);
        break;
      }
      expect_run(expected, made.value());
      REQUIRE(expected.size() < 200);
    }
    CHECK(expected.size() > 40);
    CHECK(w.metric("skerry_spool_reserve_held") == 0);
    CHECK(w.metric("skerry_spool_exhausted_total") >= 1);
    CHECK(read_all(*s, key) == expected);
    for (int i = 0; i < 5; ++i) {
      const auto small = s->commit(stream_id::telemetry, event_records(w.random, 1, 500), {});
      REQUIRE(small);
      expect_run(expected, small.value());
    }
    CHECK(s->commit(stream_id::telemetry, event_records(w.random, 2, 100'000), {}).error().code
          == errc::exhausted);
  }
  const auto s = w.open(config); // and it starts on a full disk
  CHECK(s->report().damaged.empty());
  CHECK(read_all(*s, key) == expected);
  REQUIRE(s->commit(stream_id::alert, event_records(w.random, 1, 500), {}));
  REQUIRE(s->release(key, ranges({{1, 40}})));
  CHECK(w.metric("skerry_spool_reserve_held") == 1);
  REQUIRE(s->commit(stream_id::telemetry, event_records(w.random, 2, 100'000), {}));
  REQUIRE(s->close());
}

TEST_CASE("a disk with no byte left when the spool opens") {
  temporary_directory dir;
  if (::geteuid() != 0 || ::mount("none", dir.path().c_str(), "tmpfs", 0, "size=4m") != 0) {
    WARN("skipped: a small file system of its own needs root");
    return;
  }
  struct unmount {
    const fs::path& path;
    ~unmount() { ::umount2(path.c_str(), MNT_DETACH); }
  } const at_end{dir.path()};
  world w;
  auto config = small_config(dir.path() / "spool");
  config.reserve_bytes = 256 << 10;
  stream_key key;
  {
    const auto s = w.open(config);
    key = {test_edge, s->epoch(), stream_id::telemetry};
    for (int i = 0; i < 20; ++i)
      REQUIRE(s->commit(stream_id::telemetry, event_records(w.random, 1, 100'000), {}));
  }
  {
    std::ofstream filler{dir.path() / "filler", std::ios::binary};
    const std::string block(4096, 'f');
    while (filler.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }
  {
    const auto s = w.open(config);
    CHECK(read_all(*s, key).size() == 20);
    REQUIRE(s->release(key, ranges({{1, 20}})));
    CHECK(s->usage().segments == 0);
    REQUIRE(s->commit(stream_id::telemetry, event_records(w.random, 1, 1000), {}));
  }
  fs::remove_all(dir.path() / "spool");
  {
    std::ofstream filler{dir.path() / "filler2", std::ios::binary};
    const std::string block(4096, 'f');
    while (filler.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }
  const auto refused = w.try_open(config); // nothing at all can be made here
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::exhausted);
}
