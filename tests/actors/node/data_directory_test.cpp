#include "actors/node/data_directory.hpp"
#include "actors/node/log.hpp"
#include "tests/actors/base/temporary_folder.hpp"

#include <catch2/catch.hpp>

#include <fstream>
#include <sys/stat.h>
#include <sys/wait.h>

using namespace skerry;
using skerry::test::temporary_folder;

namespace {

unsigned mode_of(const std::filesystem::path& path) {
  struct stat there {};
  REQUIRE(::stat(path.c_str(), &there) == 0);
  return there.st_mode & 0777;
}

std::string content(const std::filesystem::path& path) { return read_file(path, 1 << 20).value(); }

void put(const std::filesystem::path& path, std::string_view text) {
  std::ofstream{path, std::ios::binary} << text;
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

} // namespace

TEST_CASE("a data directory is made private, and opened again", "[data directory]") {
  const temporary_folder temporary;
  const auto folder = temporary.path() / "a" / "b";
  {
    const auto opened = data_directory::open(folder, node_kind::edge);
    REQUIRE(opened);
    CHECK(opened.value().path() == folder);
    CHECK(opened.value().version() == data_format_version);
    CHECK(mode_of(folder) == 0700);
    CHECK(content(folder / "LOCK") == std::to_string(::getpid()) + "\n");
  }
  ::chmod(folder.c_str(), 0755);
  put(folder / "other", "x");
  CHECK(data_directory::open(folder, node_kind::edge));
  CHECK(mode_of(folder) == 0700);
}

TEST_CASE("a second opening is refused and names the holder", "[data directory]") {
  const temporary_folder temporary;
  auto first = data_directory::open(temporary.path(), node_kind::cloud);
  REQUIRE(first);
  const auto second = data_directory::open(temporary.path(), node_kind::cloud);
  REQUIRE(!second);
  CHECK(second.error().code == errc::conflict);
  CHECK(contains(second.error().message, temporary.path().string()));
  CHECK(contains(second.error().message, "process " + std::to_string(::getpid()) + " ("));
  CHECK(contains(second.error().message, "--data"));
  auto moved = std::move(first).value();
  CHECK(!data_directory::open(temporary.path(), node_kind::cloud));
  { const auto gone = std::move(moved); }
  CHECK(data_directory::open(temporary.path(), node_kind::cloud));
}

TEST_CASE("another process is refused too, and a killed one leaves no lock", "[data directory]") {
  const temporary_folder temporary;
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const auto child = ::fork();
  if (child == 0) {
    const auto held = data_directory::open(temporary.path(), node_kind::edge);
    (void)!::write(ready[1], "x", held ? 1 : 0);
    ::close(ready[1]);
    for (;;)
      ::pause();
  }
  ::close(ready[1]);
  char byte;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  ::close(ready[0]);
  const auto refused = data_directory::open(temporary.path(), node_kind::edge);
  REQUIRE(!refused);
  CHECK(contains(refused.error().message, "process " + std::to_string(child)));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  CHECK(data_directory::open(temporary.path(), node_kind::edge));
}

TEST_CASE("the wrong kind, a newer format and other people's folders are refused", "[data directory]") {
  const temporary_folder temporary;
  const auto folder = temporary.path() / "data";
  REQUIRE(data_directory::open(folder, node_kind::edge, 3));
  const auto kind = data_directory::open(folder, node_kind::cloud, 3);
  REQUIRE(!kind);
  CHECK(kind.error().code == errc::invalid_argument);
  CHECK(contains(kind.error().message, "skerry-edge, not of skerry-cloud"));
  const auto newer = data_directory::open(folder, node_kind::edge, 2);
  REQUIRE(!newer);
  CHECK(newer.error().code == errc::unsupported_version);
  CHECK(contains(newer.error().message, "format 3"));
  CHECK(contains(newer.error().message, "up to 2"));
  CHECK(data_directory::open(folder, node_kind::edge, 4).value().version() == 3);

  const auto home = temporary.path() / "home";
  std::filesystem::create_directory(home);
  ::chmod(home.c_str(), 0755);
  put(home / "letter", "dear");
  const auto others = data_directory::open(home, node_kind::edge);
  REQUIRE(!others);
  CHECK(others.error().code == errc::invalid_argument);
  CHECK(mode_of(home) == 0755);
  CHECK(!std::filesystem::exists(home / "LOCK"));

  put(temporary.path() / "file", "");
  CHECK(data_directory::open(temporary.path() / "file", node_kind::edge).error().code
        == errc::invalid_argument);
  CHECK(!data_directory::open(temporary.path() / "file" / "below", node_kind::edge));
  CHECK(data_directory::open("/proc/skerry", node_kind::edge).error().code == errc::io);
}

TEST_CASE("any one flipped bit in FORMAT is repaired", "[data directory]") {
  const temporary_folder temporary;
  REQUIRE(data_directory::open(temporary.path(), node_kind::edge));
  const auto good = content(temporary.path() / "FORMAT");
  REQUIRE(set_log_level("off")); // a warning for each
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    auto bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    put(temporary.path() / "FORMAT", bad);
    REQUIRE(data_directory::open(temporary.path(), node_kind::edge));
    REQUIRE(content(temporary.path() / "FORMAT") == good);
  }
  for (const auto* damage : {"", "x", "skerry-data 1 edge \n", "skerry-data\n"}) {
    put(temporary.path() / "FORMAT", damage);
    CHECK(data_directory::open(temporary.path(), node_kind::edge).error().code == errc::corrupt);
  }
  REQUIRE(set_log_level("info"));
}

