#include "edge/identity.hpp"
#include "tests/actors/base/temporary_folder.hpp"

#include <catch2/catch.hpp>

#include <fstream>
#include <iterator>
#include <sys/stat.h>

using namespace skerry;
using namespace skerry::edge;
using skerry::test::temporary_folder;

namespace {

// Version 1, as it is written. It never changes.
constexpr std::string_view golden = R"({
  "addresses": [
    "tcp://cloud.example.org:7481",
    "tcp://[2001:db8::1]:7481"
  ],
  "check": "a2eee13459c36c895acfaeb0f2fada97",
  "edge": "00c0ffee00c0ffee",
  "format": 1,
  "server_key": "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
  "site": "Norra Kvarken"
}
)";

edge_identity made() {
  edge_identity out;
  out.edge = edge_id{0x00c0ffee00c0ffee};
  out.site = "Norra Kvarken";
  for (std::size_t i = 0; i < out.server_key.bytes.size(); ++i)
    out.server_key.bytes[i] = static_cast<std::uint8_t>(i);
  out.addresses = {"tcp://cloud.example.org:7481", "tcp://[2001:db8::1]:7481"};
  return out;
}

bool same(const edge_identity& a, const edge_identity& b) {
  return a.edge == b.edge && a.site == b.site && a.server_key == b.server_key && a.addresses == b.addresses;
}

void put(const std::filesystem::path& folder, std::string_view text) {
  std::ofstream{folder / "identity.json", std::ios::binary} << text;
}

std::string with(std::string text, std::string_view from, std::string_view to) {
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

} // namespace

TEST_CASE("golden bytes of an identity are read, and those without a check that were written first") {
  const temporary_folder folder;
  const auto first = with(std::string{golden}, "  \"check\": \"a2eee13459c36c895acfaeb0f2fada97\",\n", "");
  for (const auto& text : {std::string{golden}, first}) {
    put(folder.path(), text);
    const auto loaded = load_identity(folder.path());
    REQUIRE(loaded);
    CHECK(same(loaded.value(), made()));
  }
}

TEST_CASE("a flipped bit in an identity is harmless or refused") {
  const temporary_folder folder;
  std::size_t harmless = 0;
  for (std::size_t bit = 0; bit < golden.size() * 8; ++bit) {
    std::string damaged{golden};
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    put(folder.path(), damaged);
    const auto loaded = load_identity(folder.path());
    INFO(damaged);
    if (loaded) {
      ++harmless;
      CHECK(same(loaded.value(), made()));
      continue;
    }
    const auto& message = loaded.error().message;
    CHECK(message.find((folder.path() / "identity.json").string()) != std::string::npos);
    CHECK((message.find("restore it") != std::string::npos || message.find("upgrade") != std::string::npos));
  }
  CHECK(harmless < golden.size());
}

TEST_CASE("golden bytes of an identity are written, for its owner alone") {
  const temporary_folder folder;
  REQUIRE(save_identity(folder.path(), made()));
  std::ifstream in{folder.path() / "identity.json", std::ios::binary};
  CHECK(std::string{std::istreambuf_iterator<char>{in}, {}} == golden);
  struct stat there {};
  REQUIRE(::stat((folder.path() / "identity.json").c_str(), &there) == 0);
  CHECK((there.st_mode & 0777) == 0600);
}

TEST_CASE("the token that an edge joined with is kept by its public half") {
  const temporary_folder folder;
  auto identity = made();
  identity.joined_with = identity.server_key;
  REQUIRE(save_identity(folder.path(), identity));
  CHECK(load_identity(folder.path()).value().joined_with == identity.joined_with);
  put(folder.path(), golden);
  CHECK_FALSE(load_identity(folder.path()).value().joined_with.has_value());
}

TEST_CASE("a damaged identity is put aside when a new one is saved") {
  const temporary_folder folder;
  put(folder.path(), "{");
  REQUIRE(save_identity(folder.path(), made()));
  CHECK(load_identity(folder.path()));
  std::ifstream in{folder.path() / "identity.json.damaged", std::ios::binary};
  CHECK(std::string{std::istreambuf_iterator<char>{in}, {}} == "{");
}

TEST_CASE("an identity of a newer build, a damaged one and none are told apart") {
  const temporary_folder folder;
  CHECK(load_identity(folder.path()).error().code == errc::not_found);
  put(folder.path(), with(std::string{golden}, "\"format\": 1", "\"format\": 2"));
  CHECK(load_identity(folder.path()).error().code == errc::unsupported_version);
  for (const auto& damage :
       {std::pair{"{\n", "\n"}, std::pair{"\"edge\"", "\"Edge\""}, std::pair{"00c0ffee", "00x0ffee"},
        std::pair{"\"server_key\": \"00", "\"server_key\": \""}, std::pair{"\"addresses\"", "\"address\""},
        std::pair{"\"format\": 1", "\"format\": \"1\""}}) {
    INFO(damage.first << " -> " << damage.second);
    put(folder.path(), with(std::string{golden}, damage.first, damage.second));
    const auto loaded = load_identity(folder.path());
    REQUIRE_FALSE(loaded);
    CHECK(loaded.error().code == errc::malformed);
  }
  put(folder.path(), with(std::string{golden}, "  \"check\"",
                          "  \"later\": {\"a\": 1},\n  \"was\"")); // other keys are ignored
  CHECK(load_identity(folder.path()));
  put(folder.path(), with(std::string{golden}, "cloud.example", "other.example"));
  const auto changed = load_identity(folder.path());
  REQUIRE_FALSE(changed);
  CHECK(changed.error().message.find("delete the line \"check\"") != std::string::npos);
}
