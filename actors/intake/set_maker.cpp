#include "actors/intake/set_maker.hpp"

#include "schemas/model/set_memory.hpp"

#include <algorithm>
#include <utility>

namespace skerry::intake {

namespace {

constexpr std::uint32_t no_family = ~std::uint32_t{0};

std::size_t bytes_of(const made_set& known) noexcept {
  return sizeof known + (known.set ? memory_bytes(*known.set) : 0);
}

template <class T>
void reorder_all(std::vector<T>& all, std::span<const series_ref> order) {
  std::vector<T> moved;
  moved.reserve(all.size());
  for (const auto old : order)
    moved.push_back(std::move(all[old]));
  all = std::move(moved);
}

// What a set is made of, with its series described as they are now.
struct described {
  pending_series series;
  bool differs = false; // from what the set says
};

described describe_anew(const series_set& decoded, const set_maker::describe& now) {
  described out;
  for (const auto& member : decoded.members) {
    const auto& as_it_is = decoded.families[member.family];
    const auto* family = now ? now(as_it_is, member.all) : nullptr;
    out.differs = out.differs || (family != nullptr && *family != as_it_is);
    out.series.add(family != nullptr ? *family : as_it_is, member.all);
  }
  return out;
}

} // namespace

std::size_t text_bytes(const labels& all) noexcept {
  std::size_t n = 16;
  for (const auto& [name, value] : all)
    n += name.size() + value.size() + 8;
  return n;
}

std::size_t text_bytes(const metric_family& family) noexcept {
  return family.name.size() + family.help.size() + family.unit.size() + 16;
}

std::uint64_t family_bit(std::uint64_t name_hash) noexcept { return std::uint64_t{1} << (name_hash % 64); }

bool pending_series::add(const metric_family& family, labels all, std::uint32_t group) {
  bool fresh = false;
  // Series of a family come one after the other.
  auto index = static_cast<std::uint32_t>(families_.size() - 1);
  if (families_.empty() || families_.back().name != family.name) {
    const auto found =
        index_.try_emplace(hash_name(family.name), static_cast<std::uint32_t>(families_.size()));
    index = found.first->second;
    fresh = found.second;
    if (fresh)
      families_.push_back(family);
  }
  members_.push_back({index, std::move(all)});
  groups_.push_back(group);
  return fresh;
}

void pending_series::redeclare(const metric_family& family) {
  if (const auto known = index_.find(hash_name(family.name)); known != index_.end())
    families_[known->second] = family;
}

void pending_series::reorder(std::span<const series_ref> order, std::vector<std::uint32_t> groups) {
  reorder_all(members_, order);
  groups_ = std::move(groups);
}

// Families that are here already stay as they are described here.
void pending_series::prepend(pending_series before) {
  for (auto& member : before.members_) {
    auto& family = before.families_[member.family];
    const auto [at, fresh] =
        index_.try_emplace(hash_name(family.name), static_cast<std::uint32_t>(families_.size()));
    if (fresh)
      families_.push_back(family);
    member.family = at->second;
  }
  before.members_.insert(before.members_.end(), std::make_move_iterator(members_.begin()),
                         std::make_move_iterator(members_.end()));
  members_ = std::move(before.members_);
  before.groups_.insert(before.groups_.end(), groups_.begin(), groups_.end());
  groups_ = std::move(before.groups_);
}

std::size_t set_maker::append(pending_series from, const describe& now) {
  while (!from.empty() && !sets_.empty()) {
    const auto& tail = sets_.back();
    if (tail.grouped || from.groups_.back() != 0 || tail.count > from.size()
        || tail.count + from.size() > set_series_max)
      break;
    auto decoded = decode_series_set(tail.set->encoded);
    if (!decoded)
      break; // it was encoded here: cannot be
    from.prepend(describe_anew(*decoded.value(), now).series);
    bytes_ -= bytes_of(tail);
    sets_.pop_back();
  }
  const auto first = sets_.size();
  cut(std::move(from));
  return first;
}

void set_maker::cut(pending_series from) {
  auto& members = from.members_;
  const auto& groups = from.groups_;
  const auto& families = from.families_;
  std::vector<std::uint32_t> index(families.size(), no_family); // of a family within the set being made
  std::size_t run_end = 0;                                      // of members of one family
  auto first = next_ref();
  for (std::size_t at = 0; at < members.size();) {
    std::vector<metric_family> set_families;
    std::vector<series> set_members;
    std::vector<std::uint32_t> used;
    std::size_t bytes = 0;
    auto i = at;
    while (i < members.size() && set_members.size() < set_series_max && groups[i] == groups[at]) {
      const auto family = members[i].family;
      if (rules_.whole_families && i >= run_end) {
        run_end = i;
        while (run_end < members.size() && members[run_end].family == family && groups[run_end] == groups[i])
          ++run_end;
        const auto run = run_end - i;
        if (!set_members.empty() && run <= set_series_max && set_members.size() + run > set_series_max)
          break;
      }
      auto& to = index[family];
      auto grows = text_bytes(members[i].all) + rules_.text_per_series;
      if (to == no_family && rules_.text_per_series == 0)
        grows += text_bytes(families[family]);
      if (!set_members.empty() && bytes + grows > set_text_bytes_max)
        break;
      bytes += grows;
      if (to == no_family) {
        to = static_cast<std::uint32_t>(set_families.size());
        set_families.push_back(families[family]);
        used.push_back(family);
      }
      set_members.push_back({to, std::move(members[i].all)});
      ++i;
    }
    for (const auto family : used)
      index[family] = no_family;
    made_set made;
    made.first = first;
    made.count = static_cast<std::uint16_t>(set_members.size());
    made.grouped = groups[at] != 0;
    bytes_ += bytes_of(made);
    keep(made, std::move(set_families), std::move(set_members));
    first += made.count;
    sets_.push_back(std::move(made));
    at = i;
  }
}

// Makes it, without the slack of its making.
void set_maker::keep(made_set& known, std::vector<metric_family> families, std::vector<series> members) {
  bytes_ -= bytes_of(known);
  const auto full = make_series_set(std::move(families), std::move(members));
  auto lean = std::make_shared<series_set>();
  lean->hash = full->hash;
  lean->encoded = shared_bytes::copy(full->encoded.view);
  known.set = std::move(lean);
  known.family_bits = 0;
  for (const auto& family : full->families)
    known.family_bits |= family_bit(hash_name(family.name));
  bytes_ += bytes_of(known);
}

bool set_maker::redescribe(std::size_t index, const describe& now) {
  auto& known = sets_[index];
  if (known.metadata_changes >= set_metadata_changes_max)
    return false;
  const auto decoded = decode_series_set(known.set->encoded);
  if (!decoded)
    return false; // it was encoded here: cannot be
  auto anew = describe_anew(*decoded.value(), now);
  if (!anew.differs)
    return false;
  auto bytes = known.set->encoded.view.size();
  for (const auto& family : anew.series.families_)
    bytes += text_bytes(family);
  if (bytes > set_bytes_max)
    return false;
  keep(known, std::move(anew.series.families_), std::move(anew.series.members_));
  ++known.metadata_changes;
  return true;
}

void set_maker::clear() {
  sets_.clear();
  bytes_ = 0;
}

std::size_t set_maker::index_of(series_ref ref) const noexcept {
  const auto after = std::upper_bound(sets_.begin(), sets_.end(), ref,
                                      [](series_ref r, const made_set& s) { return r < s.first; });
  return static_cast<std::size_t>(after - sets_.begin()) - 1;
}

section_writer::section_writer(frame& to, const made_set& of)
    : to_(to), of_(of), section_(to.sections.emplace_back()), values_before_(to.values.size()) {
  section_.set = of.set->hash;
  section_.series_count = of.count;
  section_.present.resize((of.count + 63u) / 64);
}

} // namespace skerry::intake
