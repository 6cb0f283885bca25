#include "cloud/store/lmdb.hpp"

#include "actors/base/files.hpp"
#include "actors/base/lmdb_lock.hpp"
#include "actors/base/page_check.hpp"
#include "cloud/store/directory.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cerrno>

namespace skerry::cloud {

namespace {

constexpr unsigned readers_max = 512;

MDB_val to_val(bytes_view bytes) noexcept { return {bytes.size(), const_cast<std::byte*>(bytes.data())}; }
bytes_view to_view(const MDB_val& val) noexcept {
  return {static_cast<const std::byte*>(val.mv_data), val.mv_size};
}

} // namespace

error lmdb_error(int code, std::string_view what) {
  auto kind = errc::io;
  switch (code) {
  case MDB_MAP_FULL:
  case MDB_TXN_FULL:
  case MDB_READERS_FULL:
  case ENOSPC:
  case EDQUOT:
  case EFBIG: kind = errc::exhausted; break;
  case MDB_CORRUPTED:
  case MDB_PAGE_NOTFOUND:
  case MDB_PANIC:
  case MDB_INVALID:
  case MDB_CURSOR_FULL: kind = errc::corrupt; break;
  case MDB_VERSION_MISMATCH: kind = errc::unsupported_version; break;
  default: break;
  }
  const auto hint =
      code == ENOSPC || code == EDQUOT || code == EFBIG ? "; free disk space and it goes on by itself" : "";
  return {kind, fmt::format("{}: {}{}", what, mdb_strerror(code), hint)};
}

result<std::optional<bytes_view>> lmdb_txn::get(MDB_dbi db, bytes_view key) const {
  auto k = to_val(key);
  MDB_val v{};
  const int rc = mdb_get(txn_, db, &k, &v);
  if (rc == MDB_NOTFOUND)
    return std::optional<bytes_view>{};
  if (rc != 0)
    return lmdb_error(rc, "cannot read a value");
  return std::optional{to_view(v)};
}

result<void> lmdb_txn::put(MDB_dbi db, bytes_view key, bytes_view value, unsigned flags) {
  auto k = to_val(key);
  auto v = to_val(value);
  if (const int rc = mdb_put(txn_, db, &k, &v, flags); rc != 0)
    return lmdb_error(rc, "cannot write a value");
  return ok();
}

result<std::span<std::byte>> lmdb_txn::reserve(MDB_dbi db, bytes_view key, std::size_t bytes,
                                               unsigned flags) {
  auto k = to_val(key);
  MDB_val v{bytes, nullptr};
  if (const int rc = mdb_put(txn_, db, &k, &v, flags | MDB_RESERVE); rc != 0)
    return lmdb_error(rc, "cannot write a value");
  return std::span<std::byte>{static_cast<std::byte*>(v.mv_data), v.mv_size};
}

result<void> lmdb_txn::erase(MDB_dbi db, bytes_view key) {
  auto k = to_val(key);
  if (const int rc = mdb_del(txn_, db, &k, nullptr); rc != 0 && rc != MDB_NOTFOUND)
    return lmdb_error(rc, "cannot delete a value");
  return ok();
}

result<void> lmdb_txn::commit() {
  const char* folder = "";
  mdb_env_get_path(mdb_txn_env(txn_), &folder);
  if (const int rc = mdb_txn_commit(std::exchange(txn_, nullptr)); rc != 0)
    return lmdb_error(why_not_written(rc, folder), "cannot commit");
  return ok();
}

void lmdb_txn::abort() noexcept {
  if (txn_ != nullptr)
    mdb_txn_abort(std::exchange(txn_, nullptr));
}

result<lmdb_cursor> lmdb_cursor::open(const lmdb_txn& txn, MDB_dbi db) {
  MDB_cursor* cursor = nullptr;
  if (const int rc = mdb_cursor_open(txn.get(), db, &cursor); rc != 0)
    return lmdb_error(rc, "cannot open a cursor");
  return lmdb_cursor{cursor};
}

lmdb_cursor::~lmdb_cursor() {
  if (cursor_ != nullptr)
    mdb_cursor_close(cursor_);
}

result<std::optional<lmdb_cursor::item>> lmdb_cursor::move(MDB_cursor_op op, bytes_view key) {
  auto k = to_val(key);
  MDB_val v{};
  const int rc = mdb_cursor_get(cursor_, &k, &v, op);
  if (rc == MDB_NOTFOUND)
    return std::optional<item>{};
  if (rc != 0)
    return lmdb_error(rc, "cannot move a cursor");
  return std::optional{item{to_view(k), to_view(v)}};
}

result<std::unique_ptr<lmdb_env>> lmdb_env::open(const std::filesystem::path& directory,
                                                 std::uint64_t map_bytes, unsigned databases,
                                                 bool read_ahead) {
  BOOST_OUTCOME_TRYV(make_directory(directory));
  std::error_code ec;
  const bool is_new = !std::filesystem::exists(directory / "data.mdb", ec);
  MDB_env* raw = nullptr;
  if (const int rc = mdb_env_create(&raw); rc != 0)
    return lmdb_error(rc, "cannot make an LMDB handle");
  std::unique_ptr<lmdb_env> env{new lmdb_env{raw}};
  mdb_env_set_mapsize(raw, map_bytes);
  mdb_env_set_maxreaders(raw, readers_max);
  if (databases > 0)
    mdb_env_set_maxdbs(raw, databases);
  // Transactions are tied to objects, not threads.
  const auto flags = MDB_NOTLS | MDB_NOMEMINIT | (read_ahead ? 0U : MDB_NORDAHEAD);
  BOOST_OUTCOME_TRYV(allocate_lmdb_lock(directory, readers_max));
  const auto opened = [&]() -> result<void> {
    const auto file = (directory / "data.mdb").string();
    if (const int rc = mdb_env_open(raw, directory.c_str(), flags, 0600); rc != 0)
      return lmdb_error(rc, fmt::format("cannot open {}", file));
    if (!is_new)
      return ok();
    // LMDB syncs neither the first two pages nor the file's name.
    if (const int rc = mdb_env_sync(raw, 1); rc != 0)
      return lmdb_error(rc, fmt::format("cannot sync {}", file));
    return sync_directory(directory);
  }();
  if (opened)
    return env;
  if (is_new) { // half of it must not look like a damaged one the next time
    env.reset();
    std::filesystem::remove(directory / "data.mdb", ec);
    std::filesystem::remove(directory / "lock.mdb", ec);
  }
  return opened.error();
}

void remove_unfinished(const std::filesystem::path& directory) {
  const auto file = directory / "data.mdb";
  std::error_code ec;
  if (!std::filesystem::exists(file, ec) || !never_committed(file))
    return;
  spdlog::info("store: {} was made and not written when the node ended; it is removed", file.string());
  std::filesystem::remove(file, ec);
}

lmdb_env::~lmdb_env() { mdb_env_close(env_); }

result<lmdb_txn> lmdb_env::read() const {
  MDB_txn* txn = nullptr;
  if (const int rc = mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn); rc != 0)
    return lmdb_error(rc, "cannot begin reading");
  return lmdb_txn{txn};
}

