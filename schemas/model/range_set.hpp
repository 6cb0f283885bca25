#pragma once

// A set of sequences as ascending, disjoint, non-adjacent closed ranges. Plain value; not thread-safe.

#include "schemas/bytes.hpp"
#include "schemas/model/identity.hpp"

#include <vector>

namespace skerry {

struct sequence_range {
  sequence first = 0;
  sequence last = 0; // inclusive; first <= last

  bool operator==(const sequence_range&) const = default;
};

class range_set {
public:
  range_set() = default;

  void add(sequence_range range);
  void add(const range_set& other);
  void remove(sequence_range range);
  void remove(const range_set& other);
  [[nodiscard]] bool contains(sequence seq) const noexcept;
  [[nodiscard]] bool contains(sequence_range range) const noexcept; // all of it
  [[nodiscard]] range_set missing_in(sequence_range within) const;  // `within` minus this
  [[nodiscard]] range_set common_with(sequence_range within) const;
  [[nodiscard]] sequence next(sequence from) const noexcept; // the first held one at or after `from`; 0: none
  // The end of the range that starts at 1; 0 where 1 is not held.
  [[nodiscard]] sequence contiguous_through() const noexcept;
  [[nodiscard]] sequence highest() const noexcept;    // 0 when empty
  [[nodiscard]] std::uint64_t count() const noexcept; // of sequences
  [[nodiscard]] bool empty() const noexcept { return ranges_.empty(); }
  [[nodiscard]] const std::vector<sequence_range>& ranges() const noexcept { return ranges_; }

  bool operator==(const range_set&) const = default;

private:
  std::vector<sequence_range> ranges_;
};

inline constexpr std::size_t ranges_encoded_max = 1 << 16;
void encode_ranges(const range_set& from, byte_buffer& out); // count, then deltas, all varints
[[nodiscard]] result<range_set> decode_ranges(bytes_view from);
[[nodiscard]] result<range_set> decode_ranges(byte_reader& from); // what follows is left in it

} // namespace skerry
