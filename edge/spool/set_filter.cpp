#include "edge/spool/set_filter.hpp"

#include <algorithm>
#include <bit>
#include <xxhash.h>

namespace skerry::edge {

namespace {

constexpr std::size_t bits_per_set = 16; // with 4 of them looked at, one name in 400 is looked for in vain
constexpr std::size_t words_max = (128 << 10) / 8;
constexpr int bits_looked_at = 4;

} // namespace

set_filter::set_filter(std::size_t sets, std::uint64_t seed)
    : words_(std::min(words_max, std::bit_ceil(sets * bits_per_set / 64 + 1))), seed_(seed) {}

template <class Each>
bool set_filter::each_bit(bytes_view key, Each&& each) const {
  const auto hash = XXH3_128bits_withSeed(key.data(), key.size(), seed_);
  for (int i = 0; i < bits_looked_at; ++i) {
    const auto bit = hash.low64 + static_cast<std::uint64_t>(i) * hash.high64;
    if (!each((bit >> 6) & (words_.size() - 1), std::uint64_t{1} << (bit & 63)))
      return false;
  }
  return true;
}

void set_filter::add(bytes_view key) {
  each_bit(key, [&](std::size_t word, std::uint64_t bit) {
    words_[word] |= bit;
    return true;
  });
}

bool set_filter::may_have(bytes_view key) const {
  return each_bit(key, [&](std::size_t word, std::uint64_t bit) { return (words_[word] & bit) != 0; });
}

} // namespace skerry::edge
