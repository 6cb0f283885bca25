#include "edge/collect/frame_assembler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <numeric>
#include <sodium.h>
#include <type_traits>
#include <xxhash.h>

namespace skerry::edge {

namespace {

constexpr std::size_t set_text_bytes_max =
    set_bytes_max / 2; // of labels and metadata, before they are encoded
constexpr std::uint32_t no_family = ~std::uint32_t{0};

// Whoever chooses labels must not be able to choose their hashes.
std::uint64_t hash_seed() {
  static const std::uint64_t seed = [] {
    std::uint64_t s;
    randombytes_buf(&s, sizeof s);
    return s;
  }();
  return seed;
}

std::uint64_t hash_text(std::string_view text, std::uint64_t seed) {
  return XXH3_64bits_withSeed(text.data(), text.size(), seed);
}

std::uint64_t family_bit(std::uint64_t name) { return std::uint64_t{1} << (name % 64); }

std::uint64_t hash_content(const metric_family& family) {
  auto h = hash_text(family.help, hash_seed() + static_cast<std::uint64_t>(family.type));
  h = hash_text(family.unit, h);
  return hash_text(family.name, h);
}

std::size_t text_bytes(const metric_family& family) {
  return family.name.size() + family.help.size() + family.unit.size() + 16;
}

std::size_t text_bytes(const labels& all) {
  std::size_t n = 16;
  for (const auto& [name, value] : all)
    n += name.size() + value.size() + 8;
  return n;
}

// Why a set could not take such a series; empty: it can.
std::string why_too_large(const metric_family& family, const labels& all) {
  if (all.empty())
    return "it has no labels";
  if (all.size() > labels_max)
    return fmt::format("its {} labels are over {}", all.size(), labels_max);
  for (const auto& [name, value] : all)
    if (const auto bytes = std::max(name.size(), value.size()); bytes > label_value_bytes_max)
      return fmt::format("label {:.50} has {} bytes, over {}", name, bytes, label_value_bytes_max);
  if (std::max(family.name.size(), family.unit.size()) > label_value_bytes_max)
    return fmt::format("the name or unit of its family is over {} bytes", label_value_bytes_max);
  if (const auto bytes = text_bytes(family) + text_bytes(all); bytes > set_text_bytes_max)
    return fmt::format("its labels and metadata have {} bytes, over {}", bytes, set_text_bytes_max);
  return {};
}

// What a set takes of a family. Cut between characters.
metric_family with_short_help(const metric_family& family) {
  auto out = family;
  auto end = std::min(help_bytes_max, out.help.size());
  while (end != 0 && end < out.help.size() && (static_cast<unsigned char>(out.help[end]) & 0xc0) == 0x80)
    --end;
  out.help.resize(end);
  return out;
}

struct frame_scratch {
  value_encoder encoder;
  frame round;
  byte_buffer bytes;
};

frame_scratch& scratch() {
  thread_local frame_scratch s;
  return s;
}

bool bit(const std::uint64_t* words, std::size_t i) { return ((words[i / 64] >> (i % 64)) & 1) != 0; }
void set_bit(std::uint64_t* words, std::size_t i) { words[i / 64] |= std::uint64_t{1} << (i % 64); }

} // namespace

frame_assembler::series_key frame_assembler::key_of(const labels& all) {
  thread_local std::string text;
  text.clear();
  const auto append = [](std::string_view part) {
    const auto size = static_cast<std::uint32_t>(part.size());
    text.append(reinterpret_cast<const char*>(&size), sizeof size);
    text.append(part);
  };
  for (const auto& [name, value] : all) {
    append(name);
    append(value);
  }
  const auto h = XXH3_128bits_withSeed(text.data(), text.size(), hash_seed());
  return {h.low64, h.high64};
}

std::size_t frame_assembler::slot_of(const series_key& key) const noexcept {
  const auto mask = table_.size() - 1;
  auto slot = key.low & mask;
  while (table_[slot] != no_series && keys_[table_[slot]] != key)
    slot = (slot + 1) & mask;
  return slot;
}

void frame_assembler::grow_table() {
  table_.assign(std::max<std::size_t>(64, std::bit_ceil(keys_.size() * 2 + 2)), no_series);
  for (series_ref ref = 0; ref < keys_.size(); ++ref)
    table_[slot_of(keys_[ref])] = ref;
}

std::uint32_t frame_assembler::pending_family(const metric_family& family) {
  // Series of a family come one after the other.
  if (!pending_families_.empty() && pending_families_.back().name == family.name)
    return static_cast<std::uint32_t>(pending_families_.size() - 1);
  const auto [at, fresh] = pending_index_.try_emplace(hash_text(family.name, hash_seed()),
                                                      static_cast<std::uint32_t>(pending_families_.size()));
  if (fresh) {
    pending_families_.push_back(family);
    redeclare_known(at->first, family);
  }
  return at->second;
}

series_ref frame_assembler::intern(const metric_family& given, const labels& all) {
  const auto key = key_of(all);
  if (keys_.size() * 2 >= table_.size())
    grow_table();
  const auto slot = slot_of(key);
  if (table_[slot] != no_series)
    return table_[slot];
  const bool long_help = given.help.size() > help_bytes_max;
  const auto shorter = long_help ? with_short_help(given) : metric_family{};
  const auto& family = long_help ? shorter : given;
  auto refused = keys_.size() >= source_series_max
                     ? fmt::format("more than {} series are known of one target", source_series_max)
                     : why_too_large(family, all);
  if (!refused.empty()) {
    ++counters_.series_refused;
    refusal_ = fmt::format("series {:.50}: {}", value_of(all, label_name), refused);
    return no_series;
  }
  const auto ref = static_cast<series_ref>(keys_.size());
  table_[slot] = ref;
  keys_.push_back(key);
  values_.push_back(0);
  seen_.push_back(0);
  if (!stamped_last_.empty())
    stamped_last_.emplace_back();
  pending_.push_back({pending_family(family), all});
  pending_groups_.push_back(group_);
  if (pending_.size() >= pending_series_max && stamped_.empty())
    seal_pending();
  return ref;
}

void frame_assembler::redeclare(const metric_family& given) {
  const auto family = with_short_help(given);
  const auto name = hash_text(family.name, hash_seed());
  if (text_bytes(family) <= set_text_bytes_max)
    if (const auto pending = pending_index_.find(name); pending != pending_index_.end())
      pending_families_[pending->second] = family;
  redeclare_known(name, family);
}

void frame_assembler::redeclare_known(std::uint64_t name, const metric_family& family) {
  const auto at = std::lower_bound(families_.begin(), families_.end(), std::pair{name, std::uint64_t{0}});
  if (at == families_.end() || at->first != name)
    return; // no set describes it
  const auto content = hash_content(family);
  if (at->second == content || text_bytes(family) > set_text_bytes_max)
    return;
  at->second = content;
  changed_families_.insert_or_assign(name, family);
}

// The families of what is pending are known from now on.
void frame_assembler::keep_families(const std::vector<metric_family>& fresh) {
  const auto before = static_cast<std::ptrdiff_t>(families_.size());
  for (const auto& family : fresh) {
    const auto name = hash_text(family.name, hash_seed());
    const auto end = families_.begin() + before;
    const auto at = std::lower_bound(families_.begin(), end, std::pair{name, std::uint64_t{0}});
    if (at == end || at->first != name)
      families_.emplace_back(name, hash_content(family));
  }
  std::sort(families_.begin() + before, families_.end());
  std::inplace_merge(families_.begin(), families_.begin() + before, families_.end());
}

void frame_assembler::begin(std::int64_t time_ns) {
  ++generation_;
  round_ns_ = time_ns;
  added_ = 0;
  unchanged_ = 0;
  appeared_ = 0;
  failed_ = false;
  stamped_.clear();
}

bool frame_assembler::add_at(series_ref ref, double value, std::int64_t time_ns) {
  if (round_ns_ != 0 && time_ns > round_ns_ + stamped_ahead_max_ns) {
    ++counters_.samples_ahead;
    return false;
  }
  if (stamped_last_.empty())
    stamped_last_.resize(values_.size());
  auto& last = stamped_last_[ref];
  appeared_ += std::max(seen_[ref], last.seen) < last_generation_ ? 1 : 0;
  const bool again = std::exchange(last.seen, generation_) == generation_;
  if (last.time_ns != time_ns)
    stamped_.push_back({time_ns, ref, value});
  else if (again || std::bit_cast<std::uint64_t>(last.value) != std::bit_cast<std::uint64_t>(value))
    ++counters_.duplicates; // of two values at one time the first stays
  else
    ++unchanged_;
  return true;
}

void frame_assembler::add_families(const std::vector<collected_family>& all) {
  for (const auto& [family, samples] : all)
    for (const auto& sample : samples)
      if (const auto ref = intern(family, sample.all); ref != no_series)
        add(ref, sample.value);
}

// Cuts at groups, at families and at the bounds of a set. A family that fits into one set is not spread over two.
void frame_assembler::make_sets(const std::vector<metric_family>& families, std::vector<series>& members,
                                const std::vector<std::uint32_t>& groups, series_ref first) {
  std::vector<std::uint32_t> index(families.size(), no_family); // of a family within the set being made
  std::size_t run_end = 0;                                      // of members of one family
  for (std::size_t at = 0; at < members.size();) {
    std::vector<metric_family> set_families;
    std::vector<series> set_members;
    std::vector<std::uint32_t> used;
    std::size_t bytes = 0;
    auto i = at;
    while (i < members.size() && set_members.size() < set_series_max && groups[i] == groups[at]) {
      const auto family = members[i].family;
      if (i >= run_end) {
        run_end = i;
        while (run_end < members.size() && members[run_end].family == family && groups[run_end] == groups[i])
          ++run_end;
        const auto run = run_end - i;
        if (!set_members.empty() && run <= set_series_max && set_members.size() + run > set_series_max)
          break;
      }
      auto& to = index[family];
      const auto grows = text_bytes(members[i].all) + (to == no_family ? text_bytes(families[family]) : 0);
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
    known_set made;
    made.first = first + static_cast<series_ref>(at);
    made.count = static_cast<std::uint16_t>(set_members.size());
    made.grouped = groups[at] != 0;
    keep_set(made, make_series_set(std::move(set_families), std::move(set_members)));
    sets_.push_back(std::move(made));
    at = i;
  }
}

void frame_assembler::keep_set(known_set& known, const series_set_ptr& full) {
  auto lean = std::make_shared<series_set>();
  lean->hash = full->hash;
  lean->encoded = shared_bytes::copy(full->encoded.view); // without the slack of its making
  known.set = std::move(lean);
  known.family_bits = 0;
  for (const auto& family : full->families)
    known.family_bits |= family_bit(hash_text(family.name, hash_seed()));
  ++counters_.sets_made;
}

// Series that came with the same time belong together: puts them one after the other, each group in the page's order.
// References change.
void frame_assembler::group_pending() {
  constexpr auto no_time = INT64_MIN;
  const auto count = pending_.size();
  const auto first = static_cast<series_ref>(values_.size() - count);
  std::vector<std::int64_t> time_of(count, no_time);
  std::vector<std::int64_t> times;
  for (const auto& sample : stamped_)
    if (sample.ref >= first && time_of[sample.ref - first] == no_time) {
      time_of[sample.ref - first] = sample.time_ns;
      times.push_back(sample.time_ns);
    }
  const auto stamped = times.size();
  std::sort(times.begin(), times.end());
  times.erase(std::unique(times.begin(), times.end()), times.end());
  if (times.empty() || times.size() * stamped_group_min > stamped)
    return;
  for (std::size_t i = 0; i < count; ++i)
    pending_groups_[i] =
        time_of[i] == no_time
            ? 0
            : 1
                  + static_cast<std::uint32_t>(std::lower_bound(times.begin(), times.end(), time_of[i])
                                               - times.begin());
  std::vector<series_ref> order(count);
  std::iota(order.begin(), order.end(), 0);
  const auto earlier = [&](series_ref a, series_ref b) { return pending_groups_[a] < pending_groups_[b]; };
  if (std::is_sorted(order.begin(), order.end(), earlier))
    return;
  std::stable_sort(order.begin(), order.end(), earlier);
  const auto permute = [&](auto& all, std::size_t from) {
    auto moved = std::remove_reference_t<decltype(all)>{};
    moved.reserve(count);
    for (const auto old : order)
      moved.push_back(std::move(all[from + old]));
    std::move(moved.begin(), moved.end(), all.begin() + static_cast<std::ptrdiff_t>(from));
  };
  permute(pending_, 0);
  permute(pending_groups_, 0);
  permute(values_, first);
  permute(seen_, first);
  permute(keys_, first);
  if (!stamped_last_.empty())
    permute(stamped_last_, first);
  std::vector<series_ref> now(count);
  for (series_ref i = 0; i < count; ++i)
    now[order[i]] = first + i;
  for (auto& sample : stamped_)
    if (sample.ref >= first)
      sample.ref = now[sample.ref - first];
  grow_table();
  ++refs_epoch_;
}

void frame_assembler::seal_pending() {
  if (pending_.empty())
    return;
  // Series that trickle in would leave many small sets: small ones at the tail are made anew together with
  // what came, each series a bounded number of times, as sizes double.
  auto families = std::move(pending_families_);
  auto members = std::move(pending_);
  auto groups = std::move(pending_groups_);
  pending_.clear();
  pending_groups_.clear();
  pending_families_.clear();
  decltype(pending_index_){}.swap(pending_index_);
  keep_families(families);
  auto first = static_cast<series_ref>(values_.size() - members.size());
  std::vector<series_ref> live;
  while (!sets_.empty() && !sets_.back().grouped && groups.back() == 0 && sets_.back().count <= members.size()
         && sets_.back().count + members.size() <= set_series_max) {
    auto& tail = sets_.back();
    auto decoded = decode_series_set(tail.set->encoded);
    if (!decoded)
      break; // we encoded it: cannot be
    std::vector<series> joined = decoded.value()->members;
    std::vector<std::uint32_t> to(decoded.value()->families.size());
    for (std::size_t f = 0; f < to.size(); ++f) {
      const auto& family = decoded.value()->families[f];
      const auto known = std::find_if(families.begin(), families.end(),
                                      [&](const metric_family& other) { return other.name == family.name; });
      to[f] = static_cast<std::uint32_t>(known - families.begin());
      if (known == families.end())
        families.push_back(family);
    }
    for (auto& member : joined)
      member.family = to[member.family];
    for (std::size_t i = 0; i < tail.count; ++i)
      if (bit(tail.live, i))
        live.push_back(tail.first + static_cast<series_ref>(i));
    joined.insert(joined.end(), std::make_move_iterator(members.begin()),
                  std::make_move_iterator(members.end()));
    members = std::move(joined);
    groups.insert(groups.end(), tail.count, 0);
    first = tail.first;
    sets_.pop_back();
  }
  make_sets(families, members, groups, first);
  for (const auto ref : live) {
    auto in = std::find_if(sets_.rbegin(), sets_.rend(), [&](const known_set& s) { return s.first <= ref; });
    set_bit(in->live, ref - in->first);
  }
}

void frame_assembler::refresh_metadata() {
  if (changed_families_.empty())
    return;
  std::uint64_t changed_bits = 0;
  for (const auto& [name, family] : changed_families_)
    changed_bits |= family_bit(name);
  for (auto& known : sets_) {
    if (known.metadata_changes >= set_metadata_changes_max || (known.family_bits & changed_bits) == 0)
      continue;
    auto decoded = decode_series_set(known.set->encoded);
    if (!decoded)
      continue; // we encoded it: cannot be
    auto families = decoded.value()->families;
    bool differs = false;
    std::size_t bytes = 0;
    for (auto& family : families) {
      const auto changed = changed_families_.find(hash_text(family.name, hash_seed()));
      if (changed != changed_families_.end() && !(family == changed->second)) {
        family = changed->second;
        differs = true;
      }
      bytes += text_bytes(family);
    }
    if (!differs || known.set->encoded.view.size() + bytes > set_bytes_max)
      continue;
    keep_set(known, make_series_set(std::move(families), decoded.value()->members));
    ++known.metadata_changes;
  }
  decltype(changed_families_){}.swap(changed_families_);
}

// Drops series that were absent for long, when they are most: references change.
void frame_assembler::rebuild_if_sparse(bool had_samples) {
  const auto absent_min = had_samples ? absent_series_min : absent_series_min_failed;
  const auto finishes_max = !had_samples || values_.size() < many_series ? absent_finishes_max
                            : values_.size() < source_series_max / 2     ? absent_finishes_max_many
                                                                         : 0;
  const auto gone = [&](series_ref ref) {
    const auto last = stamped_last_.empty() ? seen_[ref] : std::max(seen_[ref], stamped_last_[ref].seen);
    return generation_ - last > finishes_max;
  };
  std::size_t absent = 0;
  for (series_ref ref = 0; ref < values_.size(); ++ref)
    absent += gone(ref) ? 1 : 0;
  if (absent < absent_min || absent * 2 < values_.size())
    return;

  const auto old_sets = std::move(sets_);
  const auto old_values = std::move(values_);
  const auto old_seen = std::move(seen_);
  const auto old_stamped = std::move(stamped_last_);
  sets_.clear();
  values_.clear();
  seen_.clear();
  stamped_last_.clear();
  keys_.clear();
  table_.clear();
  families_.clear();
  changed_families_.clear();
  if (!old_stamped.empty())
    stamped_last_.reserve(old_values.size() - absent);
  std::vector<series_ref> live;
  const auto now = generation_;
  std::uint32_t groups = 0;
  for (const auto& known : old_sets) {
    auto decoded = decode_series_set(known.set->encoded);
    if (!decoded)
      continue; // we encoded it: cannot be
    group_ = known.grouped ? ++groups : 0;
    for (std::size_t i = 0; i < known.count; ++i) {
      const auto old = known.first + i;
      const auto last = old_stamped.empty() ? old_seen[old] : std::max(old_seen[old], old_stamped[old].seen);
      if (now - last > finishes_max)
        continue;
      const auto& member = decoded.value()->members[i];
      const auto ref = intern(decoded.value()->families[member.family], member.all);
      values_[ref] = old_values[old];
      seen_[ref] = old_seen[old];
      if (!old_stamped.empty()) {
        stamped_last_.resize(values_.size());
        stamped_last_[ref] = old_stamped[old];
      }
      if (bit(known.live, i))
        live.push_back(ref);
    }
  }
  group_ = 0;
  seal_pending();
  auto in = sets_.begin();
  for (const auto ref : live) { // ascending, as the sets are
    while (ref >= in->first + in->count)
      ++in;
    set_bit(in->live, ref - in->first);
  }
  ++refs_epoch_;
  ++counters_.rebuilds;
}

void frame_assembler::emit(frame& from, std::string_view host, collection& out) {
  auto& bytes = scratch().bytes;
  bytes.clear();
  encode_frame(from, scratch().encoder, bytes);
  out.records.push_back(
      {record_kind::frame, from.time_ns, std::string{host}, byte_buffer{bytes.begin(), bytes.end()}});
  out.samples += from.values.size();
}

void frame_assembler::emit_round(std::int64_t time_ns, std::int64_t monotonic_ns, std::string_view host,
                                 collection& out) {
  auto& round = scratch().round;
  round.time_ns = time_ns;
  round.monotonic_ns = monotonic_ns;
  std::size_t used = 0;
  round.values.clear();
  const auto flush = [&] {
    if (used != 0) {
      round.sections.resize(used);
      emit(round, host, out);
    }
    used = 0;
    round.values.clear();
  };
  for (auto& known : sets_) {
    if (used == frame_sets_max || round.values.size() + known.count > frame_values_max)
      flush();
    std::uint64_t present[set_series_max / 64] = {};
    std::size_t n = 0;
    for (std::size_t w = 0; w * 64 < known.count; ++w) {
      const auto count = std::min<std::size_t>(64, known.count - w * 64);
      const auto* seen = seen_.data() + known.first + w * 64;
      std::uint64_t word = 0;
      for (std::size_t i = 0; i < count; ++i)
        word |= static_cast<std::uint64_t>(seen[i] == generation_) << i;
      present[w] = word;
      n += static_cast<std::size_t>(std::popcount(word));
    }
    const auto* values = values_.data() + known.first;
    const auto at = round.values.size();
    bool full = n == known.count;
    if (full) {
      round.values.insert(round.values.end(), values, values + known.count);
    } else {
      std::size_t sent = 0;
      for (std::size_t i = 0; i < known.count; ++i) {
        if (bit(present, i)) {
          round.values.push_back(values[i]);
        } else if (bit(known.live, i)) {
          round.values.push_back(stale_marker());
          ++counters_.stale_markers;
        }
      }
      sent = round.values.size() - at;
      full = sent == known.count;
    }
    if (round.values.size() != at) {
      if (round.sections.size() == used)
        round.sections.emplace_back();
      auto& section = round.sections[used++];
      section.set = known.set->hash;
      section.series_count = known.count;
      section.present.clear();
      if (!full) {
        section.present.resize((known.count + 63u) / 64);
        for (std::size_t w = 0; w < section.present.size(); ++w)
          section.present[w] = present[w] | known.live[w];
      }
      out.sets.push_back(known.set);
    }
    std::copy(std::begin(present), std::end(present), std::begin(known.live));
  }
  flush();
}

std::size_t frame_assembler::drop_excess_times() {
  std::stable_sort(stamped_.begin(), stamped_.end(), [](const stamped_sample& a, const stamped_sample& b) {
    return a.time_ns != b.time_ns ? a.time_ns < b.time_ns : a.ref < b.ref;
  });
  std::size_t times = 0;
  auto dropped = stamped_.size();
  for (; dropped != 0; --dropped) {
    const bool another =
        dropped == stamped_.size() || stamped_[dropped - 1].time_ns != stamped_[dropped].time_ns;
    if (another && ++times > stamped_times_max)
      break;
  }
  counters_.samples_refused += dropped;
  stamped_.erase(stamped_.begin(), stamped_.begin() + static_cast<std::ptrdiff_t>(dropped));
  return dropped;
}

void frame_assembler::emit_stamped(std::string_view host, collection& out) {
  static_cast<void>(drop_excess_times());
  const auto same = [](const stamped_sample& a, const stamped_sample& b) {
    return a.time_ns == b.time_ns && a.ref == b.ref;
  };
  const auto kept = std::unique(stamped_.begin(), stamped_.end(), same); // the first of equals stays
  counters_.duplicates += static_cast<std::uint64_t>(stamped_.end() - kept);
  stamped_.erase(kept, stamped_.end());

  auto& round = scratch().round;
  std::vector<known_set*> named;
  for (std::size_t i = 0; i < stamped_.size();) {
    round.time_ns = stamped_[i].time_ns;
    round.monotonic_ns = 0;
    round.sections.clear();
    round.values.clear();
    while (i < stamped_.size() && stamped_[i].time_ns == round.time_ns) {
      if (round.sections.size() == frame_sets_max)
        break; // the next turn goes on with the same time
      const auto in =
          std::prev(std::upper_bound(sets_.begin(), sets_.end(), stamped_[i].ref,
                                     [](series_ref ref, const known_set& s) { return ref < s.first; }));
      if (round.values.size() + in->count > frame_values_max)
        break;
      auto& section = round.sections.emplace_back();
      section.set = in->set->hash;
      section.series_count = in->count;
      section.present.resize((in->count + 63u) / 64);
      const auto from = round.values.size();
      for (; i < stamped_.size() && stamped_[i].time_ns == round.time_ns
             && stamped_[i].ref < in->first + in->count;
           ++i) {
        set_bit(section.present.data(), stamped_[i].ref - in->first);
        round.values.push_back(stamped_[i].value);
        stamped_last_[stamped_[i].ref].time_ns = stamped_[i].time_ns;
        stamped_last_[stamped_[i].ref].value = stamped_[i].value;
      }
      if (round.values.size() - from == in->count)
        section.present.clear();
      if (!std::exchange(in->named, true))
        named.push_back(&*in);
    }
    emit(round, host, out);
  }
  // A set may have samples of this round without times as well: then it is there already.
  std::sort(out.sets.begin(), out.sets.end());
  const auto before = out.sets.size();
  for (auto* set : named) {
    set->named = false;
    if (!std::binary_search(out.sets.begin(), out.sets.begin() + static_cast<std::ptrdiff_t>(before),
                            set->set))
      out.sets.push_back(set->set);
  }
  stamped_.clear();
}

collection frame_assembler::finish(std::int64_t time_ns, std::int64_t monotonic_ns, std::string_view host) {
  if (!pending_.empty()) {
    if (!stamped_.empty())
      group_pending();
    seal_pending();
    // Growth is rare, and a node holds many sources.
    values_.shrink_to_fit();
    seen_.shrink_to_fit();
    keys_.shrink_to_fit();
    families_.shrink_to_fit();
    sets_.shrink_to_fit();
  }
  refresh_metadata();
  collection out;
  emit_round(time_ns, monotonic_ns, host, out);
  const bool had_samples = added() != 0 && !failed_;
  if (!stamped_.empty())
    emit_stamped(host, out);
  if (added_ != values_.size() && values_.size() >= absent_series_min)
    rebuild_if_sparse(had_samples);
  if (had_samples)
    last_generation_ = generation_;
  begin();
  return out;
}

collection frame_assembler::stale_all(std::int64_t time_ns, std::int64_t monotonic_ns,
                                      std::string_view host) {
  begin();
  return finish(time_ns, monotonic_ns, host);
}

std::size_t frame_assembler::memory_bytes() const noexcept {
  std::size_t n = values_.capacity() * 8 + seen_.capacity() * 4
                  + stamped_last_.capacity() * sizeof(stamped_last) + keys_.capacity() * sizeof(series_key)
                  + table_.capacity() * 4 + sets_.capacity() * sizeof(known_set) + families_.capacity() * 16;
  for (const auto& known : sets_)
    n += known.set->encoded.view.size() + sizeof(series_set);
  return n;
}

} // namespace skerry::edge