result<lmdb_txn> lmdb_env::write() {
  MDB_txn* txn = nullptr;
  if (const int rc = mdb_txn_begin(env_, nullptr, 0, &txn); rc != 0)
    return lmdb_error(rc, "cannot begin writing");
  return lmdb_txn{txn};
}

result<void> lmdb_env::databases(std::span<const database_request> all) {
  // What exists is opened without a write: a full disk must not keep it closed.
  bool have_all = true;
  {
    BOOST_OUTCOME_TRY(txn, read());
    for (const auto& each : all) {
      unsigned flags = 0;
      // Asked for flags that the file lacks, LMDB would set them in its own copy only and report them as there.
      const int rc = mdb_dbi_open(txn.get(), each.name, 0, each.to);
      if (rc != 0 && rc != MDB_NOTFOUND)
        return lmdb_error(rc, "cannot open a database");
      if (rc == 0)
        mdb_dbi_flags(txn.get(), *each.to, &flags);
      have_all = have_all && rc == 0 && (flags & each.flags) == each.flags;
    }
    if (have_all)
      return txn.commit(); // keeps the handles
  }
  BOOST_OUTCOME_TRY(txn, write());
  for (const auto& each : all)
    if (const int rc = mdb_dbi_open(txn.get(), each.name, each.flags | MDB_CREATE, each.to); rc != 0)
      return lmdb_error(rc, "cannot make a database");
  return txn.commit();
}

std::uint64_t lmdb_env::used_bytes() const noexcept {
  MDB_envinfo info{};
  MDB_stat stat{};
  mdb_env_info(env_, &info);
  mdb_env_stat(env_, &stat);
  return (info.me_last_pgno + 1) * stat.ms_psize;
}

std::uint64_t lmdb_env::map_bytes() const noexcept {
  MDB_envinfo info{};
  mdb_env_info(env_, &info);
  return info.me_mapsize;
}

} // namespace skerry::cloud
