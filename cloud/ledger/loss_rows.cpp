#include "cloud/ledger/loss_rows.hpp"

#include <algorithm>

namespace skerry::cloud {

namespace {

constexpr std::int64_t gap_min_ns = 1'000'000'000; // where it has to grow
constexpr std::int64_t gap_factor = 8;
constexpr std::int64_t gap_max_ns = INT64_MAX / gap_factor;

void add_up(std::uint64_t& to, std::uint64_t more) noexcept {
  to = more > UINT64_MAX - to ? UINT64_MAX : to + more; // an edge says how much
}

void join(loss_entry& to, const loss_entry& from) {
  to.from_ns = std::min(to.from_ns, from.from_ns);
  to.to_ns = std::max(to.to_ns, from.to_ns);
  if (to.origin.epoch != from.origin.epoch) { // an edge that starts often has many
    to.origin.epoch = {};
    to.first = to.last = 0;
  } else if (to.first != 0 && from.first != 0) {
    to.first = std::min(to.first, from.first);
    to.last = std::max(to.last, from.last);
  }
  add_up(to.records, from.records);
  add_up(to.entries, from.entries);
  add_up(to.samples, from.samples);
  add_up(to.bytes, from.bytes);
}

} // namespace

loss_rows::row_key loss_rows::key_of(const loss_entry& entry) const {
  if (!by_edge_)
    return {entry.site,      entry.host,  {entry.origin.edge, {}, entry.origin.stream},
            entry.collected, entry.cause, entry.detail,
            entry.retracted};
  return {entry.site,     {}, {entry.origin.edge, {}, entry.origin.stream}, entry.collected, entry.cause, {},
          entry.retracted};
}

void loss_rows::add(loss_entry entry) {
  insert(std::move(entry));
  while (count_ > rows_max_ && !(by_edge_ && gap_ns_ >= gap_max_ns))
    coarsen();
}

void loss_rows::insert(loss_entry entry) {
  auto& rows = rows_[key_of(entry)];
  if (by_edge_) {
    entry.host.clear();
    entry.detail.clear();
    entry.origin.epoch = {};
    entry.first = entry.last = 0;
  }
  const auto least = entry.collected && entry.cause == loss_cause::thinned ? thinned_gap_ns_ : 0;
  const auto gap = entry.collected || by_edge_ ? std::max<std::int64_t>({gap_ns_, least, 1}) : 1;
  // Whether the earlier one reaches the later one; no sum overflows.
  const auto reaches = [gap](const loss_entry& earlier, const loss_entry& later) {
    return later.from_ns <= earlier.to_ns
           || static_cast<std::uint64_t>(later.from_ns) - static_cast<std::uint64_t>(earlier.to_ns)
                  <= static_cast<std::uint64_t>(gap);
  };
  auto at = rows.upper_bound(entry.from_ns);
  if (at != rows.begin() && reaches(std::prev(at)->second, entry))
    --at;
  while (at != rows.end() && (at->first <= entry.from_ns || reaches(entry, at->second))) {
    join(entry, at->second);
    at = rows.erase(at);
    --count_;
  }
  const auto from_ns = entry.from_ns;
  rows.emplace(from_ns, std::move(entry));
  ++count_;
}

void loss_rows::coarsen() {
  if (gap_ns_ < gap_max_ns)
    gap_ns_ = gap_ns_ < gap_min_ns ? gap_min_ns : std::min(gap_ns_ * gap_factor, gap_max_ns);
  else
    by_edge_ = true;
  auto before = std::exchange(rows_, {});
  count_ = 0;
  for (auto& [key, rows] : before)
    for (auto& [from_ns, entry] : rows)
      insert(std::move(entry));
}

std::vector<loss_entry> loss_rows::take() {
  std::vector<loss_entry> out;
  out.reserve(count_);
  for (auto& [key, rows] : std::exchange(rows_, {}))
    for (auto& [from_ns, entry] : rows)
      out.push_back(std::move(entry));
  count_ = 0;
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    return std::tie(a.from_ns, a.to_ns, a.origin, a.first) < std::tie(b.from_ns, b.to_ns, b.origin, b.first);
  });
  return out;
}

} // namespace skerry::cloud
