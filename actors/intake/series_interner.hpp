#pragma once

// Gives each series a small number by which its maker names it from then on. A series is known by 128 bits of a hash of
// its labels; labels are kept for nobody. The seed differs from process to process: whoever chooses labels cannot choose
// their hashes.
//
// References are given from 0 on, without gaps. The owner bounds how many there are. One thread at a time.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::intake {

using series_ref = std::uint32_t;
inline constexpr series_ref no_series = 0x00ff'ffff; // every reference is below

struct series_key {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  bool operator==(const series_key&) const = default;
};

// Of this process; for tables in memory, never stored.
[[nodiscard]] std::uint64_t hash_seed();
[[nodiscard]] std::uint64_t hash_name(std::string_view name);
[[nodiscard]] series_key hash_key(std::string_view text);

// The key of labels ({name, value}) in the order that they have. The same labels in another scope are another series.
template <class Labels>
[[nodiscard]] series_key key_of(const Labels& all, std::string_view scope = {}) {
  thread_local std::string text;
  text.assign(scope);
  const auto append = [](std::string_view part) {
    const auto size = static_cast<std::uint32_t>(part.size());
    text.append(reinterpret_cast<const char*>(&size), sizeof size);
    text.append(part);
  };
  for (const auto& [name, value] : all) {
    append(name);
    append(value);
  }
  return hash_key(text);
}

class series_interner {
public:
  // no_series: it is not known.
  [[nodiscard]] series_ref find(const series_key& key) const noexcept {
    return table_.empty() ? no_series : table_[slot_of(key)];
  }
  // Gives it the next reference. Precondition: it is not known.
  series_ref add(const series_key& key);
  // The last references change places: what was the order[i]-th of them becomes the i-th.
  void reorder_last(std::span<const series_ref> order);
  void clear(); // with its memory

  [[nodiscard]] std::size_t size() const noexcept { return keys_.size(); }
  void shrink_to_fit() { keys_.shrink_to_fit(); }
  [[nodiscard]] std::size_t memory_bytes() const noexcept {
    return keys_.capacity() * sizeof(series_key) + table_.capacity() * sizeof(series_ref);
  }

private:
  [[nodiscard]] std::size_t slot_of(const series_key& key) const noexcept { // its place, or the free one
    const auto mask = table_.size() - 1;
    auto slot = key.low & mask;
    while (table_[slot] != no_series && keys_[table_[slot]] != key)
      slot = (slot + 1) & mask;
    return slot;
  }
  void make_table();

  std::vector<series_key> keys_;
  std::vector<series_ref> table_; // open addressing over keys_, at most half full
};

} // namespace skerry::intake
