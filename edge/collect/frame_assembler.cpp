#include "edge/collect/frame_assembler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <numeric>
#include <type_traits>

namespace skerry::edge {

namespace {

using intake::set_text_bytes_max;
using intake::text_bytes;

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
  std::vector<std::uint64_t> present;
  byte_buffer bytes;
};

frame_scratch& scratch() {
  thread_local frame_scratch s;
  return s;
}

bool bit(const std::vector<std::uint64_t>& words, std::size_t i) {
  return ((words[i / 64] >> (i % 64)) & 1) != 0;
}
void set_bit(std::vector<std::uint64_t>& words, std::size_t i) {
  words[i / 64] |= std::uint64_t{1} << (i % 64);
}

// `count` bits, at most 64, from bit `at` on.
std::uint64_t bits_at(const std::vector<std::uint64_t>& words, std::size_t at, std::size_t count) {
  const auto shift = at % 64;
  auto out = words[at / 64] >> shift;
  if (shift + count > 64)
    out |= words[at / 64 + 1] << (64 - shift);
  return count == 64 ? out : out & ((std::uint64_t{1} << count) - 1);
}

} // namespace

series_ref frame_assembler::intern(const metric_family& given, const labels& all) {
  const auto key = intake::key_of(all);
  if (const auto known = interner_.find(key); known != no_series)
    return known;
  const bool long_help = given.help.size() > help_bytes_max;
  const auto shorter = long_help ? with_short_help(given) : metric_family{};
  const auto& family = long_help ? shorter : given;
  auto refused = interner_.size() >= source_series_max
                     ? fmt::format("more than {} series are known of one target", source_series_max)
                     : why_too_large(family, all);
  if (!refused.empty()) {
    ++counters_.series_refused;
    refusal_ = fmt::format("series {:.50}: {}", value_of(all, label_name), refused);
    return no_series;
  }
  const auto ref = interner_.add(key);
  values_.push_back(0);
  seen_.push_back(0);
  if (!stamped_last_.empty())
    stamped_last_.emplace_back();
  if (pending_.add(family, all, group_))
    families_.declare(family);
  if (pending_.size() >= pending_series_max && stamped_.empty())
    seal_pending();
  return ref;
}

void frame_assembler::redeclare(const metric_family& given) {
  const auto family = with_short_help(given);
  if (text_bytes(family) <= set_text_bytes_max)
    pending_.redeclare(family);
  families_.declare(family);
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
  std::vector<std::uint32_t> groups(count, 0);
  for (std::size_t i = 0; i < count; ++i)
    if (time_of[i] != no_time)
      groups[i] = 1
                  + static_cast<std::uint32_t>(std::lower_bound(times.begin(), times.end(), time_of[i])
                                               - times.begin());
  std::vector<series_ref> order(count);
  std::iota(order.begin(), order.end(), 0);
  const auto earlier = [&](series_ref a, series_ref b) { return groups[a] < groups[b]; };
  const bool in_order = std::is_sorted(order.begin(), order.end(), earlier);
  if (!in_order)
    std::stable_sort(order.begin(), order.end(), earlier);
  const auto permute = [&](auto& all, std::size_t from) {
    auto moved = std::remove_reference_t<decltype(all)>{};
    moved.reserve(count);
    for (const auto old : order)
      moved.push_back(all[from + old]);
    std::copy(moved.begin(), moved.end(), all.begin() + static_cast<std::ptrdiff_t>(from));
  };
  permute(groups, 0);
  pending_.reorder(order, std::move(groups));
  if (in_order)
    return;
  interner_.reorder_last(order);
  permute(values_, first);
  permute(seen_, first);
  if (!stamped_last_.empty())
    permute(stamped_last_, first);
  std::vector<series_ref> now(count);
  for (series_ref i = 0; i < count; ++i)
    now[order[i]] = first + i;
  for (auto& sample : stamped_)
    if (sample.ref >= first)
      sample.ref = now[sample.ref - first];
  ++refs_epoch_;
}

void frame_assembler::seal_pending() {
  families_.keep(pending_.families());
  const auto first = maker_.append(std::exchange(pending_, {}));
  counters_.sets_made += maker_.sets().size() - first;
}

