#include "edge/spool/set_filter.hpp"

#include <algorithm>
#include <bit>
#include <xxhash.h>

namespace skerry::edge {

namespace {

constexpr std::uint64_t sets_per_word = 4; // with 4 bits looked at, one name in 400 is looked for in vain
constexpr std::uint64_t sets_max = (128 << 10) / sizeof(std::uint64_t) * sets_per_word; // beyond, more are
constexpr int bits_looked_at = 4;

} // namespace

set_filter::set_filter(std::uint64_t sets, std::uint64_t seed)
    : words_(
        std::bit_ceil((std::clamp<std::uint64_t>(sets, 1, sets_max) + sets_per_word - 1) / sets_per_word)),
      seed_(seed) {}

set_filter set_filter::of_anything() {
  set_filter out{0, 0};
  std::fill(out.words_.begin(), out.words_.end(), ~std::uint64_t{0});
  return out;
}

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
