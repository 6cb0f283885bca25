#pragma once

// Whether an example configuration shows what the code reads: the keys that the sources ask for, by their text (one that
// two sections have, twice), and the example with what it shows as a comment (`# key: value`) turned on.

#include "actors/http/server.hpp"

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <regex>
#include <set>
#include <stdexcept>
#include <string>

namespace skerry::test {

inline std::string text_of(const std::string& file) {
  std::ifstream in{file, std::ios::binary};
  if (!in)
    throw std::runtime_error{"cannot read " + file};
  return {std::istreambuf_iterator<char>{in}, {}};
}

// `s.read("key"`, `read_size(s, "key"`, `path("key"`, `root.section("key"`, …
inline std::multiset<std::string> keys_asked_for(std::initializer_list<std::string> sources) {
  static const std::regex asks{
      R"re(\b(?:read|read_size|read_count|read_milliseconds|path|section)\((?:\w+, )?"(\w+)")re"};
  std::multiset<std::string> keys;
  for (const auto& source : sources) {
    const auto text = text_of(source);
    for (std::sregex_iterator it{text.begin(), text.end(), asks}, end; it != end; ++it)
      keys.insert((*it)[1]);
  }
  return keys;
}

// Keys of an example, those in comments too.
inline std::multiset<std::string> keys_shown(const std::string& example) {
  static const std::regex shown{R"re((?:^|\n) *(?:# )?(\w+):(?= |\n))re"};
  std::multiset<std::string> keys;
  for (std::sregex_iterator it{example.begin(), example.end(), shown}, end; it != end; ++it)
    keys.insert((*it)[1]);
  return keys;
}

inline std::string with_comments_on(const std::string& example) {
  static const std::regex commented{R"re(\n( *)# (\w+: ))re"};
  return std::regex_replace(example, commented, "\n$1$2");
}

// The example with everything turned on, as a file in `folder`; the token that it names is there too, and says "secret".
inline std::filesystem::path turned_on(const std::string& example, const std::filesystem::path& folder) {
  auto text = with_comments_on(text_of(example));
  const auto token = (folder / "token").string();
  std::ofstream{token} << "secret\n";
  std::filesystem::permissions(token, std::filesystem::perms{0600});
  const std::string named = "/etc/skerry/token";
  REQUIRE(text.find(named) != std::string::npos);
  text.replace(text.find(named), named.size(), token);
  auto file = folder / "node.yaml";
  std::ofstream{file} << text;
  return file;
}

// What both kinds of node have.
inline void check_same(const http::server_config& is, const http::server_config& like) {
  CHECK(is.listen == like.listen);
  CHECK(is.bearer_token == like.bearer_token);
  CHECK(is.allow_remote_unauthenticated == like.allow_remote_unauthenticated);
  CHECK(is.hosts_allowed == like.hosts_allowed);
  CHECK(is.trusted_proxies == like.trusted_proxies);
  CHECK(is.threads == like.threads);
  CHECK(is.connections_max == like.connections_max);
  CHECK(is.request_timeout == like.request_timeout);
  CHECK(is.body_bytes_max == like.body_bytes_max);
  CHECK(is.bodies_bytes_max == like.bodies_bytes_max);
  CHECK(is.answers_bytes_max == like.answers_bytes_max);
  CHECK(is.streams_max == like.streams_max);
  CHECK(is.stream_bytes_max == like.stream_bytes_max);
}

// Every key that the sources ask for stands in the example; `at_least` so many, or how keys are read has changed.
inline void check_shows_every_key(const std::string& example, std::initializer_list<std::string> sources,
                                  std::size_t at_least) {
  const auto shown = keys_shown(text_of(example));
  const auto asked = keys_asked_for(sources);
  for (const auto& key : asked) {
    INFO(key);
    CHECK(shown.count(key) >= asked.count(key));
  }
  CHECK(asked.size() >= at_least);
}

} // namespace skerry::test
