// The registry: invites, joining, admitting, revoking.

#include "actors/base/files.hpp"
#include "actors/base/lmdb_lock.hpp"
#include "actors/base/page_check.hpp"
#include "actors/link/limits.hpp"
#include "actors/link/registry_impl.hpp"
#include "actors/link/text.hpp"
#include "schemas/time.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace skerry::link {

using namespace detail;

namespace {

constexpr std::uint32_t format_version = 1;
constexpr std::string_view format_key = "format";
constexpr mode_t file_mode = 0600;
constexpr std::int64_t purge_interval_s = 3600;

auto not_for(invite_id id, edge_id already, edge_id wanted) {
  return fail(
      errc::conflict,
      fmt::format(
          "this data directory belongs to edge {0} already, and invite {1} is for {2}: ask for a token "
          "made with `skerry invite --edge {0}`, or join with an empty data directory",
          to_string(already), to_string(id),
          wanted == edge_id::none ? "a new edge" : "edge " + to_string(wanted)));
}

auto key_is_known(invite_id id, const key_row& row) {
  if (row.what != key_row::role::edge)
    return fail(errc::conflict,
                fmt::format("the key that invite {} is used with is an invite's own; join with a new one",
                            to_string(id)));
  if (row.revoked_s != 0)
    return fail(errc::conflict,
                fmt::format("the key that invite {} is used with was revoked: move link.key away, and "
                            "join again with the same token",
                            to_string(id)));
  return fail(
      errc::conflict,
      fmt::format(
          "the key that invite {0} is used with belongs to edge {1} already: ask for a token made with "
          "`skerry invite --edge {1}`, or join with an empty data directory",
          to_string(id), to_string(edge_id{row.id})));
}

} // namespace

result<void> registry::impl::open(const std::filesystem::path& directory) {
  std::error_code code;
  std::filesystem::create_directory(directory, code);
  if (code)
    return fail(code == std::errc::no_space_on_device ? errc::exhausted : errc::io,
                fmt::format("registry: can't make {}: {}", directory.string(), code.message()));
  BOOST_OUTCOME_TRYV(close_to_others(directory));
  // One that a full disk or the power cut short as it was made: nothing was ever in it.
  if (never_committed(directory / "data.mdb"))
    std::filesystem::remove(directory / "data.mdb", code);
  // LMDB follows whatever its pages say: it gets only a file that was checked.
  BOOST_OUTCOME_TRYV(check_file(directory / "data.mdb"));
  const auto failed = [&](int rc) {
    auto e = lmdb_error(rc, "open");
    return fail(e.code, fmt::format("{} ({})", e.message, directory.string()));
  };
  int rc = mdb_env_create(&env);
  if (rc == MDB_SUCCESS)
    rc = mdb_env_set_mapsize(env, registry_bytes_max);
  if (rc == MDB_SUCCESS)
    rc = mdb_env_set_maxdbs(env, 8);
  BOOST_OUTCOME_TRYV(allocate_lmdb_lock(directory, lmdb_readers_default));
  if (rc == MDB_SUCCESS)
    rc = mdb_env_open(env, directory.c_str(), MDB_NOTLS, file_mode);
  if (rc != MDB_SUCCESS)
    return failed(rc);
  int dead = 0;
  (void)mdb_reader_check(env, &dead);
  BOOST_OUTCOME_TRY(txn, writing());
  for (const auto& [name, table] :
       {std::pair{"meta", &meta}, {"edges", &edges}, {"keys", &keys}, {"invites", &invites}})
    if (rc = mdb_dbi_open(txn.get(), name, MDB_CREATE, table); rc != MDB_SUCCESS)
      return failed(rc);
  BOOST_OUTCOME_TRY(found, txn.find(meta, as_bytes(format_key)));
  if (!found) {
    byte_buffer value;
    byte_writer{value}.fixed(format_version);
    append_check(as_bytes(format_key), value);
    BOOST_OUTCOME_TRYV(txn.put_bytes(meta, as_bytes(format_key), value));
  }
  return txn.commit();
}

