#pragma once

// Which series sets a segment may have, so that one that it does not have is not looked for in its file: a Bloom filter
// (Bloom, "Space/time trade-offs in hash coding with allowable errors", 1970) over the keys that they are stored under,
// 16 bits a set, 128 KiB at most. It never says no of a set that was added. Plain value.

#include "schemas/bytes.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace skerry::edge {

class set_filter {
public:
  set_filter(std::uint64_t sets, std::uint64_t seed); // how many will be added; a seed that peers don't know
  [[nodiscard]] static set_filter of_anything();      // where nobody knows
  void add(bytes_view key);
  [[nodiscard]] bool may_have(bytes_view key) const;

private:
  template <class Each>
  bool each_bit(bytes_view key, Each&& each) const;

  std::vector<std::uint64_t> words_; // a power of two of them
  std::uint64_t seed_;
};

} // namespace skerry::edge
