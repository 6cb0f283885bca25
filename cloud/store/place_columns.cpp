#include "cloud/store/place_columns.hpp"

#include "cloud/store/sealer.hpp"
#include "schemas/time.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace skerry::cloud {

namespace {

std::int64_t to_ms(std::int64_t ns) noexcept {
  return ns >= 0 ? ns / ns_per_ms : -((-(ns + 1)) / ns_per_ms) - 1;
}

void sort_by_time(series_column& c) {
  std::vector<std::uint32_t> order(c.times.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return c.times[a] < c.times[b]; });
  std::vector<std::int64_t> times(order.size());
  std::vector<double> values(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    times[i] = c.times[order[i]];
    values[i] = c.values[order[i]];
  }
  c.times = std::move(times);
  c.values = std::move(values);
}

} // namespace

void series_column::add(std::int64_t time_ns, double value) {
  newest_ns = std::max(newest_ns, time_ns);
  times.push_back(time_ns);
  values.push_back(value);
}

void series_column::make_room(std::size_t samples) {
  if (times.capacity() != 0)
    return;
  times.reserve(samples);
  values.reserve(samples);
}

void series_column::settle() {
  if (!std::is_sorted(times.begin(), times.end()))
    sort_by_time(*this);
  std::size_t n = 0;
  std::int64_t last_ns = 0;
  for (std::size_t i = 0; i < times.size(); ++i) {
    const auto time_ns = times[i];
    const auto ms = to_ms(time_ns);
    const auto value = values[i];
    if (n == 0 || ms != times[n - 1]) {
      times[n] = ms;
      values[n++] = value;
    } else if (time_ns == last_ns) {
      values[n - 1] = resolve(values[n - 1], value);
    } else {
      values[n - 1] = value;
    }
    last_ns = time_ns;
  }
  times.resize(n);
  values.resize(n);
}

void place_columns::start() {
  columns_.clear();
  by_set_.clear();
  makers_.clear();
  indexed_ = 0;
  // To clear a table costs as many buckets as it ever had.
  if (!set_index_.empty())
    set_index_ = {};
  if (!by_labels_.empty())
    by_labels_ = {};
}

std::vector<series_column> place_columns::take() {
  for (auto& c : columns_)
    c.settle();
  return std::exchange(columns_, {});
}

void place_columns::columns_of(const compact_set_ptr& set, std::string_view site, const set_members& members,
                               std::vector<std::uint32_t>& to) {
  auto& its = of_set(set, site, members.size());
  const bool alone = by_set_.size() == 1 && set->distinct();
  const auto find_or_add = [&](std::uint16_t member) {
    if (const auto known = alone ? std::nullopt : find(its, member))
      return *known;
    columns_.emplace_back().all = set->labels_of(member, site);
    makers_.push_back({its.set.get(), site, member});
    return static_cast<std::uint32_t>(columns_.size() - 1);
  };
  auto& known = its.of_members;
  for (const auto member : members) {
    auto at = known.end();
    if (!known.empty() && known.back().first >= member)
      at = std::lower_bound(known.begin(), known.end(), member,
                            [](const auto& k, std::uint16_t m) { return k.first < m; });
    if (at == known.end() || at->first != member)
      at = known.emplace(at, member, find_or_add(member));
    to.push_back(at->second);
  }
}

place_columns::set_columns& place_columns::of_set(const compact_set_ptr& set, std::string_view site,
                                                  std::size_t members) {
  constexpr std::size_t few = 16;
  const auto is_it = [&](const set_columns& one) {
    return one.set->hash() == set->hash() && one.site == site;
  };
  auto at = by_set_.size();
  if (by_set_.size() <= few) {
    const auto known = std::find_if(by_set_.begin(), by_set_.end(), is_it);
    at = static_cast<std::size_t>(known - by_set_.begin());
  } else {
    for (auto i = set_index_.size(); i < by_set_.size(); ++i)
      set_index_.emplace(by_set_[i].set->hash(), i);
    const auto [from, to] = set_index_.equal_range(set->hash());
    const auto known = std::find_if(from, to, [&](const auto& one) { return is_it(by_set_[one.second]); });
    if (known != to)
      at = known->second;
  }
  if (at == by_set_.size()) {
    by_set_.push_back({set, site, {}});
    by_set_.back().of_members.reserve(members);
  }
  return by_set_[at];
}

std::optional<std::uint32_t> place_columns::find(const set_columns& in, std::uint16_t member) {
  for (; indexed_ < columns_.size(); ++indexed_) {
    const auto& by = makers_[indexed_];
    by_labels_.emplace(by.set->hash_of(by.member, by.site), static_cast<std::uint32_t>(indexed_));
  }
  const auto [from, to] = by_labels_.equal_range(in.set->hash_of(member, in.site));
  for (auto at = from; at != to; ++at) {
    const auto& by = makers_[at->second];
    if (by.set->same(by.member, by.site, *in.set, member, in.site))
      return at->second;
  }
  return std::nullopt;
}

} // namespace skerry::cloud