// Pages, and every row. A newer format may have other rows and tables: that is said, and not that it is damaged.
result<void> registry::impl::check_file(const std::filesystem::path& file) {
  std::uint32_t format = format_version;
  bool readable = true;
  page_check_options options;
  options.each = [&](std::string_view table, bytes_view key, bytes_view value) {
    if (table == "meta" && as_text(key) == format_key) {
      byte_reader reader{value};
      format = reader.fixed<std::uint32_t>();
      return !reader.failed() && format != 0 && check_holds(key, value);
    }
    readable = readable && (table == "meta" || decode_any(table, key, value));
    return true;
  };
  const auto checked = check_pages(file, options);
  if (checked && format > format_version)
    return fail(
        errc::unsupported_version,
        fmt::format("registry: {} has format {} and this build knows {}; run the newer version of Skerry",
                    file.string(), format, format_version));
  if (checked && readable)
    return ok();
  if (!checked && checked.error().code != errc::corrupt)
    return checked;
  return fail(
      errc::corrupt,
      fmt::format("registry: {}; restore the registry from a backup, or move it away and let edges join "
                  "again",
                  checked ? fmt::format("{} is damaged: a row does not decode", file.string())
                          : checked.error().message));
}

// The time that is sure to have passed, of what the wall clock says.
result<std::int64_t> registry::impl::believed_s(const transaction& txn, std::int64_t now_s) {
  if (!age) {
    auto oldest_s = now_s;
    BOOST_OUTCOME_TRYV(txn.for_each(invites, [&](bytes_view key, bytes_view value) -> result<void> {
      invite_row row;
      BOOST_OUTCOME_TRYV(decode(key, value, row));
      oldest_s = std::min(oldest_s, row.created_s);
      return ok();
    }));
    age.emplace(invite_jump_wait, oldest_s * ns_per_s);
  }
  return age->now_ns(now_s * ns_per_s, clock->monotonic_ns()) / ns_per_s;
}

// Expired invites are listed for a while, then forgotten together with their one-time keys.
result<void> registry::impl::purge(transaction& txn, std::int64_t now_s) {
  std::vector<std::pair<std::uint64_t, curve_key>> old;
  BOOST_OUTCOME_TRYV(txn.for_each(invites, [&](bytes_view key, bytes_view value) -> result<void> {
    invite_row row;
    BOOST_OUTCOME_TRYV(decode(key, value, row));
    if (row.expiry_s + invite_kept_s <= now_s)
      old.emplace_back(from_big_endian(key), row.one_time);
    return ok();
  }));
  for (const auto& [id, one_time] : old) {
    BOOST_OUTCOME_TRYV(txn.erase(invites, big_endian(id)));
    BOOST_OUTCOME_TRYV(txn.erase(keys, view(one_time)));
  }
  return ok();
}

result<void> registry::impl::revoke_keys(transaction& txn, edge_id edge, std::int64_t now_s) {
  std::vector<std::pair<byte_buffer, key_row>> changed;
  BOOST_OUTCOME_TRYV(txn.for_each(keys, [&](bytes_view key, bytes_view value) -> result<void> {
    key_row row;
    BOOST_OUTCOME_TRYV(decode(key, value, row));
    if (row.what == key_row::role::edge && row.id == number(edge) && row.revoked_s == 0) {
      row.revoked_s = now_s;
      changed.emplace_back(byte_buffer{key.begin(), key.end()}, row);
    }
    return ok();
  }));
  for (const auto& [key, row] : changed) {
    BOOST_OUTCOME_TRYV(txn.put(keys, key, row));
  }
  return ok();
}

// The caller writes `row`.
result<void> registry::impl::leave_parent(transaction& txn, edge_row& row) {
  if (row.parent == edge_id::none)
    return ok();
  edge_row parent;
  BOOST_OUTCOME_TRY(known, txn.get(edges, big_endian(number(row.parent)), parent));
  if (known && parent.origins > 0) {
    --parent.origins;
    BOOST_OUTCOME_TRYV(txn.put(edges, big_endian(number(row.parent)), parent));
  }
  row.parent = edge_id::none;
  return ok();
}

