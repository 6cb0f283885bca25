#pragma once

// One environment of the write-ahead log: `<log>/<number>/data.mdb`, chunks of entries under ascending
// integer keys, and the index over them in memory. Written by one thread, read by any. It is deleted whole
// once sealed.

#include "cloud/store/damage_ledger.hpp"
#include "cloud/store/engine.hpp"
#include "cloud/store/lmdb.hpp"
#include "cloud/store/log_index.hpp"
#include "cloud/store/read_cache.hpp"

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <shared_mutex>

namespace skerry::cloud {

inline constexpr std::size_t log_chunk_bytes = 1 << 20; // a chunk is closed beyond; one entry may be larger
inline constexpr std::size_t append_bytes_max = 64 << 20;

// Makes compact sets, each content once over all logs. Thread-safe.
class set_registry {
public:
  [[nodiscard]] compact_set_ptr compact(const series_set& set);
  [[nodiscard]] compact_set_ptr find(const set_hash& hash) const;
  // What all of them take, strings included.
  [[nodiscard]] std::size_t memory_bytes() const noexcept { return table_->memory_bytes(); }
  // The symbol of a string in one of the sets.
  [[nodiscard]] std::optional<symbol> symbol_of(std::string_view text) const { return table_->find(text); }

private:
  mutable std::mutex mutex_;
  std::shared_ptr<symbol_table> table_ = std::make_shared<symbol_table>();
  std::unordered_map<set_hash, std::weak_ptr<const compact_set>> sets_;
  std::size_t sweep_at_ = 1024;
};

// What a log's scan gives to the engine.
struct log_replay {
  std::function<void()> reset;
  std::function<void(const state_pair&)> state;
  std::function<void(const state_pair&)> more; // behind what is there
  std::function<void(const envelope&)> fence;
};

struct log_damage {
  std::uint64_t bytes = 0;
  std::uint64_t records = 0; // that stand there and cannot be used
  std::vector<damage> lost;  // whose data that may have been, as far as it is known

  [[nodiscard]] bool any() const noexcept { return bytes != 0 || !lost.empty(); }
};

class log_reader;

class log_env : public std::enable_shared_from_this<log_env> {
public:
  // A new, empty log. Its first batch makes it exist on disk.
  [[nodiscard]] static result<std::shared_ptr<log_env>> create(const std::filesystem::path& directory,
                                                               std::uint64_t number, std::uint64_t map_bytes);
  // An existing log, whose pages were checked: reads all entries and builds the index.
  [[nodiscard]] static result<std::shared_ptr<log_env>> open(const std::filesystem::path& directory,
                                                             std::uint64_t number, std::uint64_t map_bytes,
                                                             set_registry& sets, const log_replay& replay,
                                                             std::int64_t now_ns);

