// The part of selection that finds hosts which have a series with the same labels: two ways to one target, or one target
// that tells what another is. They are read as one, so that a series is there once.
//
// Nearly always there are none, and a query must not pay for it: what says so is one number of a set (its kin), which
// sets of different machines do not share. Only where they do are the labels looked at.

#include "cloud/store/selection.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <optional>
#include <tuple>
#include <xxhash.h>

namespace skerry::cloud {

namespace {

std::uint64_t with_site(std::uint64_t number, std::string_view site) noexcept {
  return XXH3_64bits_withSeed(site.data(), site.size(), number);
}

// Which are one, as numbers of those with the lowest number.
class unions {
public:
  explicit unions(std::size_t count) : of_(count) { std::iota(of_.begin(), of_.end(), std::uint32_t{0}); }
  std::uint32_t find(std::uint32_t i) {
    while (of_[i] != i)
      i = of_[i] = of_[of_[i]];
    return i;
  }
  void join(std::uint32_t a, std::uint32_t b) {
    a = find(a);
    b = find(b);
    of_[std::max(a, b)] = std::min(a, b);
  }

private:
  std::vector<std::uint32_t> of_;
};

// Calls each(first, last) for each run of items of more than one place that have the same number.
template <class Item, class Each>
void each_shared(std::vector<Item>& all, Each&& each) {
  std::sort(all.begin(), all.end(), [](const Item& a, const Item& b) {
    return std::tie(a.number, a.place) < std::tie(b.number, b.place);
  });
  for (auto from = all.begin(); from != all.end();) {
    auto to = from;
    while (to != all.end() && to->number == from->number)
      ++to;
    if (std::prev(to)->place != from->place)
      each(from, to);
    from = to;
  }
}

} // namespace

// A place has series of this kin, or one with labels of this hash.
struct selection::place_number {
  std::uint64_t number = 0;
  std::uint32_t place = 0;
};
// The series of one kin.
struct selection::kin_members {
  std::vector<place_number> series;
  std::vector<compact_set_ptr> sets; // hashes are of symbols, which are another's once no set uses them
};

namespace {

// Of a member of a set with `site` beside its labels.
std::uint64_t kin_of(const compact_set& set, std::uint16_t member, std::string_view site) {
  const auto kin = set.kin_of(member);
  return with_site(kin, set.names_sites() ? set.site_of(member, site) : site);
}

} // namespace

result<void> selection::each_kin(std::uint32_t place, std::vector<place_number>& into) const {
  const auto& at = *places_[place];
  const auto first = into.size();
  const auto put = [&](std::uint64_t kin) {
    if (into.size() == first || into.back().number != kin) // mostly a host has one
      into.push_back({kin, place});
  };
  const auto put_each = [&](const compact_set& set, const set_members& members, std::string_view site) {
    for (const auto member : members)
      put(kin_of(set, member, site));
  };
  for (const auto& hit : at.heads) {
    const auto site = site_beside(hit.source->edge, hit.source->site);
    for (const auto& section : hit.sections) {
      const auto& set = *hit.source->sets[section.number];
      if (set.kin() != 0)
        put(with_site(set.kin(), site));
      else
        put_each(set, *section.members, site);
    }
  }
  for (const auto& hit : at.partitions) {
    const auto& source = hit.source->source;
    const auto site = site_beside(source.edge, source.site);
    if (source.kin != 0) {
      put(with_site(source.kin, site));
      continue;
    }
    BOOST_OUTCOME_TRYV(go_on());
    BOOST_OUTCOME_TRY(reader, opened_[hit.partition]->read());
    const auto set = find_compact_set(reader, source.set, parts_);
    if (set && (hit.of_set.empty() || hit.of_set.back() < set.value()->count()))
      put_each(*set.value(), hit.of_set, site); // a damaged one is left out when it is read
  }
  return ok();
}

result<void> selection::each_member(const place_number& of, kin_members& into) const {
  const auto& at = *places_[of.place];
  const auto put = [&](const compact_set& set, const set_members& members, std::string_view site) {
    for (const auto member : members)
      if (kin_of(set, member, site) == of.number)
        into.series.push_back({set.hash_of(member, site), of.place});
  };
  for (const auto& hit : at.heads)
    for (const auto& section : hit.sections)
      put(*hit.source->sets[section.number], *section.members,
          site_beside(hit.source->edge, hit.source->site));
  for (const auto& hit : at.partitions) {
    const auto& source = hit.source->source;
    const auto site = site_beside(source.edge, source.site);
    if (source.kin != 0 && with_site(source.kin, site) != of.number)
      continue;
    BOOST_OUTCOME_TRYV(go_on());
    BOOST_OUTCOME_TRY(reader, opened_[hit.partition]->read());
    const auto set = find_compact_set(reader, source.set, parts_);
    if (!set || (!hit.of_set.empty() && hit.of_set.back() >= set.value()->count()))
      continue;
    put(*set.value(), hit.of_set, site);
    into.sets.push_back(set.value());
  }
  return ok();
}

result<void> selection::join_places() {
  if (places_.size() < 2)
    return ok();
  std::vector<place_number> kin;
  kin.reserve(places_.size());
  for (std::uint32_t i = 0; i < places_.size(); ++i) {
    BOOST_OUTCOME_TRYV(each_kin(i, kin));
  }
  std::optional<unions> joined;
  result<void> how = ok();
  each_shared(kin, [&](auto from, auto to) {
    kin_members members;
    for (auto at = from; at != to && how; ++at)
      if (at == from || std::prev(at)->place != at->place)
        how = each_member(*at, members);
    each_shared(members.series, [&](auto first, auto last) {
      if (!joined)
        joined.emplace(places_.size());
      for (auto at = std::next(first); at != last; ++at)
        joined->join(first->place, at->place);
    });
  });
  BOOST_OUTCOME_TRYV(how);
  if (!joined)
    return ok();
  for (std::uint32_t i = 0; i < places_.size(); ++i) {
    const auto to = joined->find(i);
    if (to == i)
      continue;
    auto& one = *places_[to];
    auto& other = *places_[i];
    one.hosts.insert(one.hosts.end(), other.hosts.begin(), other.hosts.end());
    std::move(other.heads.begin(), other.heads.end(), std::back_inserter(one.heads));
    std::move(other.partitions.begin(), other.partitions.end(), std::back_inserter(one.partitions));
    other.hosts.clear(); // it is none any more
  }
  std::erase_if(places_, [](const place* at) { return at->hosts.empty(); });
  for (auto* at : places_)
    if (at->hosts.size() > 1) {
      std::stable_sort(at->heads.begin(), at->heads.end(),
                       [](const head_hit& a, const head_hit& b) { return a.log < b.log; });
      std::stable_sort(
          at->partitions.begin(), at->partitions.end(),
          [](const partition_hit& a, const partition_hit& b) { return a.partition < b.partition; });
    }
  return ok();
}

} // namespace skerry::cloud