result<admission> registry::impl::admit(const curve_key& key, std::int64_t now_s) {
  const auto refuse = [](const char* why) {
    return admission{.admitted = false, .user_id = {}, .reason = why};
  };
  const auto let_in = [](std::string user) {
    return admission{.admitted = true, .user_id = std::move(user)};
  };
  bool first_time = false;
  edge_id edge = edge_id::none;
  {
    BOOST_OUTCOME_TRY(txn, reading());
    key_row row;
    BOOST_OUTCOME_TRY(known, txn.get(keys, view(key), row));
    if (!known)
      return refuse("unknown");
    if (row.what == key_row::role::invite) {
      invite_row invite;
      BOOST_OUTCOME_TRY(exists, txn.get(invites, big_endian(row.id), invite));
      if (!exists)
        return refuse("unknown");
      if (invite.cancelled_s != 0 || row.revoked_s != 0)
        return refuse("cancelled");
      if (invite.closed)
        return refuse("used");
      if (invite.expiry_s <= now_s)
        return refuse("expired");
      return let_in(user_id_of(invite_id{row.id}));
    }
    edge_row owner;
    BOOST_OUTCOME_TRY(exists, txn.get(edges, big_endian(row.id), owner));
    if (!exists)
      return refuse("unknown");
    if (row.revoked_s != 0 || owner.revoked_s != 0)
      return refuse("revoked");
    edge = edge_id{row.id};
    first_time = !row.seen;
  }
  if (first_time)
    close_invite(key);
  return let_in(user_id_of(edge));
}

// The answer to Join arrived, as the key is in use: nobody needs the one-time key any more. Where this can't
// be written, the one-time key stays good for the same key until it expires: no reason to keep the edge out.
void registry::impl::close_invite(const curve_key& key) noexcept {
  const auto close = [&]() -> result<void> {
    BOOST_OUTCOME_TRY(txn, writing());
    key_row row;
    BOOST_OUTCOME_TRY(known, txn.get(keys, view(key), row));
    if (!known || row.seen)
      return ok();
    row.seen = true;
    BOOST_OUTCOME_TRYV(txn.put(keys, view(key), row));
    invite_row invite;
    BOOST_OUTCOME_TRY(exists, txn.get(invites, big_endian(row.invite), invite));
    if (exists) {
      invite.closed = true;
      BOOST_OUTCOME_TRYV(txn.put(invites, big_endian(row.invite), invite));
    }
    return txn.commit();
  };
  if (const auto closed = close(); !closed)
    spdlog::warn("{}", closed.error().message);
}

registry::registry(std::unique_ptr<impl> with) : impl_(std::move(with)) {}
registry::~registry() = default;

result<std::unique_ptr<registry>> registry::open(const std::filesystem::path& directory,
                                                 const clock_source& clock) {
  auto with = std::make_unique<impl>();
  with->clock = &clock;
  BOOST_OUTCOME_TRYV(with->open(directory));
  return std::unique_ptr<registry>{new registry{std::move(with)}};
}

