// Every bit of the registry's files and of a key file flipped: harmless, or refused with what, where and what to do.

#include "actors/link/keys.hpp"
#include "actors/link/registry.hpp"
#include "tests/actors/link/temporary_directory.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <fstream>
#include <iterator>

using namespace skerry;
using namespace skerry::link;
using skerry::link::test::temporary_directory;

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t now = 1'700'000'000;
constexpr std::size_t page = 4096;
constexpr std::size_t zero_stride = 61; // of bytes that hold nothing, every so many is tried

std::string slurp(const fs::path& file) {
  std::ifstream in{file, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

void spill(const fs::path& file, const std::string& content) {
  std::ofstream{file, std::ios::binary | std::ios::trunc} << content;
}

// Ids that start with a byte that is a version and a role too: where a flipped bit moves a row's beginning, it may well be
// read as one of another kind.
class low_ids final : public random_source {
public:
  void fill(std::span<std::uint8_t> out) noexcept override {
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = static_cast<std::uint8_t>(i == 0 ? 1 : i == 1 ? ++drawn_ : 0);
  }

private:
  std::uint8_t drawn_ = 0;
};

struct filled {
  std::vector<curve_key> keys;
  std::vector<edge_id> edges;
};

// Edges with their keys, one revoked, one that joined again, an origin, an open invite and a cancelled one.
filled fill(const fs::path& directory) {
  filled out;
  auto reg = registry::open(directory).value();
  low_ids random;
  const auto join = [&](const std::string& site, edge_id rejoins) {
    const auto made = reg->create_invite(site, 86'400, now, random, rejoins).value();
    const auto key = make_keypair().public_key;
    const auto edge = reg->complete_join(made.id, key, now, random).value().edge;
    CHECK(reg->admit(key, now).admitted); // seen: asking later changes nothing
    out.keys.push_back(key);
    out.edges.push_back(edge);
    return edge;
  };
  const auto first = join("harbour", edge_id::none);
  const auto second = join("island", edge_id::none);
  join("harbour", first);
  REQUIRE(reg->register_origin(first, edge_id{77}, now));
  out.edges.push_back(edge_id{77});
  REQUIRE(reg->revoke(second, now + 1));
  out.keys.push_back(reg->create_invite("open", 86'400, now, random).value().one_time.public_key);
  const auto cancelled = reg->create_invite("cancelled", 86'400, now, random).value();
  out.keys.push_back(cancelled.one_time.public_key);
  REQUIRE(reg->cancel_invite(cancelled.id, now));
  return out;
}

// Everything that a registry tells, and whom it lets in.
std::string told_by(registry& reg, const filled& from) {
  std::string out;
  const auto edges = reg.list_edges();
  const auto invites = reg.list_invites(now);
  if (!edges || !invites)
    return "failed";
  for (const auto& e : edges.value()) {
    out += fmt::format("edge {} {} {} {} {} {}\n", to_string(e.edge), e.site, e.created_s, e.joined_s,
                       e.revoked_s, to_string(e.parent));
    for (const auto& k : e.keys)
      out += fmt::format("  {} {} {}\n", to_hex(k.public_key), k.created_s, k.revoked_s);
  }
  for (const auto& i : invites.value())
    out += fmt::format("invite {} {} {} {} {} {} {}\n", to_string(i.id), i.site, to_string(i.rejoins),
                       i.created_s, i.expiry_s, to_string(i.now), to_string(i.joined));
  for (const auto& key : from.keys) {
    const auto said = reg.admit(key, now);
    out += fmt::format("admit {} {} {}\n", said.admitted, said.user_id, said.reason);
  }
  for (const auto user : from.edges)
    for (const auto origin : from.edges)
      out += reg.may_speak(user, origin) ? '1' : '0';
  return out;
}

} // namespace

TEST_CASE("a flipped bit in a registry is harmless or refused") {
  const temporary_directory dir;
  const auto at = dir.path() / "registry";
  const auto file = at / "data.mdb";
  const auto content = fill(at);
  const auto whole = slurp(file);
  REQUIRE(whole.size() > 4 * page);
  std::string want;
  {
    auto reg = registry::open(at);
    REQUIRE(reg);
    want = told_by(*reg.value(), content);
  }
  REQUIRE(want != "failed");
  std::size_t harmless = 0;
  std::size_t refused = 0;
  for (std::size_t byte = 0; byte < whole.size(); ++byte) {
    if (whole[byte] == 0 && byte % zero_stride != 0)
      continue;
    for (int bit = 0; bit < 8; ++bit) {
      auto damaged = whole;
      damaged[byte] = static_cast<char>(damaged[byte] ^ (1 << bit));
      spill(file, damaged);
      const auto opened = registry::open(at);
      if (opened) {
        ++harmless;
        if (told_by(*opened.value(), content) != want)
          FAIL("byte " << byte << " bit " << bit << " changes what the registry says, and nobody notices");
        continue;
      }
      ++refused;
      const auto& e = opened.error();
      if ((e.code != errc::corrupt && e.code != errc::unsupported_version)
          || e.message.find(file.string()) == std::string::npos
          || (e.message.find("restore the registry from a backup") == std::string::npos
              && e.message.find("run the newer version") == std::string::npos))
        FAIL("byte " << byte << " bit " << bit << ": " << e.message);
    }
  }
  CHECK(refused > 1000);
  CHECK(harmless > 100);
}

TEST_CASE("a flipped bit in a registry's lock file does not matter") {
  const temporary_directory dir;
  const auto at = dir.path() / "registry";
  const auto content = fill(at);
  std::string want;
  {
    auto reg = registry::open(at);
    REQUIRE(reg);
    want = told_by(*reg.value(), content);
  }
  const auto file = at / "lock.mdb";
  const auto whole = slurp(file);
  constexpr std::size_t header = 512; // beyond it are slots of readers
  for (std::size_t bit = 0; bit < std::min(whole.size(), header) * 8; bit += 3) {
    auto damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    spill(file, damaged);
    const auto opened = registry::open(at);
    INFO("bit " << bit);
    REQUIRE(opened);
    REQUIRE(told_by(*opened.value(), content) == want);
  }
}

TEST_CASE("a registry that was cut is refused, unless nothing was lost") {
  const temporary_directory dir;
  const auto at = dir.path() / "registry";
  const auto content = fill(at);
  std::string want;
  {
    auto reg = registry::open(at);
    REQUIRE(reg);
    want = told_by(*reg.value(), content);
  }
  const auto whole = slurp(at / "data.mdb");
  std::size_t refused = 0;
  for (std::size_t keep = 1; keep < whole.size(); keep += page / 2) {
    spill(at / "data.mdb", whole.substr(0, keep));
    const auto opened = registry::open(at);
    INFO(keep);
    if (opened) {
      CHECK(told_by(*opened.value(), content) == want);
      continue;
    }
    CHECK(opened.error().code == errc::corrupt);
    ++refused;
  }
  CHECK(refused > whole.size() / page);
}

TEST_CASE("a flipped bit in a key file is harmless or refused") {
  const temporary_directory dir;
  const auto file = dir.path() / "link.key";
  const auto made = make_keypair();
  REQUIRE(save_keypair(file, made));
  const auto whole = slurp(file);
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    auto damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    spill(file, damaged);
    const auto loaded = load_keypair(file);
    INFO("bit " << bit);
    if (loaded) {
      // The curve leaves a few bits of a secret key out: what is loaded still is the same key.
      CHECK(loaded.value().public_key == made.public_key);
      CHECK(belong_together(loaded.value()));
      continue;
    }
    const auto& message = loaded.error().message;
    CHECK(message.find(file.string()) != std::string::npos);
    CHECK((message.find("restore it") != std::string::npos
           || message.find("run the newer version") != std::string::npos));
  }
}