void frame_assembler::refresh_metadata() {
  if (!families_.any_changed())
    return;
  const auto now = [this](const metric_family& family, const labels&) { return families_.changed(family); };
  for (std::size_t i = 0; i < maker_.sets().size(); ++i)
    if (families_.may_concern(maker_.sets()[i]))
      counters_.sets_made += maker_.redescribe(i, now) ? 1 : 0;
  families_.settle();
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

  const auto old_maker = std::exchange(maker_, intake::set_maker{});
  const auto old_values = std::exchange(values_, {});
  const auto old_seen = std::exchange(seen_, {});
  const auto old_stamped = std::exchange(stamped_last_, {});
  const auto old_live = std::exchange(live_, std::vector<std::uint64_t>(live_.size()));
  interner_.clear();
  families_.clear();
  if (!old_stamped.empty())
    stamped_last_.reserve(old_values.size() - absent);
  std::uint32_t groups = 0;
  for (const auto& known : old_maker.sets()) {
    auto decoded = decode_series_set(known.set->encoded);
    if (!decoded)
      continue; // we encoded it: cannot be
    group_ = known.grouped ? ++groups : 0;
    for (std::size_t i = 0; i < known.count; ++i) {
      const auto old = known.first + i;
      const auto last = old_stamped.empty() ? old_seen[old] : std::max(old_seen[old], old_stamped[old].seen);
      if (generation_ - last > finishes_max)
        continue;
      const auto& member = decoded.value()->members[i];
      const auto ref = intern(decoded.value()->families[member.family], member.all);
      values_[ref] = old_values[old];
      seen_[ref] = old_seen[old];
      if (!old_stamped.empty()) {
        stamped_last_.resize(values_.size());
        stamped_last_[ref] = old_stamped[old];
      }
      if (bit(old_live, old))
        set_bit(live_, ref);
    }
  }
  group_ = 0;
  seal_pending();
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
  auto& present = scratch().present;
  present.assign((values_.size() + 63) / 64, 0);
  for (std::size_t at = 0; at < values_.size(); at += 64) {
    const auto count = std::min<std::size_t>(64, values_.size() - at);
    const auto* seen = seen_.data() + at;
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < count; ++i)
      word |= static_cast<std::uint64_t>(seen[i] == generation_) << i;
    present[at / 64] = word;
  }
  live_.resize(present.size());
  for (const auto& known : maker_.sets()) {
    if (used == frame_sets_max || round.values.size() + known.count > frame_values_max)
      flush();
    const std::size_t words = (known.count + 63u) / 64;
    std::uint64_t said[set_series_max / 64] = {}; // has a value, or a stale marker
    std::size_t values = 0, stale = 0;
    for (std::size_t w = 0; w < words; ++w) {
      const auto from = known.first + w * 64;
      const auto count = std::min<std::size_t>(64, known.count - w * 64);
      const auto now = bits_at(present, from, count);
      const auto ended = bits_at(live_, from, count) & ~now;
      said[w] = now | ended;
      values += static_cast<std::size_t>(std::popcount(now));
      stale += static_cast<std::size_t>(std::popcount(ended));
    }
    if (values + stale == 0)
      continue;
    const auto* value = values_.data() + known.first;
    if (values == known.count)
      round.values.insert(round.values.end(), value, value + known.count);
    else
      for (std::size_t i = 0; i < known.count; ++i)
        if (bit(present, known.first + i))
          round.values.push_back(value[i]);
        else if (((said[i / 64] >> (i % 64)) & 1) != 0)
          round.values.push_back(stale_marker());
    counters_.stale_markers += stale;
    if (round.sections.size() == used)
      round.sections.emplace_back();
    auto& section = round.sections[used++];
    section.set = known.set->hash;
    section.series_count = known.count;
    section.present.clear();
    if (values + stale != known.count)
      section.present.assign(said, said + words);
    out.sets.push_back(known.set);
  }
  flush();
  live_.assign(present.begin(), present.end());
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
  const auto sets = maker_.sets();
  std::vector<std::size_t> named;
  std::vector<bool> is_named(sets.size());
  for (std::size_t i = 0; i < stamped_.size();) {
    round.time_ns = stamped_[i].time_ns;
    round.monotonic_ns = 0;
    round.sections.clear();
    round.values.clear();
    while (i < stamped_.size() && stamped_[i].time_ns == round.time_ns) {
      if (round.sections.size() == frame_sets_max)
        break; // the next turn goes on with the same time
      const auto in = maker_.index_of(stamped_[i].ref);
      const auto& known = sets[in];
      if (round.values.size() + known.count > frame_values_max)
        break;
      intake::section_writer section{round, known};
      for (; i < stamped_.size() && stamped_[i].time_ns == round.time_ns
             && stamped_[i].ref < known.first + known.count;
           ++i) {
        section.put(stamped_[i].ref, stamped_[i].value);
        stamped_last_[stamped_[i].ref].time_ns = stamped_[i].time_ns;
        stamped_last_[stamped_[i].ref].value = stamped_[i].value;
      }
      section.finish();
      if (!is_named[in])
        named.push_back(in);
      is_named[in] = true;
    }
    emit(round, host, out);
  }
  // A set may have samples of this round without times as well: then it is there already.
  std::sort(out.sets.begin(), out.sets.end());
  const auto before = static_cast<std::ptrdiff_t>(out.sets.size());
  for (const auto in : named)
    if (!std::binary_search(out.sets.begin(), out.sets.begin() + before, sets[in].set))
      out.sets.push_back(sets[in].set);
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
    interner_.shrink_to_fit();
    families_.shrink_to_fit();
    maker_.shrink_to_fit();
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
  return values_.capacity() * 8 + seen_.capacity() * 4 + live_.capacity() * 8
         + stamped_last_.capacity() * sizeof(stamped_last) + interner_.memory_bytes() + maker_.memory_bytes()
         + families_.memory_bytes();
}

} // namespace skerry::edge