result<invite> registry::create_invite(std::string site, std::int64_t ttl_s, std::int64_t now_s,
                                       random_source& random, edge_id rejoins) {
  if (ttl_s <= 0 || ttl_s > invite_ttl_max_s)
    return fail(errc::invalid_argument, fmt::format("an invite can be good for 1 s to {} days, not {} s",
                                                    invite_ttl_max_s / 86'400, ttl_s));
  BOOST_OUTCOME_TRY(txn, impl_->writing());
  if (rejoins != edge_id::none) {
    edge_row edge;
    BOOST_OUTCOME_TRY(known, txn.get(impl_->edges, big_endian(number(rejoins)), edge));
    if (!known)
      return no_such_edge(rejoins);
    if (site.empty())
      site = edge.site;
    if (site != edge.site)
      return fail(errc::invalid_argument,
                  fmt::format("edge {} belongs to site '{}', not to '{}'", to_string(rejoins), edge.site,
                              clip_text(site, name_bytes_max)));
  }
  if (site.empty() || site.size() > name_bytes_max || !is_clean_text(site))
    return fail(
        errc::invalid_argument,
        fmt::format("a site's name has 1 to {} bytes of UTF-8 without control characters", name_bytes_max));
  BOOST_OUTCOME_TRY(count, txn.count(impl_->invites));
  BOOST_OUTCOME_TRY(believed_s, impl_->believed_s(txn, now_s));
  if (count >= invites_max || believed_s - impl_->purged_s >= purge_interval_s) {
    BOOST_OUTCOME_TRYV(impl_->purge(txn, believed_s));
    impl_->purged_s = believed_s;
    BOOST_OUTCOME_TRY(left, txn.count(impl_->invites));
    if (left >= invites_max)
      return fail(errc::exhausted,
                  fmt::format("there are {} invites already; wait until some have expired", left));
  }
  invite out{invite_id{random.next()}, std::move(site), make_keypair(), now_s + ttl_s};
  const auto id = big_endian(number(out.id));
  invite_row row;
  BOOST_OUTCOME_TRY(taken, txn.get(impl_->invites, id, row));
  if (taken)
    return fail(errc::already_exists, "an invite with this id exists; try again");
  row = {};
  row.site = out.site;
  row.rejoins = rejoins;
  row.one_time = out.one_time.public_key;
  row.created_s = now_s;
  row.expiry_s = out.expiry_s;
  BOOST_OUTCOME_TRYV(txn.put(impl_->invites, id, row));
  key_row key;
  key.what = key_row::role::invite;
  key.id = number(out.id);
  key.created_s = now_s;
  BOOST_OUTCOME_TRYV(txn.put(impl_->keys, view(out.one_time.public_key), key));
  BOOST_OUTCOME_TRYV(txn.commit());
  return out;
}

result<void> registry::cancel_invite(invite_id id, std::int64_t now_s) {
  BOOST_OUTCOME_TRY(txn, impl_->writing());
  invite_row row;
  BOOST_OUTCOME_TRY(known, txn.get(impl_->invites, big_endian(number(id)), row));
  if (!known)
    return fail(errc::not_found, fmt::format("registry: there is no invite {}", to_string(id)));
  if (row.cancelled_s == 0) {
    row.cancelled_s = now_s;
    BOOST_OUTCOME_TRYV(txn.put(impl_->invites, big_endian(number(id)), row));
  }
  return txn.commit();
}

admission registry::admit(const curve_key& key, std::int64_t now_s) noexcept {
  auto said = impl_->admit(key, now_s);
  if (said)
    return std::move(said).value();
  spdlog::error("{}", said.error().message);
  return {.admitted = false, .user_id = {}, .reason = "failed", .retry = true};
}

result<join_outcome> registry::complete_join(invite_id id, const curve_key& key, std::int64_t now_s,
                                             random_source& random, edge_id already) {
  BOOST_OUTCOME_TRY(txn, impl_->writing());
  invite_row invite;
  BOOST_OUTCOME_TRY(known, txn.get(impl_->invites, big_endian(number(id)), invite));
  if (!known)
    return fail(errc::not_found, fmt::format("invite {} is unknown here; ask for a new one", to_string(id)));
  if (invite.expiry_s <= now_s)
    return fail(errc::timeout, fmt::format("invite {} has expired; ask for a new one", to_string(id)));
  key_row row;
  BOOST_OUTCOME_TRY(key_known, txn.get(impl_->keys, view(key), row));
  if (invite.used) {
    if (invite.joined_key != key)
      return fail(errc::conflict,
                  fmt::format("invite {} was used by another key; ask for a new one", to_string(id)));
    if (!key_known || row.revoked_s != 0)
      return fail(errc::forbidden,
                  fmt::format("the key that used invite {} was revoked; ask for a new one", to_string(id)));
    return join_outcome{invite.joined, invite.site};
  }
  if (invite.cancelled_s != 0)
    return fail(errc::forbidden, fmt::format("invite {} was cancelled; ask for a new one", to_string(id)));
  if (already != edge_id::none && already != invite.rejoins)
    return not_for(id, already, invite.rejoins);
  const bool keeps_key =
      key_known && row.what == key_row::role::edge && row.revoked_s == 0 && edge_id{row.id} == invite.rejoins;
  if (key_known && !keeps_key)
    return key_is_known(id, row);

  auto edge = invite.rejoins;
  edge_row owner;
  if (edge != edge_id::none) {
    BOOST_OUTCOME_TRY(exists, txn.get(impl_->edges, big_endian(number(edge)), owner));
    if (!exists)
      return no_such_edge(edge);
    if (!keeps_key) {
      BOOST_OUTCOME_TRYV(impl_->revoke_keys(txn, edge, now_s));
    }
    BOOST_OUTCOME_TRYV(impl_->leave_parent(txn, owner));
  } else {
    BOOST_OUTCOME_TRY(count, txn.count(impl_->edges));
    if (count >= edges_max)
      return fail(errc::exhausted, fmt::format("registry: there are {} edges, and no more are taken", count));
    for (bool taken = true; taken;) {
      edge = edge_id{random.next()};
      BOOST_OUTCOME_TRY(found, txn.get(impl_->edges, big_endian(number(edge)), owner));
      taken = found || edge == edge_id::none || edge == edge_pushed;
    }
    owner = {};
    owner.site = invite.site;
    owner.created_s = now_s;
  }
  owner.joined_s = now_s;
  owner.revoked_s =
      0; // an invite made for a revoked edge is somebody's decision: revoking cancels those before it
  BOOST_OUTCOME_TRYV(txn.put(impl_->edges, big_endian(number(edge)), owner));
  const auto created_s = keeps_key ? row.created_s : now_s;
  row = {};
  row.id = number(edge);
  row.invite = number(id);
  row.created_s = created_s;
  BOOST_OUTCOME_TRYV(txn.put(impl_->keys, view(key), row));
  invite.used = true;
  invite.joined_key = key;
  invite.joined = edge;
  BOOST_OUTCOME_TRYV(txn.put(impl_->invites, big_endian(number(id)), invite));
  BOOST_OUTCOME_TRYV(txn.commit());
  return join_outcome{edge, invite.site};
}

result<void> registry::revoke(edge_id edge, std::int64_t now_s) {
  BOOST_OUTCOME_TRY(txn, impl_->writing());
  edge_row row;
  BOOST_OUTCOME_TRY(known, txn.get(impl_->edges, big_endian(number(edge)), row));
  if (!known)
    return no_such_edge(edge);
  if (row.revoked_s == 0) {
    row.revoked_s = now_s;
    BOOST_OUTCOME_TRYV(txn.put(impl_->edges, big_endian(number(edge)), row));
  }
  BOOST_OUTCOME_TRYV(impl_->revoke_keys(txn, edge, now_s));
  std::vector<std::pair<std::uint64_t, invite_row>> open;
  BOOST_OUTCOME_TRYV(txn.for_each(impl_->invites, [&](bytes_view key, bytes_view value) -> result<void> {
    invite_row invite;
    BOOST_OUTCOME_TRYV(decode(key, value, invite));
    if ((invite.rejoins == edge || invite.joined == edge) && invite.cancelled_s == 0)
      open.emplace_back(from_big_endian(key), std::move(invite));
    return ok();
  }));
  for (auto& [id, invite] : open) {
    invite.cancelled_s = now_s;
    BOOST_OUTCOME_TRYV(txn.put(impl_->invites, big_endian(id), invite));
  }
  return txn.commit();
}

result<edge_id> registry::revoke(const curve_key& key, std::int64_t now_s) {
  auto edge = edge_id::none;
  BOOST_OUTCOME_TRY(txn, impl_->writing());
  key_row row;
  BOOST_OUTCOME_TRY(known, txn.get(impl_->keys, view(key), row));
  if (!known)
    return fail(errc::not_found, fmt::format("registry: key {} is unknown", to_hex(key)));
  if (row.what == key_row::role::edge)
    edge = edge_id{row.id};
  if (row.revoked_s == 0) {
    row.revoked_s = now_s;
    BOOST_OUTCOME_TRYV(txn.put(impl_->keys, view(key), row));
  }
  invite_row invite;
  BOOST_OUTCOME_TRY(exists, txn.get(impl_->invites, big_endian(row.id), invite));
  if (row.what == key_row::role::invite && exists && invite.cancelled_s == 0) {
    invite.cancelled_s = now_s;
    BOOST_OUTCOME_TRYV(txn.put(impl_->invites, big_endian(row.id), invite));
  }
  BOOST_OUTCOME_TRYV(txn.commit());
  return edge;
}

} // namespace skerry::link
