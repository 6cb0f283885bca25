#include "actors/delivery/holdings.hpp"

#include <algorithm>
#include <array>

namespace skerry::delivery {

namespace {

// The first key that an edge may have in a map by stream.
stream_key first_of(edge_id edge) { return {edge, {}, stream_id{0}}; }

} // namespace

void holdings::restore(const stream_key& key, held_stream held) {
  auto& newest = newest_[key.edge];
  if (newest.boot_counter <= key.epoch.boot_counter)
    newest = key.epoch;
  streams_[key] = {held.ranges, held.ranges, {}};
  note_newest(key, held.newest_ns);
}

range_set holdings::lacking(const stream_key& key, sequence_range range) const {
  range_set missing;
  missing.add(range);
  if (const auto it = streams_.find(key); it != streams_.end())
    for (const auto* have : {&it->second.stored, &it->second.under_way})
      missing.remove(have->common_with(range));
  return missing;
}

void holdings::begin(const stream_key& key, const range_set& ranges) { streams_[key].under_way.add(ranges); }

void holdings::end(const stream_key& key, const range_set& ranges,
                   std::optional<std::int64_t> stored_newest_ns) {
  auto& entry = streams_[key];
  entry.under_way.remove(ranges);
  if (stored_newest_ns) {
    entry.stored.add(ranges);
    note_newest(key, *stored_newest_ns);
  } else if (entry.stored.empty() && entry.under_way.empty()) {
    erase(key);
  }
}

void holdings::settle(const stream_key& key, const range_set& ranges) { streams_[key].held.add(ranges); }

const range_set* holdings::held(const stream_key& key) const {
  const auto it = streams_.find(key);
  return it == streams_.end() || it->second.held.empty() ? nullptr : &it->second.held;
}

const range_set* holdings::stored(const stream_key& key) const {
  const auto it = streams_.find(key);
  return it == streams_.end() || it->second.stored.empty() ? nullptr : &it->second.stored;
}

std::size_t holdings::range_count(const stream_key& key) const {
  const auto it = streams_.find(key);
  return it == streams_.end() ? 0 : it->second.stored.ranges().size() + it->second.under_way.ranges().size();
}

bool holdings::touches(const stream_key& key, sequence_range range) const {
  const auto it = streams_.find(key);
  if (it == streams_.end())
    return false;
  const auto joins = [&](const range_set& of) {
    const auto next = of.next(range.first > 1 ? range.first - 1 : 1);
    return next != 0 && next <= range.last + 1;
  };
  return joins(it->second.stored) || joins(it->second.under_way);
}

sequence holdings::reach(const stream_key& key) const {
  const auto it = streams_.find(key);
  return it == streams_.end() ? 0 : std::max(it->second.stored.highest(), it->second.under_way.highest());
}

std::int64_t holdings::newest_ns(const stream_key& key) const {
  const auto after = newest_ns_.upper_bound(in_order(key));
  if (after == newest_ns_.begin())
    return 0;
  const auto& [of, ns] = *std::prev(after);
  return std::get<0>(of) == key.edge && std::get<1>(of) == key.stream ? ns : 0;
}

void holdings::note_newest(const stream_key& key, std::int64_t ns) {
  if (ns <= 0)
    return;
  auto& newest = newest_ns_[in_order(key)];
  newest = std::max(newest, ns);
}

void holdings::erase(const stream_key& key) {
  streams_.erase(key);
  newest_ns_.erase(in_order(key));
}

void holdings::announce(const link::origin_state& epochs) {
  for (auto it = announced_.lower_bound(first_of(epochs.edge));
       it != announced_.end() && it->first.edge == epochs.edge;)
    it = announced_.erase(it);
  greeted_[epochs.edge] = epochs.current;
  for (const auto& [key, last] : epochs.closed)
    if (key.edge == epochs.edge)
      announced_[key] = last;
}

std::uint64_t holdings::first_incomplete(edge_id edge, stream_id stream) const {
  const auto greeted = greeted_.find(edge);
  if (greeted == greeted_.end())
    return 0;
  for (auto it = announced_.lower_bound(first_of(edge)); it != announced_.end() && it->first.edge == edge;
       ++it)
    if (it->first.stream == stream && it->second != 0) {
      const auto* all = held(it->first);
      if (all == nullptr || all->contiguous_through() < it->second)
        return it->first.epoch.boot_counter;
    }
  return greeted->second.boot_counter;
}

bool holdings::complete(const stream_key& key) const {
  const auto hello = greeted_.find(key.edge);
  const auto it = streams_.find(key);
  if (it == streams_.end() || hello == greeted_.end() || hello->second == key.epoch
      || !it->second.under_way.empty() || it->second.held != it->second.stored)
    return false;
  const auto end = announced_.find(key);
  return end == announced_.end() || it->second.held.contiguous_through() >= end->second;
}

sequence holdings::announced_end(const stream_key& key) const {
  const auto it = announced_.find(key);
  return it == announced_.end() ? 0 : it->second;
}

bool holdings::disowned(const stream_key& key) const {
  const auto hello = greeted_.find(key.edge);
  return hello != greeted_.end() && hello->second != key.epoch && !announced_.contains(key);
}

bool holdings::may_go(const stream_key& key) const {
  if (planted(planted_, planted_fault::epoch_forgotten_while_named))
    return complete(key);
  const auto name = names_.lower_bound({key, edge_id{}});
  return complete(key) && !announced_.contains(key) && (name == names_.end() || name->first != key);
}

std::vector<stream_key> holdings::forget_surplus(edge_id edge) {
  std::array<std::size_t, 256> count{}; // by stream
  std::vector<stream_key> out;
  for (auto it = streams_.lower_bound(first_of(edge)); it != streams_.end() && it->first.edge == edge; ++it)
    if (may_go(it->first)) {
      ++count[static_cast<std::size_t>(it->first.stream)];
      out.push_back(it->first);
    }
  std::erase_if(out, [&](const stream_key& key) {
    auto& of_stream = count[static_cast<std::size_t>(key.stream)];
    const bool stays = of_stream <= epochs_max_; // the newest do
    of_stream -= stays ? 0 : 1;
    return stays;
  });
  for (const auto& key : out)
    erase(key);
  return out;
}

void holdings::named(edge_id sender, const stream_key& key) { names_.emplace(key, sender); }

bool holdings::came(edge_id sender, const stream_key& key) {
  if (names_.contains({key, sender}))
    return true;
  auto& others = since_hello_[sender];
  if (others >= epochs_max_)
    return false;
  ++others;
  names_.emplace(key, sender);
  return true;
}

std::set<edge_id> holdings::forget_names(edge_id sender) {
  std::set<edge_id> edges;
  since_hello_.erase(sender);
  if (!planted(planted_, planted_fault::names_never_let_go))
    std::erase_if(names_, [&](const auto& name) {
      if (name.second == sender)
        edges.insert(name.first.edge);
      return name.second == sender;
    });
  return edges;
}

std::size_t holdings::ranges_most() const noexcept {
  std::size_t most = 0;
  for (const auto& [key, entry] : streams_)
    most = std::max({most, entry.held.ranges().size(), entry.stored.ranges().size()});
  return most;
}

std::size_t holdings::surplus_most() const {
  std::map<std::pair<edge_id, stream_id>, std::size_t> count;
  std::size_t most = 0;
  for (const auto& [key, entry] : streams_)
    if (may_go(key))
      most = std::max(most, ++count[{key.edge, key.stream}]);
  return most;
}

std::size_t holdings::epochs(edge_id edge, stream_id stream) const {
  std::size_t count = 0;
  for (auto it = streams_.lower_bound(first_of(edge)); it != streams_.end() && it->first.edge == edge; ++it)
    count += it->first.stream == stream ? 1 : 0;
  return count;
}

} // namespace skerry::delivery