TEST_CASE("files are written whole or not at all", "[files]") {
  const temporary_folder temporary;
  const auto file = temporary.path() / "state";
  REQUIRE(write_file_durably(file, "one"));
  CHECK(content(file) == "one");
  CHECK(mode_of(file) == 0600);
  put(temporary.path() / "state.tmp", "left by a crash");
  ::chmod((temporary.path() / "state.tmp").c_str(), 0666);
  const std::string binary{"two\0three", 9};
  REQUIRE(write_file_durably(file, binary, 0640));
  CHECK(content(file) == binary);
  CHECK(mode_of(file) == 0640);
  CHECK(!std::filesystem::exists(temporary.path() / "state.tmp"));
  const auto nowhere = write_file_durably(temporary.path() / "missing" / "x", "x");
  REQUIRE(!nowhere);
  CHECK(nowhere.error().code == errc::io);
  std::filesystem::create_directory(temporary.path() / "taken"); // can't be replaced by a file
  CHECK(!write_file_durably(temporary.path() / "taken", "x"));
  CHECK(!std::filesystem::exists(temporary.path() / "taken.tmp"));
  CHECK(system_error(ENOSPC, "write", "f").code == errc::exhausted);
}

TEST_CASE("reading is bounded", "[files]") {
  const temporary_folder temporary;
  const auto file = temporary.path() / "f";
  put(file, std::string(1000, 'x'));
  CHECK(read_file(file, 1000).value().size() == 1000);
  CHECK(read_file(file, 999).error().code == errc::exhausted);
  CHECK(read_file("/dev/zero", 100).error().code == errc::exhausted);
  CHECK(read_file(temporary.path() / "none", 1).error().code == errc::not_found);
  CHECK(read_file(temporary.path(), 1).error().code == errc::io);
}

// Version 1, as it was written first. It never changes.
TEST_CASE("golden bytes of a data directory's FORMAT", "[data directory]") {
  CHECK(data_format_version == 1);
  const std::pair<node_kind, std::string> golden[] = {
      {node_kind::edge, "skerry-data 1 edge 23933b24b223fe14c2f2c5d8cbced01b\n"},
      {node_kind::cloud, "skerry-data 1 cloud 0354b3a8eb63b825b0e2d3757c75f2ef\n"},
  };
  for (const auto& [kind, line] : golden) {
    INFO(line);
    const temporary_folder temporary;
    const auto made = temporary.path() / "made";
    REQUIRE(data_directory::open(made, kind));
    CHECK(content(made / "FORMAT") == line + line);

    // A later build reads it, and leaves it as it is.
    const auto found = temporary.path() / "found";
    std::filesystem::create_directory(found);
    put(found / "FORMAT", line + line);
    const auto opened = data_directory::open(found, kind, 2);
    REQUIRE(opened);
    CHECK(opened.value().version() == 1);
    CHECK(content(found / "FORMAT") == line + line);
  }
}
