#include "cloud/store/state_table.hpp"

#include <fmt/format.h>

namespace skerry::cloud {

namespace {

std::string_view next_part(std::string_view& text) noexcept {
  const auto end = text.find('/');
  const auto part = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  return part;
}

} // namespace

// "held/<tenant>/<edge>/…" and "shard/<tenant>/<shard>/<edge>/…".
std::optional<edge_id> state_owner(std::string_view key) {
  const auto kind = next_part(key);
  if (kind != "held" && kind != "shard")
    return std::nullopt;
  next_part(key);
  if (kind == "shard")
    next_part(key);
  const auto edge = parse_edge_id(next_part(key));
  return edge && edge.value() != edge_pushed ? std::optional{edge.value()} : std::nullopt;
}

void each_alike(std::span<const state_update> updates,
                const std::function<void(std::span<const state_pair> pairs, bool appends)>& each) {
  std::vector<state_pair> pairs;
  for (std::size_t i = 0; i < updates.size(); ++i) {
    pairs.emplace_back(updates[i].key, updates[i].value);
    if (i + 1 < updates.size() && updates[i + 1].appends == updates[i].appends)
      continue;
    each(pairs, updates[i].appends);
    pairs.clear();
  }
}

void state_table::scan(std::string_view prefix,
                       const std::function<void(std::string_view, std::string_view)>& each) const {
  const std::shared_lock lock{mutex_};
  for (auto it = values_.lower_bound(prefix); it != values_.end() && it->first.starts_with(prefix); ++it)
    each(it->first, it->second);
}

std::vector<state_pair> state_table::all() const { return {values_.begin(), values_.end()}; }

void state_table::clear() {
  const std::unique_lock lock{mutex_};
  values_.clear();
  of_edges_.clear();
  bytes_ = 0;
}

void state_table::apply(std::span<const state_pair> pairs) {
  const std::unique_lock lock{mutex_};
  for (const auto& [key, value] : pairs) {
    auto it = values_.find(key);
    charge(key, it == values_.end() ? 0 : cost(key, it->second), cost(key, value));
    if (value.empty()) {
      if (it != values_.end())
        values_.erase(it);
    } else if (it != values_.end()) {
      it->second.assign(value);
    } else {
      values_.emplace(key, value);
    }
  }
}

void state_table::append(std::span<const state_pair> pairs) {
  const std::unique_lock lock{mutex_};
  for (const auto& [key, value] : pairs) {
    if (value.empty())
      continue;
    auto it = values_.find(key);
    const auto before = it == values_.end() ? 0 : cost(key, it->second);
    if (it == values_.end())
      it = values_.emplace(key, value).first;
    else
      it->second.append(value);
    charge(key, before, cost(key, it->second));
  }
}

void state_table::charge(std::string_view key, std::uint64_t before, std::uint64_t after) {
  bytes_ += after - before;
  const auto owner = state_owner(key);
  if (!owner)
    return;
  auto& of_edge = of_edges_[*owner];
  of_edge += after - before;
  if (of_edge == 0)
    of_edges_.erase(*owner);
}

std::uint64_t state_admission::cost_before(std::string_view key) const {
  if (const auto changed = costs_.find(key); changed != costs_.end())
    return changed->second;
  const auto stored = table_.values_.find(key);
  return stored == table_.values_.end() ? 0 : state_table::cost(key, stored->second);
}

std::uint64_t state_admission::cost_after(const state_update& update) const {
  const auto before = update.appends ? cost_before(update.key) : 0;
  return before != 0 ? before + update.value.size() : state_table::cost(update.key, update.value);
}

result<void> state_admission::admit(std::span<const state_update> updates) {
  std::unordered_map<edge_id, std::int64_t> more;
  std::int64_t all = 0;
  for (const auto& update : updates) {
    const auto grows = static_cast<std::int64_t>(cost_after(update) - cost_before(update.key));
    all += grows;
    if (const auto owner = state_owner(update.key))
      more[*owner] += grows;
  }
  for (const auto& [edge, grows] : more) {
    if (grows <= 0)
      continue;
    const auto stored = table_.of_edges_.find(edge);
    const auto pending = of_edges_.find(edge);
    const auto of_edge =
        static_cast<std::uint64_t>(grows + (pending == of_edges_.end() ? 0 : pending->second))
        + (stored == table_.of_edges_.end() ? 0 : stored->second);
    if (of_edge <= state_edge_bytes_min)
      continue;
    if (of_edge > table_.edge_bytes_max_)
      return fail(
          errc::exhausted,
          fmt::format("what is known of the streams of edge {} would take {} bytes: it has as many holes and "
                      "unfinished epochs as store.state_edge_bytes_max allows",
                      to_string(edge), of_edge));
    if (table_.bytes() + static_cast<std::uint64_t>(all_ + all) > table_.bytes_max_)
      return fail(
          errc::exhausted,
          fmt::format(
              "the store knows as much of streams and hosts as store.state_bytes_max allows, and edge "
              "{} has its part of it",
              to_string(edge)));
  }
  for (const auto& update : updates)
    costs_[update.key] = cost_after(update);
  for (const auto& [edge, grows] : more)
    of_edges_[edge] += grows;
  all_ += all;
  return ok();
}

} // namespace skerry::cloud
