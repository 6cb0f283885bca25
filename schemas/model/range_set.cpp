#include "schemas/model/range_set.hpp"

#include <algorithm>

namespace skerry {

namespace {

// The first range that ends at or after `seq`.
auto find_range(auto& ranges, sequence seq) {
  return std::lower_bound(ranges.begin(), ranges.end(), seq,
                          [](const sequence_range& r, sequence s) { return r.last < s; });
}

} // namespace

void range_set::add(sequence_range range) {
  // Adjacent ranges merge too, hence the one-off on both sides.
  auto from = find_range(ranges_, range.first == 0 ? 0 : range.first - 1);
  auto to = from;
  while (to != ranges_.end() && (range.last == UINT64_MAX || to->first <= range.last + 1)) {
    range.first = std::min(range.first, to->first);
    range.last = std::max(range.last, to->last);
    ++to;
  }
  if (from == to) {
    ranges_.insert(from, range);
    return;
  }
  *from = range;
  ranges_.erase(std::next(from), to);
}

void range_set::add(const range_set& other) {
  for (const auto& range : other.ranges_)
    add(range);
}

void range_set::remove(sequence_range range) {
  auto it = find_range(ranges_, range.first);
  while (it != ranges_.end() && it->first <= range.last) {
    const auto old = *it;
    it = ranges_.erase(it);
    if (old.first < range.first)
      it = std::next(ranges_.insert(it, {old.first, range.first - 1}));
    if (old.last > range.last) {
      ranges_.insert(it, {range.last + 1, old.last});
      return;
    }
  }
}

// In one pass: both may be long.
void range_set::remove(const range_set& other) {
  std::vector<sequence_range> left;
  auto cut = other.ranges_.begin();
  const auto end = other.ranges_.end();
  for (auto range : ranges_) {
    while (cut != end && cut->last < range.first)
      ++cut;
    bool rest = true;
    while (rest && cut != end && cut->first <= range.last) {
      if (cut->first > range.first)
        left.push_back({range.first, cut->first - 1});
      rest = cut->last < range.last;
      if (rest)
        range.first = (cut++)->last + 1;
    }
    if (rest)
      left.push_back(range);
  }
  ranges_ = std::move(left);
}

bool range_set::contains(sequence seq) const noexcept { return contains(sequence_range{seq, seq}); }

bool range_set::contains(sequence_range range) const noexcept {
  const auto it = find_range(ranges_, range.first);
  return it != ranges_.end() && it->first <= range.first && it->last >= range.last;
}

range_set range_set::missing_in(sequence_range within) const {
  range_set out;
  out.add(within);
  for (auto it = find_range(ranges_, within.first); it != ranges_.end() && it->first <= within.last; ++it)
    out.remove(*it);
  return out;
}

range_set range_set::common_with(sequence_range within) const {
  range_set out;
  for (auto it = find_range(ranges_, within.first); it != ranges_.end() && it->first <= within.last; ++it)
    out.ranges_.push_back({std::max(it->first, within.first), std::min(it->last, within.last)});
  return out;
}

sequence range_set::next(sequence from) const noexcept {
  const auto it = find_range(ranges_, from);
  return it == ranges_.end() ? 0 : std::max(it->first, from);
}

sequence range_set::contiguous_through() const noexcept {
  return !ranges_.empty() && ranges_.front().first <= 1 ? ranges_.front().last : 0;
}

sequence range_set::highest() const noexcept { return ranges_.empty() ? 0 : ranges_.back().last; }

std::uint64_t range_set::count() const noexcept {
  std::uint64_t n = 0;
  for (const auto& range : ranges_)
    n += range.last - range.first + 1;
  return n;
}

void encode_ranges(const range_set& from, byte_buffer& out) {
  byte_writer w{out};
  w.varint(from.ranges().size());
  sequence at = 0;
  for (const auto& range : from.ranges()) {
    w.varint(range.first - at);
    w.varint(range.last - range.first);
    at = range.last;
  }
}

result<range_set> decode_ranges(bytes_view from) {
  byte_reader r{from};
  auto out = decode_ranges(r);
  if (out && r.remaining() != 0)
    return fail(errc::malformed, "a range list is damaged");
  return out;
}

result<range_set> decode_ranges(byte_reader& r) {
  const auto count = r.varint();
  if (count > ranges_encoded_max)
    return fail(errc::malformed, "a range list names more ranges than allowed");
  range_set out;
  sequence at = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto gap = r.varint();
    const auto length = r.varint();
    // A gap of one would be adjacent: never written, except before the very first range.
    if (r.failed() || (i > 0 && gap < 2) || gap > UINT64_MAX - at || length > UINT64_MAX - at - gap)
      return fail(errc::malformed, "a range list is damaged");
    out.add({at + gap, at + gap + length});
    at += gap + length;
  }
  if (r.failed())
    return fail(errc::malformed, "a range list is damaged");
  return out;
}

} // namespace skerry
