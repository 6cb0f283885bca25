#pragma once

// What the tests of formats share: golden bytes as text, seeds, and damage.

#include "schemas/bytes.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <random>
#include <string>

namespace skerry::test {

inline std::string hex(bytes_view bytes) {
  std::string out;
  for (const auto b : bytes)
    out += fmt::format("{:02x}", static_cast<unsigned>(b));
  return out;
}

inline byte_buffer unhex(std::string_view text) {
  byte_buffer out;
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    out.push_back(static_cast<std::byte>(digit(text[i]) << 4 | digit(text[i + 1])));
  return out;
}

// The seed of a random test: from SKERRY_SEED where set, so that a failing run can be repeated. Write
// INFO("SKERRY_SEED=" << seed) beside its use.
inline std::uint64_t pick_seed() {
  if (const char* given = std::getenv("SKERRY_SEED"))
    return std::strtoull(given, nullptr, 10);
  return std::random_device{}();
}

// Calls `read` with every truncation and every single-bit flip of `good`, on memory of exactly that size so
// that AddressSanitizer sees a read past the end.
template <class Read>
void each_damage(bytes_view good, Read&& read) {
  for (std::size_t n = 0; n < good.size(); ++n)
    read(byte_buffer(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n)));
  for (std::size_t i = 0; i < good.size() * 8; ++i) {
    byte_buffer bytes(good.begin(), good.end());
    bytes[i / 8] ^= static_cast<std::byte>(1 << (i % 8));
    read(bytes);
  }
}

} // namespace skerry::test
