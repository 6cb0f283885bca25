#include "actors/link/registry_records.hpp"

#include "actors/base/files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <sodium.h>

namespace skerry::link::detail {

namespace {

constexpr std::uint8_t row_version = 2;

auto damaged(std::string_view what) {
  return fail(
      errc::corrupt,
      fmt::format("registry: {} does not decode; restore the registry from a backup, or move it away and let "
                  "edges join again",
                  what));
}

bool valid(std::uint8_t version, bytes_view key, bytes_view row) noexcept {
  return version >= row_version && check_holds(key, row);
}

std::array<std::byte, check_bytes> check_of(bytes_view key, bytes_view value) noexcept {
  std::array<std::byte, check_bytes> out;
  crypto_generichash_state state;
  const auto add = [&](bytes_view bytes) {
    (void)crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(bytes.data()),
                                    bytes.size());
  };
  (void)crypto_generichash_init(&state, nullptr, 0, out.size());
  add(key);
  add(value);
  (void)crypto_generichash_final(&state, reinterpret_cast<unsigned char*>(out.data()), out.size());
  return out;
}

MDB_val to_val(bytes_view bytes) noexcept {
  return {bytes.size(), const_cast<std::byte*>(bytes.data())}; // LMDB reads it only
}

} // namespace

void append_check(bytes_view key, byte_buffer& value) {
  const auto check = check_of(key, value);
  value.insert(value.end(), check.begin(), check.end());
}

bool check_holds(bytes_view key, bytes_view value) noexcept {
  if (value.size() < check_bytes)
    return false;
  const auto content = value.first(value.size() - check_bytes);
  const auto check = check_of(key, content);
  return std::equal(check.begin(), check.end(), value.begin() + static_cast<std::ptrdiff_t>(content.size()));
}

byte_buffer encode(bytes_view key, const edge_row& from) {
  byte_buffer out;
  byte_writer w{out};
  w.fixed(row_version);
  w.text(from.site);
  w.fixed(from.created_s);
  w.fixed(from.joined_s);
  w.fixed(from.revoked_s);
  w.fixed(from.parent);
  w.fixed(from.origins);
  append_check(key, out);
  return out;
}

byte_buffer encode(bytes_view key, const key_row& from) {
  byte_buffer out;
  byte_writer w{out};
  w.fixed(row_version);
  w.fixed(from.what);
  w.fixed(from.id);
  w.fixed(from.invite);
  w.fixed(from.created_s);
  w.fixed(from.revoked_s);
  w.fixed(static_cast<std::uint8_t>(from.seen));
  append_check(key, out);
  return out;
}

byte_buffer encode(bytes_view key, const invite_row& from) {
  byte_buffer out;
  byte_writer w{out};
  w.fixed(row_version);
  w.text(from.site);
  w.fixed(from.rejoins);
  w.fixed(from.one_time.bytes);
  w.fixed(from.created_s);
  w.fixed(from.expiry_s);
  w.fixed(from.cancelled_s);
  w.fixed(static_cast<std::uint8_t>(from.used));
  w.fixed(static_cast<std::uint8_t>(from.closed));
  w.fixed(from.joined_key.bytes);
  w.fixed(from.joined);
  append_check(key, out);
  return out;
}

result<void> decode(bytes_view key, bytes_view from, edge_row& to) {
  byte_reader r{from};
  const auto version = r.fixed<std::uint8_t>();
  to.site = r.text();
  to.created_s = r.fixed<std::int64_t>();
  to.joined_s = r.fixed<std::int64_t>();
  to.revoked_s = r.fixed<std::int64_t>();
  to.parent = r.fixed<edge_id>();
  to.origins = r.fixed<std::uint32_t>();
  if (r.failed() || !valid(version, key, from))
    return damaged("an edge");
  return ok();
}

result<void> decode(bytes_view key, bytes_view from, key_row& to) {
  byte_reader r{from};
  const auto version = r.fixed<std::uint8_t>();
  to.what = r.fixed<key_row::role>();
  to.id = r.fixed<std::uint64_t>();
  to.invite = r.fixed<std::uint64_t>();
  to.created_s = r.fixed<std::int64_t>();
  to.revoked_s = r.fixed<std::int64_t>();
  to.seen = r.fixed<std::uint8_t>() != 0;
  if (r.failed() || !valid(version, key, from)
      || (to.what != key_row::role::edge && to.what != key_row::role::invite))
    return damaged("a key");
  return ok();
}

