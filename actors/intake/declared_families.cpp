#include "actors/intake/declared_families.hpp"

#include <algorithm>
#include <xxhash.h>

namespace skerry::intake {

namespace {

std::uint64_t hash_content(const metric_family& family) {
  auto h = hash_seed() + static_cast<std::uint64_t>(family.type);
  for (const auto* text : {&family.help, &family.unit, &family.name})
    h = XXH3_64bits_withSeed(text->data(), text->size(), h);
  return h;
}

} // namespace

void declared_families::keep(std::span<const metric_family> fresh) {
  const auto before = static_cast<std::ptrdiff_t>(known_.size());
  for (const auto& family : fresh) {
    const auto name = hash_name(family.name);
    const auto end = known_.begin() + before;
    const auto at = std::lower_bound(known_.begin(), end, std::pair{name, std::uint64_t{0}});
    if (at == end || at->first != name)
      known_.emplace_back(name, hash_content(family));
  }
  std::sort(known_.begin() + before, known_.end());
  std::inplace_merge(known_.begin(), known_.begin() + before, known_.end());
}

void declared_families::declare(const metric_family& family) {
  const auto name = hash_name(family.name);
  const auto at = std::lower_bound(known_.begin(), known_.end(), std::pair{name, std::uint64_t{0}});
  if (at == known_.end() || at->first != name)
    return; // no set describes it
  const auto content = hash_content(family);
  if (at->second == content || text_bytes(family) > set_text_bytes_max)
    return;
  at->second = content;
  changed_.insert_or_assign(name, family);
  changed_bits_ |= family_bit(name);
}

const metric_family* declared_families::changed(const metric_family& as_it_is) const {
  const auto at = changed_.find(hash_name(as_it_is.name));
  return at == changed_.end() ? nullptr : &at->second;
}

void declared_families::settle() {
  decltype(changed_){}.swap(changed_);
  changed_bits_ = 0;
}

void declared_families::clear() {
  known_.clear();
  settle();
}

} // namespace skerry::intake