  [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
  [[nodiscard]] std::uint64_t cache_owner() const noexcept { return cache_owner_; }
  [[nodiscard]] const std::filesystem::path& directory() const noexcept { return directory_; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }
  // Without the copy of all state that it begins with: what limits are about.
  [[nodiscard]] std::uint64_t data_bytes() const noexcept {
    const auto all = bytes();
    return all - std::min(all, copied_bytes_.load(std::memory_order_relaxed));
  }
  // Of memory: what sources take, and that with its sets.
  [[nodiscard]] std::uint64_t source_bytes() const noexcept {
    return source_bytes_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t index_bytes() const noexcept {
    return source_bytes() + set_bytes_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] bool empty() const; // no frames and no notes
  [[nodiscard]] const log_damage& damage() const noexcept { return damage_; }
  [[nodiscard]] std::int64_t created_ns() const noexcept { return created_ns_; }

  [[nodiscard]] result<log_reader> read() const;
  // Calls with the index under a shared lock: be short.
  template <class Use>
  auto with_index(Use&& use) const {
    const std::shared_lock lock{mutex_};
    return use(std::as_const(index_));
  }
  // Null where this log does not hold it.
  [[nodiscard]] result<series_set_ptr> find_set(const set_key& key) const;

private:
  friend class log_batch;
  log_env() = default;
  result<void> scan(set_registry& sets, const log_replay& replay, std::int64_t now_ns);
  void count_index() noexcept {
    source_bytes_ = index_.source_bytes;
    set_bytes_ = index_.set_bytes;
  }

  std::filesystem::path directory_;
  std::uint64_t number_ = 0;
  std::uint64_t id_ = 0;
  const std::uint64_t cache_owner_ = next_cache_owner();
  std::uint64_t next_chunk_ = 1;  // writer's
  std::uint64_t next_serial_ = 1; // writer's
  envelope::span span_;           // writer's: what its appends are about
  std::int64_t created_ns_ = 0;
  std::unique_ptr<lmdb_env> env_;
  MDB_dbi db_ = 0;
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<std::uint64_t> copied_bytes_{0}; // state that was copied into it when it was begun
  std::atomic<std::uint64_t> source_bytes_{0}; // these two: of the index
  std::atomic<std::uint64_t> set_bytes_{0};
  log_damage damage_;
  mutable std::shared_mutex mutex_;
  log_index index_;
};

// A snapshot for reading; one thread. Views are valid while it lives.
class log_reader {
public:
  log_reader(const log_env& log, lmdb_txn txn, MDB_dbi db) noexcept
      : log_(&log), txn_(std::move(txn)), db_(db) {}
  [[nodiscard]] result<bytes_view> chunk(std::uint32_t key);
  [[nodiscard]] result<record_view> record(const log_place& at);
  [[nodiscard]] result<entry_view> entry(const log_place& at);
  [[nodiscard]] result<void>
  each_chunk(const std::function<result<void>(std::uint64_t key, bytes_view)>& each);

private:
  const log_env* log_;
  lmdb_txn txn_;
  MDB_dbi db_;
  std::uint32_t last_key_ = 0;
  bytes_view last_;
};

// One group commit. Add what goes in, then commit; the requests stay valid until then. The writer's thread
// only.
class log_batch {
public:
  log_batch(log_env& log, set_registry& sets) : log_(log), sets_(sets), span_(log.span_) {}

  // Everything of one request: its sets where this log lacks them, records that `repeated` does not know,
  // state. invalid_argument or malformed: nothing was added. `find` gives a set that the request did not
  // bring; may be null.
  [[nodiscard]] result<void> add(const append_request& request,
                                 const std::function<bool(const record_view&)>& repeated,
                                 const std::function<series_set_ptr(const set_hash&)>& find);
  void add_state(std::span<const state_pair> pairs, entry_kind kind = entry_kind::state);
  // What a log begins with, so that the ones before it can be deleted.
  void add_all_state(std::span<const state_pair> pairs);
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::uint64_t repeated() const noexcept { return repeated_; }
  [[nodiscard]] std::int64_t oldest_ns() const noexcept {
    return oldest_ns_;
  } // of its frames; INT64_MAX: none
  // One synced transaction, then the index. On failure nothing is stored.
  [[nodiscard]] result<void> commit();

private:
  struct piece {
    std::size_t scratch_at = 0;
    std::size_t scratch_bytes = 0;
    std::size_t body_bytes = 0;
    std::size_t records_from = 0; // in records_
    std::size_t records_to = 0;
    log_place place;
  };
  struct pending_frame {
    head_source* source; // null: a note
    std::size_t piece;
    std::size_t offset; // in the piece
    std::int64_t time_ns;
    record_kind kind;
  };
  void add_piece(entry_kind kind, bytes_view head, std::size_t body_bytes);

  log_env& log_;
  set_registry& sets_;
  byte_buffer scratch_;
  byte_buffer head_;
  frame frame_;
  std::vector<piece> pieces_;
  std::vector<bytes_view> records_;
  std::vector<pending_frame> frames_;
  std::unordered_map<set_key, log_set, set_key_hash>
      pending_sets_; // place.chunk is the piece until the commit
  std::map<stream_key, range_set> stored_;
  std::size_t bytes_ = 0;
  std::size_t copied_bytes_ = 0;
  std::uint64_t repeated_ = 0;
  std::int64_t oldest_ns_ = INT64_MAX;
  envelope::span span_; // of the log, with this batch
};

// Finds the sound entries in a log whose pages are damaged and writes them into a new log of the same number
// at `directory`.
struct salvaged_log {
  std::uint64_t records = 0;
  bool to_the_end = false; // the last chunk that was ever committed is among what was found, whole
};
[[nodiscard]] result<salvaged_log> salvage_log(const std::filesystem::path& damaged_file,
                                               const std::filesystem::path& directory,
                                               std::uint64_t map_bytes);
// What may be missing where nothing more is known: of everyone, at any time until a while after `now_ns`.
[[nodiscard]] damage anything_until(std::int64_t now_ns, std::uint64_t thing);

} // namespace skerry::cloud