result<void> decode(bytes_view key, bytes_view from, invite_row& to) {
  byte_reader r{from};
  const auto version = r.fixed<std::uint8_t>();
  to.site = r.text();
  to.rejoins = r.fixed<edge_id>();
  to.one_time.bytes = r.fixed<decltype(curve_key::bytes)>();
  to.created_s = r.fixed<std::int64_t>();
  to.expiry_s = r.fixed<std::int64_t>();
  to.cancelled_s = r.fixed<std::int64_t>();
  to.used = r.fixed<std::uint8_t>() != 0;
  to.closed = r.fixed<std::uint8_t>() != 0;
  to.joined_key.bytes = r.fixed<decltype(curve_key::bytes)>();
  to.joined = r.fixed<edge_id>();
  if (r.failed() || !valid(version, key, from))
    return damaged("an invite");
  return ok();
}

result<void> decode_any(std::string_view table, bytes_view key, bytes_view value) {
  if (table == "edges") {
    edge_row row;
    return decode(key, value, row);
  }
  if (table == "keys") {
    key_row row;
    return decode(key, value, row);
  }
  if (table == "invites") {
    invite_row row;
    return decode(key, value, row);
  }
  return damaged("a table");
}

std::array<std::byte, 8> big_endian(std::uint64_t id) noexcept {
  std::array<std::byte, 8> out;
  for (std::size_t i = 0; i < 8; ++i)
    out[i] = static_cast<std::byte>(id >> (56 - 8 * i));
  return out;
}

std::uint64_t from_big_endian(bytes_view key) noexcept {
  std::uint64_t out = 0;
  for (const auto byte : key.first(std::min<std::size_t>(key.size(), 8)))
    out = (out << 8) | static_cast<std::uint8_t>(byte);
  return out;
}

error lmdb_error(int code, std::string_view what) {
  const auto kind =
      code == MDB_MAP_FULL || code == ENOSPC || code == EDQUOT ? errc::exhausted
      : code == MDB_CORRUPTED || code == MDB_INVALID || code == MDB_PAGE_NOTFOUND || code == MDB_PANIC
          ? errc::corrupt
      : code == MDB_VERSION_MISMATCH ? errc::unsupported_version
                                     : errc::io;
  const auto advice = kind == errc::exhausted ? "; make room on the disk"
                      : kind == errc::corrupt
                          ? "; restore the registry from a backup, or move it away and let edges join again"
                          : "";
  return {kind, fmt::format("registry: can't {} it: {}{}", what, mdb_strerror(code), advice)};
}

result<transaction> transaction::begin(MDB_env* env, unsigned flags) {
  MDB_txn* txn = nullptr;
  if (const int rc = mdb_txn_begin(env, nullptr, flags, &txn); rc != MDB_SUCCESS)
    return boost::outcome_v2::failure(lmdb_error(rc, "read"));
  return transaction{txn};
}

result<void> transaction::commit() {
  const char* folder = "";
  mdb_env_get_path(mdb_txn_env(txn_), &folder);
  if (const int rc = mdb_txn_commit(std::exchange(txn_, nullptr)); rc != MDB_SUCCESS)
    return boost::outcome_v2::failure(lmdb_error(why_not_written(rc, folder), "write"));
  return ok();
}

result<void> transaction::put_bytes(MDB_dbi table, bytes_view key, bytes_view value) {
  auto k = to_val(key);
  auto v = to_val(value);
  if (const int rc = mdb_put(txn_, table, &k, &v, 0); rc != MDB_SUCCESS)
    return boost::outcome_v2::failure(lmdb_error(rc, "write"));
  return ok();
}

result<void> transaction::erase(MDB_dbi table, bytes_view key) {
  auto k = to_val(key);
  if (const int rc = mdb_del(txn_, table, &k, nullptr); rc != MDB_SUCCESS && rc != MDB_NOTFOUND)
    return boost::outcome_v2::failure(lmdb_error(rc, "write"));
  return ok();
}

result<std::optional<bytes_view>> transaction::find(MDB_dbi table, bytes_view key) const {
  auto k = to_val(key);
  MDB_val v{};
  const int rc = mdb_get(txn_, table, &k, &v);
  if (rc == MDB_NOTFOUND)
    return std::optional<bytes_view>{};
  if (rc != MDB_SUCCESS)
    return boost::outcome_v2::failure(lmdb_error(rc, "read"));
  return std::optional<bytes_view>{view(v)};
}

result<std::size_t> transaction::count(MDB_dbi table) const {
  MDB_stat stat{};
  if (const int rc = mdb_stat(txn_, table, &stat); rc != MDB_SUCCESS)
    return boost::outcome_v2::failure(lmdb_error(rc, "read"));
  return stat.ms_entries;
}

} // namespace skerry::link::detail
