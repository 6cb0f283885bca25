#pragma once

// The values in the registry's tables, and LMDB with errors as results. Internal to the registry.
//
// Format 1. Tables: meta ("format" → u32, check); edges and invites (id, 8 bytes big-endian); keys (32 bytes). A
// row starts with its version byte; numbers are little-endian and fixed, texts have a varint length. It ends with a
// check over its key and everything before: LMDB has none, and a flipped bit could let in who was revoked. A row
// without one (version 1) is not read: a bit that moves the end of a key makes one of any other. A reader takes what
// it knows from a longer row: later versions add fields before the check.

#include "actors/link/registry.hpp"

#include <lmdb.h>

namespace skerry::link::detail {

struct edge_row {
  std::string site;
  std::int64_t created_s = 0;
  std::int64_t joined_s = 0;
  std::int64_t revoked_s = 0;
  edge_id parent = edge_id::none;
  std::uint32_t origins = 0; // that speak through it
};

struct key_row {
  enum class role : std::uint8_t { edge = 1, invite = 2 } what = role::edge;
  std::uint64_t id = 0;     // of the edge or the invite
  std::uint64_t invite = 0; // of an edge's key: the one that made it known
  std::int64_t created_s = 0;
  std::int64_t revoked_s = 0;
  bool seen = false; // at a handshake
};

struct invite_row {
  std::string site;
  edge_id rejoins = edge_id::none;
  curve_key one_time;
  std::int64_t created_s = 0;
  std::int64_t expiry_s = 0;
  std::int64_t cancelled_s = 0;
  bool used = false;
  bool closed = false; // the joined key was seen: the one-time key is refused
  curve_key joined_key;
  edge_id joined = edge_id::none;
};

inline constexpr std::size_t check_bytes = 16; // BLAKE2b-128
void append_check(bytes_view key, byte_buffer& value);
// Whether the last bytes of `value` are the check of what stands before them.
[[nodiscard]] bool check_holds(bytes_view key, bytes_view value) noexcept;

[[nodiscard]] byte_buffer encode(bytes_view key, const edge_row& from);
[[nodiscard]] byte_buffer encode(bytes_view key, const key_row& from);
[[nodiscard]] byte_buffer encode(bytes_view key, const invite_row& from);
[[nodiscard]] result<void> decode(bytes_view key, bytes_view from, edge_row& to);
[[nodiscard]] result<void> decode(bytes_view key, bytes_view from, key_row& to);
[[nodiscard]] result<void> decode(bytes_view key, bytes_view from, invite_row& to);
// `table` by its name; of a table that this build does not know: corrupt.
[[nodiscard]] result<void> decode_any(std::string_view table, bytes_view key, bytes_view value);

[[nodiscard]] std::array<std::byte, 8> big_endian(std::uint64_t id) noexcept;
[[nodiscard]] std::uint64_t from_big_endian(bytes_view key) noexcept;

[[nodiscard]] error lmdb_error(int code, std::string_view what);

// Aborts unless committed.
class transaction {
public:
  static result<transaction> begin(MDB_env* env, unsigned flags);
  transaction(transaction&& other) noexcept : txn_(std::exchange(other.txn_, nullptr)) {}
  transaction& operator=(transaction&&) = delete;
  ~transaction() {
    if (txn_ != nullptr)
      mdb_txn_abort(txn_);
  }
  [[nodiscard]] MDB_txn* get() const noexcept { return txn_; }
  [[nodiscard]] result<void> commit();

  // False: no such key.
  template <class Row>
  [[nodiscard]] result<bool> get(MDB_dbi table, bytes_view key, Row& to) const {
    BOOST_OUTCOME_TRY(value, find(table, key));
    if (!value)
      return false;
    BOOST_OUTCOME_TRYV(decode(key, *value, to));
    return true;
  }
  template <class Row>
  [[nodiscard]] result<void> put(MDB_dbi table, bytes_view key, const Row& from) {
    return put_bytes(table, key, encode(key, from));
  }
  [[nodiscard]] result<void> put_bytes(MDB_dbi table, bytes_view key, bytes_view value);
  [[nodiscard]] result<void> erase(MDB_dbi table, bytes_view key);
  [[nodiscard]] result<std::optional<bytes_view>> find(MDB_dbi table, bytes_view key) const;
  [[nodiscard]] result<std::size_t> count(MDB_dbi table) const;

  // Calls `each(key, value) -> result<void>` in the keys' order. The table must not change meanwhile.
  template <class Each>
  [[nodiscard]] result<void> for_each(MDB_dbi table, Each&& each) const {
    MDB_cursor* cursor = nullptr;
    if (const int rc = mdb_cursor_open(txn_, table, &cursor); rc != MDB_SUCCESS)
      return boost::outcome_v2::failure(lmdb_error(rc, "read"));
    const std::unique_ptr<MDB_cursor, decltype(&mdb_cursor_close)> closer{cursor, &mdb_cursor_close};
    MDB_val key{};
    MDB_val value{};
    int rc = MDB_SUCCESS;
    for (auto op = MDB_FIRST; (rc = mdb_cursor_get(cursor, &key, &value, op)) == MDB_SUCCESS; op = MDB_NEXT) {
      BOOST_OUTCOME_TRYV(each(view(key), view(value)));
    }
    if (rc != MDB_NOTFOUND)
      return boost::outcome_v2::failure(lmdb_error(rc, "read"));
    return ok();
  }

private:
  explicit transaction(MDB_txn* txn) noexcept : txn_(txn) {}
  static bytes_view view(const MDB_val& v) noexcept {
    return {static_cast<const std::byte*>(v.mv_data), v.mv_size};
  }

  MDB_txn* txn_;
};

} // namespace skerry::link::detail
