#include "actors/delivery/set_asides.hpp"

#include <algorithm>
#include <array>
#include <set>

namespace skerry::delivery {

namespace {

using link::refusal_reason;
using link::refusal_scope;

// All that a record of this stream may be set aside with.
std::array<set_asides::name, 4> names_of(const stream_key& key) {
  return {{{refusal_scope::batch, key},
           {refusal_scope::stream, key},
           {refusal_scope::edge, {key.edge, {}, stream_id{0}}},
           {refusal_scope::everything, {edge_id::none, {}, stream_id{0}}}}};
}

bool overlap(const set_asides::entry& of, const stream_key& key, sequence_range range) {
  return of.probe && of.probe->first == key && of.probe->second.first <= range.last
         && range.first <= of.probe->second.last;
}

} // namespace

set_asides::name set_asides::name_of(const link::refusal& refusal) {
  return names_of(refusal.key)[static_cast<std::size_t>(refusal.scope)];
}

set_asides::entry& set_asides::make(const name& of, refusal_reason reason, std::string message) {
  const bool soon = reason == refusal_reason::not_now;
  const auto [it, added] = entries_.try_emplace(
      of,
      entry{reason,
            std::move(message),
            clock_.wall_ns(),
            {soon ? config_.soon_min : config_.rare_min, soon ? config_.soon_max : config_.rare_max, random_},
            0,
            {},
            {},
            1,
            {}});
  wait(it->second);
  return it->second;
}

bool set_asides::add(const link::refusal& refusal) {
  // A probe may be refused for another reason, or with more, than what it was sent for.
  for (const auto& name : names_of(refusal.key)) {
    const auto it = entries_.find(name);
    if (it == entries_.end() || !overlap(it->second, refusal.key, refusal.batch))
      continue;
    auto& probed = it->second;
    probed.probe.reset();
    if (name.first == refusal_scope::batch)
      probed.alone.add(refusal.batch);
    probed.cursor = refusal.batch.last + 1;
    // Of some records each is tried alone, so that those go on that are not to blame.
    if (name.first == refusal_scope::batch && probed.ranges.next(probed.cursor) != 0) {
      probed.due_ns = clock_.monotonic_ns();
    } else {
      probed.cursor = 1;
      wait(probed);
    }
  }
  auto name = name_of(refusal);
  if (refusal.scope == refusal_scope::batch) {
    const auto known = entries_.find(name);
    if (known != entries_.end() && known->second.ranges.ranges().size() >= config_.ranges_max) {
      entries_.erase(known);
      name = names_of(refusal.key)[1];
    }
  }
  auto it = entries_.find(name);
  const bool added = it == entries_.end();
  if (!added && it->second.reason != refusal.reason) { // another wait belongs to it
    const auto since = it->second.since_wall_ns;
    auto ranges = std::move(it->second.ranges);
    auto alone = std::move(it->second.alone);
    entries_.erase(it);
    auto& again = make(name, refusal.reason, refusal.message);
    again.since_wall_ns = since;
    again.ranges = std::move(ranges);
    again.alone = std::move(alone);
  } else if (added) {
    make(name, refusal.reason, refusal.message);
  }
  auto& now = entries_.at(name);
  now.message = refusal.message;
  if (name.first == refusal_scope::batch && refusal.batch.first != 0)
    now.ranges.add(refusal.batch);
  return added;
}

std::vector<edge_id> set_asides::only_these_edges(const std::vector<edge_id>& refused) {
  const std::set<edge_id> still{refused.begin(), refused.end()};
  std::erase_if(entries_, [&](const auto& one) {
    return one.first.first == refusal_scope::edge && one.second.reason == refusal_reason::forbidden
           && !still.contains(one.first.second.edge);
  });
  std::vector<edge_id> added;
  for (const auto edge : refused) {
    link::refusal refusal;
    refusal.key = {edge, {}, stream_id{0}};
    refusal.scope = refusal_scope::edge;
    refusal.reason = refusal_reason::forbidden;
    refusal.message = "this key may not speak for edge " + to_string(edge);
    if (!entries_.contains(name_of(refusal))) {
      add(refusal);
      added.push_back(edge);
    }
  }
  return added;
}

std::vector<std::pair<set_asides::name, set_asides::entry>> set_asides::on_acked(const stream_key& key,
                                                                                 const range_set& ranges) {
  std::vector<std::pair<name, entry>> out;
  if (entries_.empty())
    return out;
  for (const auto& name : names_of(key)) {
    const auto it = entries_.find(name);
    if (it == entries_.end())
      continue;
    auto& of = it->second;
    of.ranges.remove(ranges);
    of.alone.remove(ranges);
    const auto& all = ranges.ranges();
    const bool probed =
        std::any_of(all.begin(), all.end(), [&](const auto& range) { return overlap(of, key, range); });
    if (name.first == refusal_scope::batch ? of.ranges.empty() : probed) {
      out.emplace_back(*it);
      entries_.erase(it);
    } else if (probed) { // the next record
      of.probe.reset();
      of.due_ns = clock_.monotonic_ns();
    }
  }
  return out;
}

void set_asides::on_unanswered(const stream_key& key, sequence_range range) {
  for (const auto& name : names_of(key))
    if (const auto it = entries_.find(name); it != entries_.end() && overlap(it->second, key, range)) {
      it->second.probe.reset();
      wait(it->second);
    }
}

void set_asides::on_session_over() {
  for (auto& [name, of] : entries_)
    of.probe.reset();
}

bool set_asides::blocks(const stream_key& key) const {
  if (entries_.empty())
    return false;
  const auto names = names_of(key);
  return std::any_of(names.begin() + 1, names.end(),
                     [&](const auto& name) { return entries_.contains(name); });
}

refused_records set_asides::for_good() const {
  refused_records out;
  for (const auto& [name, of] : entries_) {
    if (of.reason == refusal_reason::not_now)
      continue;
    if (name.first == refusal_scope::edge)
      out.edges.insert(name.second.edge);
    else if (name.first == refusal_scope::batch && !of.alone.empty())
      out.records[name.second] = of.alone;
  }
  return out;
}

bool set_asides::within_another(const name& of) const {
  const auto wider = names_of(of.second);
  return std::any_of(wider.begin() + static_cast<std::ptrdiff_t>(of.first) + 1, wider.end(),
                     [&](const name& one) {
                       const auto it = entries_.find(one);
                       return it != entries_.end() && it->second.reason != refusal_reason::not_now;
                     });
}

const range_set* set_asides::ranges(const stream_key& key) const {
  const auto it = entries_.find({refusal_scope::batch, key});
  return it == entries_.end() ? nullptr : &it->second.ranges;
}

} // namespace skerry::delivery
