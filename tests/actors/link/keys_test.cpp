#include "actors/link/keys.hpp"
#include "tests/actors/link/temporary_directory.hpp"

#include <catch2/catch.hpp>

#include <fstream>
#include <sys/stat.h>
#include <thread>

using namespace skerry;
using namespace skerry::link;
using namespace skerry::link::test;

namespace {

bool same(const curve_keypair& a, const curve_keypair& b) {
  return a.public_key == b.public_key && a.secret_key == b.secret_key;
}

std::string content(const std::filesystem::path& file) {
  std::ifstream in{file};
  return {std::istreambuf_iterator<char>{in}, {}};
}

void write(const std::filesystem::path& file, const std::string& text) {
  std::ofstream{file} << text;
  ::chmod(file.c_str(), 0600);
}

} // namespace

TEST_CASE("a key file is made once, private, and loaded as it was") {
  const temporary_directory dir;
  const auto file = dir.path() / "node.key";
  const auto made = load_or_create_keypair(file);
  REQUIRE(made);
  CHECK(belong_together(made.value()));
  struct stat status {};
  REQUIRE(::stat(file.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
  const auto again = load_or_create_keypair(file);
  REQUIRE(again);
  CHECK(same(made.value(), again.value()));
  const auto text = content(file);
  CHECK(text.starts_with("skerry-key 1\npublic " + to_hex(made.value().public_key) + "\nsecret "));
  // Nothing is left beside it.
  CHECK(std::distance(std::filesystem::directory_iterator{dir.path()}, {}) == 1);

  const auto other = make_keypair();
  REQUIRE(save_keypair(file, other));
  CHECK(same(load_keypair(file).value(), other));
  REQUIRE(::stat(file.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
}

TEST_CASE("a key file that others may read is refused, with the command that helps") {
  const temporary_directory dir;
  const auto file = dir.path() / "node.key";
  REQUIRE(load_or_create_keypair(file));
  for (const mode_t mode : {0640, 0604, 0660, 0644, 0611}) {
    ::chmod(file.c_str(), mode);
    const auto loaded = load_or_create_keypair(file);
    REQUIRE(!loaded);
    CHECK(loaded.error().code == errc::forbidden);
    CHECK(loaded.error().message.find("chmod 600 " + file.string()) != std::string::npos);
  }
  ::chmod(file.c_str(), 0400);
  CHECK(load_keypair(file));
}

TEST_CASE("a damaged key file says so and is left alone") {
  const temporary_directory dir;
  const auto file = dir.path() / "node.key";
  REQUIRE(load_or_create_keypair(file));
  const auto good = content(file);
  const auto code = [&](const std::string& text) {
    write(file, text);
    const auto loaded = load_or_create_keypair(file);
    REQUIRE(!loaded);
    CHECK(content(file) == text);
    CHECK(loaded.error().message.find(good.substr(good.find("secret ") + 7, 64)) == std::string::npos);
    return loaded.error().code;
  };
  CHECK(code("") == errc::malformed);
  CHECK(code("nonsense") == errc::malformed);
  CHECK(code(good.substr(0, good.size() - 10)) == errc::malformed);
  CHECK(code("skerry-key 2\n") == errc::unsupported_version);
  auto flipped = good;
  auto& digit = flipped[flipped.find("secret ") + 20];
  digit = digit == '0' ? '1' : '0';
  CHECK(code(flipped) == errc::corrupt);
  CHECK(load_keypair(dir.path() / "absent").error().code == errc::not_found);
  CHECK(load_keypair(dir.path()).error().code == errc::malformed);
  CHECK(load_or_create_keypair(dir.path() / "no" / "such").error().code == errc::io);
}

TEST_CASE("of several who make a key at once, all get the same") {
  const temporary_directory dir;
  const auto file = dir.path() / "node.key";
  std::vector<curve_keypair> got(8);
  std::vector<std::thread> threads;
  for (auto& keys : got)
    threads.emplace_back([&] {
      if (auto loaded = load_or_create_keypair(file); loaded)
        keys = loaded.value();
    });
  for (auto& thread : threads)
    thread.join();
  for (const auto& keys : got)
    CHECK(same(keys, load_keypair(file).value()));
  CHECK(std::distance(std::filesystem::directory_iterator{dir.path()}, {}) == 1);
}

// Version 1, as it was written first. It never changes.
TEST_CASE("golden bytes of a key file") {
  const std::string golden = "skerry-key 1\n"
                             "public 8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f\n"
                             "secret 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
  const temporary_directory dir;
  const auto file = dir.path() / "node.key";
  write(file, golden);
  const auto loaded = load_keypair(file);
  REQUIRE(loaded);
  CHECK(to_hex(loaded.value().public_key) == golden.substr(20, 64));
  CHECK(to_hex(loaded.value().secret_key) == golden.substr(92, 64));
  const auto again = dir.path() / "again.key";
  REQUIRE(save_keypair(again, loaded.value()));
  CHECK(content(again) == golden);
}
