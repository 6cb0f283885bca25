#include "cloud/store/symbols.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <xxhash.h>

namespace skerry::cloud {

namespace {

// A string with its slot and its place in the index.
std::size_t slot_bytes(std::string_view text) noexcept { return text.size() + 128; }
constexpr std::string_view site_label = "site";
constexpr std::string_view host_label = "host";
constexpr std::string_view instance_label = "instance";

} // namespace

std::size_t symbol_table::size() const {
  const std::shared_lock lock{mutex_};
  return index_.size();
}

std::optional<symbol> symbol_table::find(std::string_view text) const {
  const std::shared_lock lock{mutex_};
  const auto it = index_.find(text);
  return it == index_.end() ? std::nullopt : std::optional{it->second};
}

symbol symbol_table::intern(std::string_view text) {
  if (const auto it = index_.find(text); it != index_.end()) {
    ++slots_[it->second].uses;
    return it->second;
  }
  symbol s;
  if (free_.empty()) {
    s = static_cast<symbol>(slots_.size());
    slots_.emplace_back();
  } else {
    s = free_.back();
    free_.pop_back();
  }
  slots_[s] = {std::string{text}, 1};
  bytes_ += slot_bytes(text);
  index_.emplace(slots_[s].text, s);
  return s;
}

std::optional<symbol> symbol_table::find(std::string_view text, symbol& last) const {
  if (last < slots_.size() && slots_[last].uses != 0 && slots_[last].text == text)
    return last;
  const auto it = index_.find(text);
  if (it == index_.end())
    return std::nullopt;
  return last = it->second;
}

void symbol_table::release(symbol s) {
  if (--slots_[s].uses != 0)
    return;
  bytes_ -= slot_bytes(slots_[s].text);
  index_.erase(slots_[s].text);
  slots_[s].text = {};
  free_.push_back(s);
}

compact_set::compact_set(std::shared_ptr<symbol_table> table, const series_set& from)
    : table_(std::move(table)), hash_(from.hash) {
  std::unique_lock lock{table_->mutex_};
  // Each string counts as used once by this set.
  std::unordered_map<std::string_view, symbol> own;
  const auto intern = [&](const std::string& text) {
    const auto [it, fresh] = own.try_emplace(text, 0);
    if (fresh) {
      it->second = table_->intern(text);
      used_.push_back(it->second);
      text_bytes_ += slot_bytes(text);
    }
    return it->second;
  };
  families_.reserve(from.families.size());
  for (const auto& f : from.families)
    families_.push_back({intern(f.name), intern(f.help), intern(f.unit), f.type});
  std::size_t pairs = 0;
  for (const auto& member : from.members)
    pairs += member.all.size();
  pairs_.reserve(pairs);
  ends_.reserve(from.members.size());
  by_metric_.reserve(from.members.size());
  for (const auto& member : from.members) {
    for (const auto& [name, value] : member.all) {
      pairs_.push_back({intern(name), intern(value)});
      if (name == label_name)
        by_metric_.push_back({pairs_.back().value, static_cast<std::uint16_t>(ends_.size())});
    }
    ends_.push_back(static_cast<std::uint32_t>(pairs_.size()));
  }
  if (const auto known = own.find(site_label); known != own.end())
    site_name_ = known->second;
  lock.unlock(); // queries wait for it
  kin_ = set_kin(from);
  std::vector<std::uint64_t> hashes;
  std::vector<pair> scratch;
  for (std::size_t member = 0; member < ends_.size(); ++member) {
    const auto pairs = identity_of(member, scratch);
    hashes.push_back(XXH3_64bits(pairs.data(), pairs.size_bytes()));
    lacks_sites_ = lacks_sites_ || own_site(member) == nullptr;
  }
  std::sort(hashes.begin(), hashes.end());
  distinct_ = std::adjacent_find(hashes.begin(), hashes.end()) == hashes.end();
  std::sort(by_metric_.begin(), by_metric_.end());
  std::sort(used_.begin(), used_.end());
  used_.shrink_to_fit();
  table_->bytes_ += memory_bytes();
}

compact_set::~compact_set() {
  table_->bytes_ -= memory_bytes();
  const std::unique_lock lock{table_->mutex_};
  for (const auto s : used_)
    table_->release(s);
}

std::span<const compact_set::pair> compact_set::pairs_of(std::size_t member) const noexcept {
  const auto begin = member == 0 ? 0 : ends_[member - 1];
  return std::span{pairs_}.subspan(begin, ends_[member] - begin);
}

std::span<const compact_set::pair> compact_set::identity_of(std::size_t member,
                                                            std::vector<pair>& scratch) const {
  const auto all = pairs_of(member);
  const auto* site = own_site(member);
  if (site == nullptr)
    return all;
  scratch.assign(all.begin(), all.end());
  scratch.erase(scratch.begin() + (site - all.data()));
  return scratch;
}

const compact_set::pair* compact_set::own_site(std::size_t member) const noexcept {
  if (!site_name_)
    return nullptr;
  const auto all = pairs_of(member);
  const auto found =
      std::find_if(all.begin(), all.end(), [this](const pair& p) { return p.name == *site_name_; });
  return found == all.end() ? nullptr : &*found;
}

std::string compact_set::site_of(std::size_t member, std::string_view site) const {
  const auto* own = own_site(member);
  if (own == nullptr)
    return std::string{site};
  const std::shared_lock lock{table_->mutex_};
  return table_->text(own->value);
}

std::uint64_t compact_set::hash_of(std::size_t member, std::string_view site) const {
  if (!site_name_) {
    const auto pairs = pairs_of(member);
    return XXH3_64bits_withSeed(pairs.data(), pairs.size_bytes(), XXH3_64bits(site.data(), site.size()));
  }
  const auto its_site = site_of(member, site);
  std::vector<pair> scratch;
  const auto pairs = identity_of(member, scratch);
  return XXH3_64bits_withSeed(pairs.data(), pairs.size_bytes(),
                              XXH3_64bits(its_site.data(), its_site.size()));
}

bool compact_set::same(std::size_t member, std::string_view site, const compact_set& other,
                       std::size_t others, std::string_view other_site) const {
  std::vector<pair> mine, its;
  const auto a = identity_of(member, mine);
  const auto b = other.identity_of(others, its);
  if (!std::equal(a.begin(), a.end(), b.begin(), b.end()))
    return false;
  if (!site_name_ && !other.site_name_)
    return site == other_site;
  return site_of(member, site) == other.site_of(others, other_site);
}

std::uint64_t compact_set::kin_of(std::size_t member) const {
  if (kin_ != 0)
    return kin_;
  std::string_view host, instance;
  const std::shared_lock lock{table_->mutex_};
  for (const auto& [name, value] : pairs_of(member))
    if (table_->text(name) == host_label)
      host = table_->text(value);
    else if (table_->text(name) == instance_label)
      instance = table_->text(value);
  return series_kin(host, instance);
}

labels compact_set::labels_of(std::size_t member, std::string_view site) const {
  labels all;
  const auto pairs = pairs_of(member);
  all.reserve(pairs.size() + 1);
  // The site goes where the order wants it.
  bool put = site.empty() || own_site(member) != nullptr;
  const std::shared_lock lock{table_->mutex_};
  for (const auto& [name, value] : pairs) {
    const auto& text = table_->text(name);
    if (!put && site_label < text) {
      all.push_back({std::string{site_label}, std::string{site}});
      put = true;
    }
    all.push_back({text, table_->text(value)});
  }
  if (!put)
    all.push_back({std::string{site_label}, std::string{site}});
  return all;
}

std::size_t compact_set::memory_bytes() const noexcept {
  return sizeof *this + used_.capacity() * sizeof(symbol) + families_.capacity() * sizeof(family)
         + pairs_.capacity() * sizeof pairs_[0] + ends_.capacity() * sizeof ends_[0]
         + by_metric_.capacity() * sizeof by_metric_[0];
}

void compact_set::each_name(const std::function<void(const std::string&)>& each) const {
  const std::shared_lock lock{table_->mutex_};
  std::vector<symbol> names;
  for (const auto& [name, value] : pairs_)
    names.push_back(name);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  for (const auto name : names)
    each(table_->text(name));
}

void compact_set::each_value(std::string_view name,
                             const std::function<void(const std::string&)>& each) const {
  const std::shared_lock lock{table_->mutex_};
  const auto it = table_->index_.find(name);
  if (it == table_->index_.end())
    return;
  for (const auto& [n, value] : pairs_)
    if (n == it->second)
      each(table_->text(value));
}

void compact_set::each_family(const std::function<void(const promql::family_metadata&)>& each) const {
  const std::shared_lock lock{table_->mutex_};
  for (const auto& f : families_)
    each({table_->text(f.name), f.type, table_->text(f.help), table_->text(f.unit)});
}

namespace {

set_members every(std::size_t count) {
  set_members members(count);
  std::iota(members.begin(), members.end(), std::uint16_t{0});
  return members;
}

} // namespace

set_matcher::set_matcher(std::vector<promql::matcher> matchers) {
  // Nothing narrows a set as cheaply as the metric's name.
  std::stable_partition(matchers.begin(), matchers.end(), [](const auto& m) {
    return m.name() == label_name && m.op() == promql::match_op::equal;
  });
  for (auto& m : matchers) {
    const bool absent_matches = m.matches("");
    tests_.push_back({std::move(m), absent_matches, {}, {}, {}});
  }
}

const std::string* set_matcher::metric() const noexcept {
  if (tests_.empty() || tests_.front().matcher.name() != label_name
      || tests_.front().matcher.op() != promql::match_op::equal || tests_.front().absent_matches)
    return nullptr;
  return &tests_.front().matcher.value();
}

set_members set_matcher::match(const compact_set& set) {
  const std::shared_lock lock{set.table_->mutex_};
  set_members members;
  const auto drop_if = [&](auto&& which) {
    members.erase(std::remove_if(members.begin(), members.end(), which), members.end());
  };
  bool narrowed = false; // members has those that are left; before: all are
  for (std::size_t t = 0; t < tests_.size() && !(narrowed && members.empty()); ++t) {
    auto& test = tests_[t];
    const auto& matcher = test.matcher;
    const auto uses = [&](symbol s) { return std::binary_search(set.used_.begin(), set.used_.end(), s); };
    const auto name = set.table_->find(matcher.name(), test.name);
    if (matcher.op() == promql::match_op::equal && !test.absent_matches) {
      const auto value = set.table_->find(matcher.value(), test.value);
      if (!name || !value)
        return {};
      const compact_set::pair wanted{*name, *value};
      if (narrowed) {
        drop_if([&](std::uint16_t i) {
          const auto pairs = set.pairs_of(i);
          return std::find(pairs.begin(), pairs.end(), wanted) == pairs.end();
        });
      } else if (matcher.name() == label_name) {
        const auto by_name = [](const auto& a, const auto& b) { return a.name < b.name; };
        const auto [from, to] = std::equal_range(set.by_metric_.begin(), set.by_metric_.end(),
                                                 compact_set::named{*value, 0}, by_name);
        for (auto at = from; at != to; ++at)
          members.push_back(at->member);
      } else if (uses(*name)
                 && uses(*value)) { // one pass over all is several times as fast as member by member
        const auto first = set.pairs_.begin();
        const auto bits = std::bit_cast<std::uint64_t>(wanted);
        const auto is_wanted = [bits](const auto& p) { return std::bit_cast<std::uint64_t>(p) == bits; };
        for (auto at = first; (at = std::find_if(at, set.pairs_.end(), is_wanted)) != set.pairs_.end(); ++at)
          members.push_back(static_cast<std::uint16_t>(
              std::upper_bound(set.ends_.begin(), set.ends_.end(), at - first) - set.ends_.begin()));
      }
      narrowed = true;
      continue;
    }
    if (!name || (!narrowed && !uses(*name))) {
      if (!test.absent_matches)
        return {};
      continue;
    }
    if (!narrowed)
      members = every(set.count());
    narrowed = true;
    drop_if([&](std::uint16_t i) {
      const auto pairs = set.pairs_of(i);
      const auto its =
          std::find_if(pairs.begin(), pairs.end(), [&](const auto& p) { return p.name == *name; });
      if (its == pairs.end())
        return !test.absent_matches;
      if (matcher.op() == promql::match_op::equal)
        return set.table_->text(its->value) != matcher.value();
      const auto [known, fresh] = test.values.try_emplace(its->value, false);
      if (fresh)
        known->second = matcher.matches(set.table_->text(its->value));
      return !known->second;
    });
  }
  return narrowed ? members : every(set.count());
}

std::uint64_t series_kin(std::string_view host, std::string_view instance) noexcept {
  const auto kin = XXH3_64bits_withSeed(instance.data(), instance.size(),
                                        host.empty() ? 0 : XXH3_64bits(host.data(), host.size()));
  return kin == 0 ? 1 : kin;
}

std::uint64_t set_kin(const series_set& set) noexcept {
  std::string_view host, instance;
  for (std::size_t i = 0; i < set.members.size(); ++i) {
    const auto& all = set.members[i].all;
    const auto its_host = value_of(all, host_label), its_instance = value_of(all, instance_label);
    if (i == 0) {
      host = its_host;
      instance = its_instance;
    }
    if (its_host != host || its_instance != instance || !value_of(all, site_label).empty())
      return 0;
  }
  return series_kin(host, instance);
}

std::string_view site_beside(edge_id edge, std::string_view site) noexcept {
  return edge == edge_pushed ? std::string_view{} : site;
}

void add_site(labels& all, std::string_view site) {
  const auto at = std::lower_bound(all.begin(), all.end(), site_label,
                                   [](const label& l, std::string_view n) { return l.name < n; });
  if (!site.empty() && (at == all.end() || at->name != site_label))
    all.insert(at, {std::string{site_label}, std::string{site}});
}

} // namespace skerry::cloud
