#include "edge/spool/segment_writer.hpp"

#include "actors/base/files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <lmdb.h>
#include <sys/stat.h>
#include <unistd.h>

namespace skerry::edge {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t overhead_pages = 24; // copied tree paths, free list, meta pages
constexpr std::size_t page_header_bytes = 16;

error lmdb_error(std::string_view what, const fs::path& path, int code) {
  if (code == MDB_MAP_FULL || code == MDB_TXN_FULL)
    return {errc::exhausted, fmt::format("{} segment {}: {}", what, path.string(), mdb_strerror(code))};
  code = why_not_written(code, path.parent_path());
  if (code > 0)
    return os_error(what, path, code);
  return {errc::io, fmt::format("{} segment {}: {}", what, path.string(), mdb_strerror(code))};
}

MDB_val to_value(bytes_view bytes) noexcept {
  return {bytes.size(), const_cast<std::byte*>(bytes.data())}; // LMDB only reads it
}

class lmdb_segment_writer final : public segment_writer {
public:
  lmdb_segment_writer(fs::path directory, std::uint64_t number, const epoch_id& writer,
                      std::uint64_t map_bytes)
      : directory_(std::move(directory)), map_bytes_(map_bytes) {
    head_.number = number;
    head_.writer = writer;
  }
  ~lmdb_segment_writer() override {
    if (env_ != nullptr)
      mdb_env_close(env_);
  }

  result<void> open() {
    int code = mdb_env_create(&env_);
    if (code == 0)
      code = mdb_env_set_mapsize(env_, map_bytes_);
    if (code == 0)
      code = mdb_env_set_maxdbs(env_, 3);
    // NOLOCK: the process is the only one (LOCK), and nobody reads through LMDB.
    if (code == 0)
      code = mdb_env_open(env_, directory_.c_str(), MDB_NOLOCK | MDB_NORDAHEAD, 0600);
    if (code == 0)
      code = mdb_env_sync(env_, 1); // its first two pages: LMDB leaves them to the first commit
    if (code != 0)
      return lmdb_error("cannot create", directory_, code);
    update_size();
    return ok();
  }

  result<void> commit(const segment_transaction& batch) override {
    // A file that was cut off under LMDB's map would be a SIGBUS.
    if (file_bytes(data_file(directory_)) < std::min<std::uint64_t>(committed_bytes_, synced_bytes_))
      return fail(errc::corrupt,
                  fmt::format("segment {} was cut off while it was open", directory_.string()));
    MDB_txn* txn = nullptr;
    if (const int code = mdb_txn_begin(env_, nullptr, 0, &txn); code != 0)
      return lmdb_error("cannot begin to write", directory_, code);
    auto head = head_;
    if (const int code = fill(txn, batch, head); code != 0) {
      mdb_txn_abort(txn);
      return lmdb_error("cannot write", directory_, code);
    }
    if (const int code = mdb_txn_commit(txn); code != 0)
      return lmdb_error("cannot commit to", directory_, code);
    head_ = head;
    ++commits_;
    update_size();
    return ok();
  }

  bool has_room_for(const segment_transaction& batch) const noexcept override {
    const auto page = system_page_bytes();
    const auto limit = static_cast<std::uint64_t>(static_cast<double>(map_bytes_) * map_use_max);
    return committed_bytes_ + batch.pages(page) * page <= limit;
  }
  std::uint64_t committed_bytes() const noexcept override { return committed_bytes_; }
  std::uint64_t commits() const noexcept override { return commits_; }

private:
  int fill(MDB_txn* txn, const segment_transaction& batch, segment_head& head) {
    MDB_dbi runs = 0;
    MDB_dbi sets = 0;
    MDB_dbi index = 0;
    MDB_dbi main = 0;
    int code = mdb_dbi_open(txn, runs_database.data(), MDB_CREATE, &runs);
    if (code == 0)
      code = mdb_dbi_open(txn, sets_database.data(), MDB_CREATE, &sets);
    if (code == 0)
      code = mdb_dbi_open(txn, index_database.data(), MDB_CREATE, &index);
    if (code == 0)
      code = mdb_dbi_open(txn, nullptr, 0, &main);
    for (const auto& key : batch.removed_runs) {
      auto k = to_value(key);
      if (code == 0)
        code = mdb_del(txn, runs, &k, nullptr);
      --head.runs;
    }
    for (const auto& entry : batch.runs) {
      if (code != 0)
        return code;
      // Appending fills pages whole; it is refused for a key that is not the highest.
      const bool highest = last_run_key_.empty()
                           || std::lexicographical_compare(last_run_key_.begin(), last_run_key_.end(),
                                                           entry.key.begin(), entry.key.end());
      code = put(txn, runs, entry.key, entry.value, MDB_NOOVERWRITE | (highest ? MDB_APPEND : 0u));
      if (highest)
        last_run_key_ = entry.key;
      ++head.runs;
    }
    for (const auto& entry : batch.sets) {
      if (code == 0)
        code = put(txn, sets, entry.key, entry.value, MDB_NOOVERWRITE);
      ++head.sets;
    }
    for (const auto& [key, value] : batch.index)
      if (code == 0)
        code = put(txn, index, key, value, 0);
    head.streams += batch.new_streams;
    head.transaction = mdb_txn_id(txn);
    if (code == 0)
      code = put(txn, main, as_bytes(head_key), encode_head(head), 0);
    return code;
  }

  static int put(MDB_txn* txn, MDB_dbi into, bytes_view key, bytes_view value, unsigned flags) {
    auto k = to_value(key);
    auto v = to_value(value);
    return mdb_put(txn, into, &k, &v, flags);
  }

  void update_size() noexcept {
    MDB_envinfo info{};
    if (mdb_env_info(env_, &info) == 0)
      committed_bytes_ = (info.me_last_pgno + 1) * system_page_bytes();
    synced_bytes_ = file_bytes(data_file(directory_));
  }

  fs::path directory_;
  std::uint64_t map_bytes_;
  MDB_env* env_ = nullptr;
  segment_head head_;
  byte_buffer last_run_key_;
  std::uint64_t committed_bytes_ = 0;
  std::uint64_t synced_bytes_ = 0;
  std::uint64_t commits_ = 0;
};

} // namespace

std::size_t system_page_bytes() noexcept {
  static const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

std::uint64_t segment_transaction::pages(std::size_t page_bytes) const noexcept {
  std::uint64_t out = overhead_pages;
  const auto add = [&](std::size_t bytes) {
    out += (page_header_bytes + bytes + page_bytes - 1) / page_bytes + 1;
  };
  for (const auto& entry : runs)
    add(entry.value.size());
  for (const auto& entry : sets)
    add(entry.value.size());
  for (const auto& entry : index)
    add(entry.second.size());
  return out;
}

result<std::unique_ptr<segment_writer>> segment_writer::create(const fs::path& directory,
                                                               std::uint64_t number, const epoch_id& writer,
                                                               std::uint64_t map_bytes) {
  if (::mkdir(directory.c_str(), 0700) != 0)
    return os_error("cannot create the directory", directory, errno);
  const auto page = system_page_bytes();
  auto out =
      std::make_unique<lmdb_segment_writer>(directory, number, writer, (map_bytes + page - 1) / page * page);
  auto opened = out->open();
  if (opened)
    opened = sync_directory(directory);
  if (opened)
    opened = sync_directory(directory.parent_path());
  if (opened)
    return std::unique_ptr<segment_writer>{std::move(out)};
  out.reset();
  std::error_code ignored;
  fs::remove_all(directory, ignored);
  return std::move(opened).error();
}

} // namespace skerry::edge
