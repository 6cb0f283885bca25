#include "actors/intake/series_interner.hpp"

#include <algorithm>
#include <bit>
#include <sodium.h>
#include <xxhash.h>

namespace skerry::intake {

std::uint64_t hash_seed() {
  static const std::uint64_t seed = [] {
    std::uint64_t s;
    randombytes_buf(&s, sizeof s);
    return s;
  }();
  return seed;
}

std::uint64_t hash_name(std::string_view name) {
  return XXH3_64bits_withSeed(name.data(), name.size(), hash_seed());
}

series_key hash_key(std::string_view text) {
  const auto h = XXH3_128bits_withSeed(text.data(), text.size(), hash_seed());
  return {h.low64, h.high64};
}

series_ref series_interner::add(const series_key& key) {
  const auto ref = static_cast<series_ref>(keys_.size());
  keys_.push_back(key);
  if (keys_.size() * 2 > table_.size())
    make_table();
  else
    table_[slot_of(key)] = ref;
  return ref;
}

void series_interner::make_table() {
  table_.assign(std::max<std::size_t>(64, std::bit_ceil(keys_.size() * 2)), no_series);
  for (series_ref ref = 0; ref < keys_.size(); ++ref)
    table_[slot_of(keys_[ref])] = ref;
}

void series_interner::reorder_last(std::span<const series_ref> order) {
  const std::vector<series_key> before(keys_.end() - static_cast<std::ptrdiff_t>(order.size()), keys_.end());
  const auto first = keys_.size() - order.size();
  for (std::size_t i = 0; i < order.size(); ++i)
    keys_[first + i] = before[order[i]];
  make_table();
}

void series_interner::clear() { *this = {}; }

} // namespace skerry::intake
