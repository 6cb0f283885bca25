// The registry: origins, and what may be asked.

#include "actors/link/registry_impl.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>

namespace skerry::link {

using namespace detail;

namespace {

invite_info::state state_of(const invite_row& row, std::int64_t now_s) noexcept {
  return row.used                ? invite_info::state::used
         : row.cancelled_s != 0  ? invite_info::state::cancelled
         : row.expiry_s <= now_s ? invite_info::state::expired
                                 : invite_info::state::open;
}

} // namespace

result<void> registry::register_origin(edge_id parent, edge_id origin, std::int64_t now_s) {
  auto refused = register_origins(parent, {origin}, now_s);
  if (refused.empty())
    return ok();
  return std::move(refused.begin()->second);
}

std::map<edge_id, error> registry::register_origins(edge_id parent, const std::vector<edge_id>& origins,
                                                    std::int64_t now_s) {
  std::map<edge_id, error> refused;
  std::vector<edge_id> fresh; // that a transaction must write
  const auto all_of = [&](const std::vector<edge_id>& some, const error& why) {
    for (const auto origin : some)
      refused.insert_or_assign(origin, why);
    return refused;
  };
  {
    auto reading = impl_->reading();
    if (!reading)
      return all_of(origins, reading.error());
    for (const auto origin : origins) {
      if (parent == origin)
        continue;
      edge_row row;
      const auto known = reading.value().get(impl_->edges, big_endian(number(origin)), row);
      if (!known || !known.value() || row.parent != parent || row.revoked_s != 0)
        fresh.push_back(origin);
    }
  }
  if (fresh.empty())
    return refused;
  const auto write = [&]() -> result<void> {
    BOOST_OUTCOME_TRY(txn, impl_->writing());
    edge_row through;
    BOOST_OUTCOME_TRY(parent_known, txn.get(impl_->edges, big_endian(number(parent)), through));
    if (!parent_known)
      return no_such_edge(parent);
    if (through.revoked_s != 0 || through.parent != edge_id::none)
      return fail(errc::forbidden, fmt::format("edge {} is revoked or has no key, and can't speak for others",
                                               to_string(parent)));
    bool changed = false;
    for (const auto origin : fresh) {
      const auto done = impl_->put_origin(txn, parent, through, origin, now_s);
      if (!done)
        refused.emplace(origin, done.error());
      changed = changed || done;
    }
    if (!changed)
      return ok();
    BOOST_OUTCOME_TRYV(txn.put(impl_->edges, big_endian(number(parent)), through));
    return txn.commit();
  };
  if (const auto written = write(); !written)
    return all_of(fresh, written.error());
  return refused;
}

// The caller writes `through`, the parent's row.
result<void> registry::impl::put_origin(transaction& txn, edge_id parent, edge_row& through, edge_id origin,
                                        std::int64_t now_s) {
  if (origin == edge_id::none)
    return fail(errc::invalid_argument, "registry: an origin needs an id");
  edge_row row;
  BOOST_OUTCOME_TRY(known, txn.get(edges, big_endian(number(origin)), row));
  if (known && row.revoked_s != 0)
    return fail(errc::forbidden, fmt::format("edge {} was revoked", to_string(origin)));
  if (known && row.parent == parent)
    return ok();
  if (known && row.parent == edge_id::none)
    return fail(errc::forbidden, fmt::format("edge {} has a key of its own: {} can't speak for it",
                                             to_string(origin), to_string(parent)));
  if (known) {
    edge_row before;
    BOOST_OUTCOME_TRY(exists, txn.get(edges, big_endian(number(row.parent)), before));
    if (exists && before.revoked_s == 0)
      return fail(errc::conflict, fmt::format("edge {} speaks through {}, not through {}", to_string(origin),
                                              to_string(row.parent), to_string(parent)));
  } else {
    BOOST_OUTCOME_TRY(count, txn.count(edges));
    if (count >= edges_max)
      return fail(errc::exhausted, fmt::format("registry: there are {} edges, and no more are taken", count));
    row.created_s = now_s;
  }
  if (through.origins >= origins_of_parent_max)
    return fail(errc::exhausted, fmt::format("edge {} speaks for {} others, and no more are taken",
                                             to_string(parent), through.origins));
  if (known) {
    BOOST_OUTCOME_TRYV(leave_parent(txn, row));
  }
  row.site = through.site;
  row.parent = parent;
  ++through.origins;
  return txn.put(edges, big_endian(number(origin)), row);
}

bool registry::may_speak(edge_id user, edge_id origin) const noexcept {
  const auto ask = [&]() -> result<bool> {
    BOOST_OUTCOME_TRY(txn, impl_->reading());
    edge_row speaker;
    BOOST_OUTCOME_TRY(known, txn.get(impl_->edges, big_endian(number(user)), speaker));
    if (!known || speaker.revoked_s != 0 || speaker.parent != edge_id::none)
      return false;
    if (user == origin)
      return true;
    edge_row row;
    BOOST_OUTCOME_TRY(exists, txn.get(impl_->edges, big_endian(number(origin)), row));
    return exists && row.parent == user && row.revoked_s == 0;
  };
  const auto answer = ask();
  if (!answer)
    spdlog::error("{}", answer.error().message);
  return answer && answer.value();
}

result<std::string> registry::site_of(edge_id edge) const {
  BOOST_OUTCOME_TRY(txn, impl_->reading());
  edge_row row;
  BOOST_OUTCOME_TRY(known, txn.get(impl_->edges, big_endian(number(edge)), row));
  if (!known)
    return no_such_edge(edge);
  return row.site;
}

result<std::vector<edge_info>> registry::list_edges() const {
  BOOST_OUTCOME_TRY(txn, impl_->reading());
  std::map<std::uint64_t, edge_info> all;
  BOOST_OUTCOME_TRYV(txn.for_each(impl_->edges, [&](bytes_view key, bytes_view value) -> result<void> {
    edge_row row;
    BOOST_OUTCOME_TRYV(decode(key, value, row));
    const auto id = from_big_endian(key);
    all[id] = {edge_id{id}, row.site, {}, row.created_s, row.joined_s, row.revoked_s, row.parent};
    return ok();
  }));
  BOOST_OUTCOME_TRYV(txn.for_each(impl_->keys, [&](bytes_view key, bytes_view value) -> result<void> {
    key_row row;
    BOOST_OUTCOME_TRYV(decode(key, value, row));
    const auto owner = all.find(row.id);
    edge_info::key out{{}, row.created_s, row.revoked_s};
    if (row.what != key_row::role::edge || owner == all.end() || key.size() != out.public_key.bytes.size())
      return ok();
    std::memcpy(out.public_key.bytes.data(), key.data(), key.size());
    owner->second.keys.push_back(out);
    return ok();
  }));
  std::vector<edge_info> out;
  out.reserve(all.size());
  for (auto& [id, info] : all)
    out.push_back(std::move(info));
  return out;
}

result<edge_info> registry::find(edge_id edge) const {
  BOOST_OUTCOME_TRY(all, list_edges());
  const auto it = std::find_if(all.begin(), all.end(), [&](const auto& info) { return info.edge == edge; });
  if (it == all.end())
    return no_such_edge(edge);
  return std::move(*it);
}

result<edge_id> registry::edge_of(const curve_key& key) const {
  BOOST_OUTCOME_TRY(txn, impl_->reading());
  key_row row;
  BOOST_OUTCOME_TRY(known, txn.get(impl_->keys, view(key), row));
  if (!known || row.what != key_row::role::edge || row.revoked_s != 0)
    return fail(errc::not_found, "registry: no edge has this key");
  return edge_id{row.id};
}

result<std::vector<invite_info>> registry::list_invites(std::int64_t now_s) const {
  BOOST_OUTCOME_TRY(txn, impl_->reading());
  std::vector<invite_info> out;
  BOOST_OUTCOME_TRYV(txn.for_each(impl_->invites, [&](bytes_view key, bytes_view value) -> result<void> {
    invite_row row;
    BOOST_OUTCOME_TRYV(decode(key, value, row));
    out.push_back({invite_id{from_big_endian(key)}, row.site, row.rejoins, row.created_s, row.expiry_s,
                   state_of(row, now_s), row.joined});
    return ok();
  }));
  return out;
}

} // namespace skerry::link
