#pragma once

// A thin wrapper around LMDB: results in place of codes, RAII in place of pairs of calls. One environment per
// directory and process. An environment may be used by any thread; a transaction by one thread at a time.
// Views that a transaction gives point into the map and are valid until it ends or, in a write transaction,
// until its next write.

#include "schemas/bytes.hpp"

#include <cstdint>
#include <filesystem>
#include <lmdb.h>
#include <memory>
#include <optional>
#include <string>

namespace skerry::cloud {

// exhausted: the map or the disk is full; corrupt: LMDB noticed damage; io: everything else.
[[nodiscard]] error lmdb_error(int code, std::string_view what);

class lmdb_cursor;

class lmdb_txn {
public:
  lmdb_txn() = default;
  explicit lmdb_txn(MDB_txn* txn) noexcept : txn_(txn) {}
  ~lmdb_txn() { abort(); }
  lmdb_txn(lmdb_txn&& other) noexcept : txn_(std::exchange(other.txn_, nullptr)) {}
  lmdb_txn& operator=(lmdb_txn&& other) noexcept {
    if (this != &other) {
      abort();
      txn_ = std::exchange(other.txn_, nullptr);
    }
    return *this;
  }

  // Nothing where the key is absent.
  [[nodiscard]] result<std::optional<bytes_view>> get(MDB_dbi db, bytes_view key) const;
  [[nodiscard]] result<void> put(MDB_dbi db, bytes_view key, bytes_view value, unsigned flags = 0);
  // Room for a value, to be filled before the next write.
  [[nodiscard]] result<std::span<std::byte>> reserve(MDB_dbi db, bytes_view key, std::size_t bytes,
                                                     unsigned flags = 0);
  [[nodiscard]] result<void> erase(MDB_dbi db, bytes_view key); // an absent key is fine
  [[nodiscard]] result<void> commit();
  void abort() noexcept;
  [[nodiscard]] MDB_txn* get() const noexcept { return txn_; }

private:
  MDB_txn* txn_ = nullptr;
};

class lmdb_cursor {
public:
  [[nodiscard]] static result<lmdb_cursor> open(const lmdb_txn& txn, MDB_dbi db);
  ~lmdb_cursor();
  lmdb_cursor(lmdb_cursor&& other) noexcept : cursor_(std::exchange(other.cursor_, nullptr)) {}
  lmdb_cursor& operator=(lmdb_cursor&&) = delete;

  struct item {
    bytes_view key;
    bytes_view value;
  };
  // `key` for MDB_SET_RANGE and the like; nothing at the end.
  [[nodiscard]] result<std::optional<item>> move(MDB_cursor_op op, bytes_view key = {});

private:
  explicit lmdb_cursor(MDB_cursor* cursor) noexcept : cursor_(cursor) {}
  MDB_cursor* cursor_ = nullptr;
};

// Removes an environment's file that a crash left before anything was committed to it: it may hold anything.
void remove_unfinished(const std::filesystem::path& directory);

class lmdb_env {
public:
  // Opens or makes `directory`/data.mdb. Commits are synced. `read_ahead`: it is mostly read in order, not at random.
  [[nodiscard]] static result<std::unique_ptr<lmdb_env>> open(const std::filesystem::path& directory,
                                                              std::uint64_t map_bytes, unsigned databases,
                                                              bool read_ahead = false);
  ~lmdb_env();
  lmdb_env(const lmdb_env&) = delete;
  lmdb_env& operator=(const lmdb_env&) = delete;

  [[nodiscard]] result<lmdb_txn> read() const;
  [[nodiscard]] result<lmdb_txn> write();
  // Opens or makes databases, in one transaction; nullptr is the main one. No other transaction of this
  // thread may be open, and no other thread may do the same.
  struct database_request {
    const char* name;
    unsigned flags;
    MDB_dbi* to;
  };
  [[nodiscard]] result<void> databases(std::span<const database_request> all);
  [[nodiscard]] std::uint64_t used_bytes() const noexcept; // pages in use or reusable: the file's size
  [[nodiscard]] std::uint64_t map_bytes() const noexcept;

private:
  explicit lmdb_env(MDB_env* env) noexcept : env_(env) {}
  MDB_env* env_ = nullptr;
};

} // namespace skerry::cloud
