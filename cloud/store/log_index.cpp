#include "cloud/store/log_index.hpp"

#include <algorithm>
#include <xxhash.h>

namespace skerry::cloud {

namespace {

constexpr std::size_t node_bytes = 64; // of a table, with what the allocator adds

} // namespace

head_source* log_index::source_of(tenant_id tenant, std::string_view site, std::string_view host,
                                  edge_id edge, const frame& sections,
                                  const std::unordered_map<set_key, log_set, set_key_hash>* pending) {
  auto hash = static_cast<std::uint64_t>(edge) + tenant;
  hash = XXH3_64bits_withSeed(site.data(), site.size(), hash);
  hash = XXH3_64bits_withSeed(host.data(), host.size(), hash);
  for (const auto& section : sections.sections)
    hash = XXH3_64bits_withSeed(section.set.bytes.data(), section.set.bytes.size(), hash);
  const auto [from, to] = by_hash_.equal_range(hash);
  for (auto it = from; it != to; ++it) {
    auto& s = *it->second;
    if (s.edge == edge && s.tenant == tenant && s.site == site && s.host == host
        && std::equal(s.sets.begin(), s.sets.end(), sections.sections.begin(), sections.sections.end(),
                      [](const auto& set, const auto& section) { return set->hash() == section.set; }))
      return &s;
  }
  auto made = std::make_unique<head_source>();
  for (const auto& section : sections.sections) {
    const set_key key{edge, section.set};
    const log_set* found = nullptr;
    if (const auto it = sets.find(key); it != sets.end())
      found = &it->second;
    else if (pending != nullptr) {
      if (const auto waiting = pending->find(key); waiting != pending->end())
        found = &waiting->second;
    }
    if (found == nullptr || found->compact->count() != section.series_count)
      return nullptr;
    made->sets.push_back(found->compact);
    made->bases.push_back(made->width);
    made->width += static_cast<std::uint32_t>(found->compact->count());
  }
  made->tenant = tenant;
  made->site = site;
  made->host = host;
  made->edge = edge;
  const auto number = static_cast<std::uint32_t>(sources_.size());
  sources_.push_back(std::move(made));
  auto* source = sources_.back().get();
  by_hash_.emplace(hash, source);
  for (std::uint32_t section = 0; section < source->sets.size(); ++section) {
    const auto* set = source->sets[section].get();
    auto& places = places_[set];
    if (places.empty()) {
      source_bytes += node_bytes;
      set->each_metric([&](symbol metric) {
        by_metric_[metric].push_back(set);
        source_bytes += node_bytes;
      });
    }
    places.push_back({number, section});
  }
  source_bytes +=
      sizeof *source + 2 * node_bytes + source->site.capacity() + source->host.capacity()
      + source->sets.size() * (sizeof source->sets[0] + sizeof source->bases[0] + 2 * sizeof(set_place));
  return source;
}

void log_index::add_set(const set_key& key, log_set set) {
  const auto [it, fresh] = sets.emplace(key, std::move(set));
  if (fresh)
    set_bytes +=
        sizeof *it + node_bytes + it->second.compact->memory_bytes() + it->second.compact->text_bytes();
}

std::vector<set_place> log_index::having(symbol metric) const {
  std::vector<set_place> found;
  const auto sets = by_metric_.find(metric);
  if (sets == by_metric_.end())
    return found;
  for (const auto* set : sets->second) {
    const auto& places = places_.at(set);
    found.insert(found.end(), places.begin(), places.end());
  }
  if (!std::is_sorted(found.begin(), found.end())) // mostly a set came with its first source
    std::sort(found.begin(), found.end());
  return found;
}

void log_index::add(head_source& to, const frame_ref& ref) {
  to.ascending = to.ascending && (to.frames.empty() || ref.time_ns >= to.time_max);
  to.time_min = std::min(to.time_min, ref.time_ns);
  to.time_max = std::max(to.time_max, ref.time_ns);
  to.frames.push_back(ref);
  time_min = std::min(time_min, ref.time_ns);
  time_max = std::max(time_max, ref.time_ns);
  ++frames;
}

} // namespace skerry::cloud
