#pragma once

// Whether an example configuration shows what the code reads: the keys that the sources ask for, by their text (one that
// two sections have, twice), and the example with what it shows as a comment (`# key: value`) turned on.

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

} // namespace skerry::test
