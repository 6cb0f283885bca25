#include "actors/link/token.hpp"
#include "tests/actors/link/support.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::link;
using namespace skerry::link::test;

namespace {

constexpr std::int64_t expiry = 2'000'000'000;

join_token sample() {
  return {{"tcp://cloud.example:7481", "tcp://[2001:db8::1]:7481"},
          make_keypair().public_key,
          make_keypair(),
          expiry,
          "Nordsjø 4"};
}

} // namespace

TEST_CASE("a token reads back as it was made") {
  const auto made = sample();
  const auto text = encode_token(made);
  CHECK(text.starts_with("skerry-join-1."));
  CHECK(std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 127; }));
  const auto read = decode_token("  " + text + "\r\n", expiry - 1);
  REQUIRE(read);
  const auto& token = read.value();
  CHECK(token.addresses == made.addresses);
  CHECK(token.server_key == made.server_key);
  CHECK(token.one_time.public_key == made.one_time.public_key);
  CHECK(token.one_time.secret_key == made.one_time.secret_key);
  CHECK(token.expiry_s == expiry);
  CHECK(token.site == made.site);
}

TEST_CASE("golden token of version 1") {
  const std::string golden =
      "skerry-join-1.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8Ho3y8FCCTyLdV3BsQ6Gy0JjdK0WqoU-"
      "0L38CyuG0cfAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gAJQ1dwAAAAAHaGFyYm91cgEYdGNwOi8vY2xvdWQuZXhhbXBs"
      "ZTo3NDgxWc6E32co9ng";
  const auto read = decode_token(golden, 0);
  REQUIRE(read);
  CHECK(read.value().addresses == std::vector<std::string>{"tcp://cloud.example:7481"});
  CHECK(read.value().site == "harbour");
  CHECK(read.value().expiry_s == expiry);
  CHECK(encode_token(read.value()) == golden);
}

TEST_CASE("what is no token, or no longer one, is said in plain words") {
  const auto text = encode_token(sample());
  const auto code = [](const std::string& token, std::int64_t now = 0) {
    const auto read = decode_token(token, now);
    REQUIRE(!read);
    CHECK(read.error().message.find("token") != std::string::npos);
    return read.error().code;
  };
  CHECK(code(text, expiry) == errc::timeout);
  CHECK(code("") == errc::malformed);
  CHECK(code("hello") == errc::malformed);
  CHECK(code("skerry-join-") == errc::malformed);
  CHECK(code("skerry-join-1.") == errc::malformed);
  CHECK(code("skerry-join-x." + text.substr(14)) == errc::malformed);
  CHECK(code("skerry-join-2." + text.substr(14)) == errc::unsupported_version);
  CHECK(code(text + "!") == errc::malformed);
  CHECK(code(text.substr(0, text.size() - 3)) == errc::malformed);
  CHECK(code(std::string(token_text_max + 1, 'a')) == errc::malformed);
  auto elsewhere = sample();
  elsewhere.addresses = {"not an address"};
  CHECK(code(encode_token(elsewhere)) == errc::malformed);
  elsewhere.addresses = {};
  CHECK(code(encode_token(elsewhere)) == errc::malformed);
  elsewhere = sample();
  elsewhere.one_time.public_key.bytes[3] ^= 1;
  CHECK(code(encode_token(elsewhere)) == errc::malformed);
  elsewhere = sample();
  elsewhere.site = "two\nlines";
  CHECK(code(encode_token(elsewhere)) == errc::malformed);
}

TEST_CASE("an altered token is never taken") {
  INFO("SKERRY_SEED=" << seed());
  random_engine random{seed()};
  const auto text = encode_token(sample());
  const auto secret = to_hex(sample().one_time.secret_key);
  for (int i = 0; i < 2000; ++i) {
    auto altered = text;
    auto& c = altered[14 + random() % (altered.size() - 14)];
    const auto before = c;
    c = static_cast<char>(33 + random() % 94);
    const auto read = decode_token(altered, 0);
    REQUIRE((c == before || !read));
  }
  for (std::size_t n = 0; n < text.size(); ++n)
    REQUIRE(!decode_token(text.substr(0, n), 0));
}
