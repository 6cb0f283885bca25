#pragma once

// One span of time, sealed: an environment `<partitions>/<start s>-<span s>/data.mdb` that decodes alone. It
// holds series sets by content, sources (who sent which set), blocks of samples packed into extents, the
// label index (label pair -> roaring bitmap of series), metadata of families, ledger entries and which logs
// went into it.
//
// A series is numbered source × 256 + position in its set. Every value carries a checksum that covers its
// key. Databases and keys (numbers in big-endian order, so that they sort):
//   meta        "format", "samples"; "newest" (the time of its newest sample); "log" + id of a log that is sealed into
//               this partition -> the plans by which that was done; "part" + id of a log of which only a part is in
//               here yet -> seal_begun
//   source      source u32                            -> who and which set
//   source_key  edge u64, set hash, host id u64       -> source u32
//   set         set hash                              -> length, zstd of the encoded set
//   block       source u32, first time, log u64, part u32 -> last time, extent, offset, length, rows, samples
//   extent      log u64, extent u32                   -> blocks, one after the other
//   posting     label name, 0, value                  -> bitmap; the empty pair stands for every series
//   family      hash of the content                   -> a metric family
//   ledger      time, hash of the identity            -> a ledger entry
//   record      time, hash of the identity            -> a record that is kept whole
//
// Read by any thread, each with its own reader; written by the sealing thread alone.

#include "actors/promql/series_source.hpp"
#include "cloud/store/engine.hpp"
#include "cloud/store/lmdb.hpp"
#include "cloud/store/read_cache.hpp"

#include <roaring/roaring.hh>

#include <atomic>
#include <compare>
#include <filesystem>
#include <functional>
#include <memory>

namespace skerry::cloud {

inline constexpr std::uint8_t partition_version = 2;

__extension__ using wide = __int128; // seconds and nanoseconds side by side, without overflow

// Which span of time: [start, start + span).
struct partition_id {
  std::int64_t start_s = 0;
  std::int64_t span_s = 0;
  auto operator<=>(const partition_id&) const = default;

  [[nodiscard]] bool overlaps(std::int64_t from_ns, std::int64_t to_ns) const noexcept; // closed range
  [[nodiscard]] bool contains(std::int64_t time_ns) const noexcept;
  [[nodiscard]] bool ends_before(std::int64_t time_ns) const noexcept;
  [[nodiscard]] std::int64_t first_ns() const noexcept; // of the times that int64 has
  [[nodiscard]] std::int64_t last_ns() const noexcept;
};
[[nodiscard]] partition_id partition_of(std::int64_t time_ns, std::int64_t span_s) noexcept;

// How a log is divided among partitions. The clock moves and the span is a setting, so a partition notes the
// plan beside the log: it holds just those samples of the log that this plan puts here.
struct seal_plan {
  std::int64_t now_ns = 0;
  std::int64_t span_s = 86'400;
  auto operator<=>(const seal_plan&) const = default;
};
// A log that is being sealed into a partition: what of it stands here so far is incomplete, and made anew should the
// rest never come.
struct seal_begun {
  seal_plan plan;
  std::uint32_t extent =
      0; // the first of its extents, and the part of its first block, that are of this attempt
  std::uint32_t part = 0;
};
// How many pages a step of sealing touches, about: 32 MiB, which the environment keeps in memory.
inline constexpr std::size_t seal_step_pages = 8192;
// The partition that takes data of this time: data that is already old goes into coarse ones, so that the
// number of partitions stays bounded whatever comes.
[[nodiscard]] partition_id partition_for(std::int64_t time_ns, const seal_plan& plan) noexcept;
[[nodiscard]] std::string to_string(const partition_id& id);
[[nodiscard]] std::optional<partition_id> parse_partition_id(std::string_view name);

struct partition_source {
  std::uint32_t number = 0;
  tenant_id tenant = tenant_default;
  edge_id edge = edge_id::none;
  set_hash set;
  std::string site;
  std::string host;
  std::uint64_t kin = 0; // of its set: set_kin()
};

struct block_place {
  std::uint32_t source = 0;
  std::int64_t first_ns = 0;
  std::int64_t last_ns = 0;
  std::uint64_t log = 0;
  std::uint32_t part = 0;
  std::uint32_t extent = 0;
  std::uint32_t offset = 0;
  std::uint32_t bytes = 0;
  std::uint32_t rows = 0;
  std::uint32_t samples = 0;
};

class partition;

// A snapshot for reading; one thread; views are valid while it lives.
class partition_reader {
public:
  // The series that match, in roaring's order.
  [[nodiscard]] result<Roaring> match(std::span<const promql::matcher> matchers) const;
  [[nodiscard]] result<partition_source> source(std::uint32_t number) const;
  [[nodiscard]] result<void> each_source(const std::function<void(const partition_source&)>& each) const;
  [[nodiscard]] result<std::optional<std::uint32_t>> find_source(const partition_source& like) const;
  [[nodiscard]] result<series_set_ptr> set(const set_hash& hash) const; // null when absent
  [[nodiscard]] result<bool> holds_set(edge_id edge, const set_hash& hash) const;
  // Blocks of a source that may hold samples in [from, to].
  [[nodiscard]] result<void> each_block(std::uint32_t source, std::int64_t from_ns, std::int64_t to_ns,
                                        const std::function<result<void>(const block_place&)>& each) const;
  [[nodiscard]] result<bytes_view> block(const block_place& at) const;
  [[nodiscard]] result<void> each_label_name(const std::function<void(std::string_view)>& each) const;
  [[nodiscard]] result<void> each_label_value(std::string_view name,
                                              const std::function<void(std::string_view)>& each) const;
  [[nodiscard]] result<void> each_family(const std::function<void(promql::family_metadata)>& each) const;
  [[nodiscard]] result<void> ledger(std::int64_t from_ns, std::int64_t to_ns,
                                    const std::function<void(const ledger_entry&)>& each) const;
  [[nodiscard]] result<void> records(std::int64_t from_ns, std::int64_t to_ns,
                                     const std::function<void(const kept_record&)>& each) const;
  [[nodiscard]] result<std::uint64_t> samples() const;
  // The time of the newest sample; INT64_MAX: not known (written by an older version).
  [[nodiscard]] result<std::int64_t> newest_ns() const;
  [[nodiscard]] result<std::uint32_t> source_count() const;
  // By which plans samples of this log were put here; empty: none were.
  [[nodiscard]] result<std::vector<seal_plan>> plans_of(std::uint64_t log_id) const;
  // What stands here of this log is of an attempt that did not come to its end.
  [[nodiscard]] result<std::optional<seal_begun>> begun(std::uint64_t log_id) const;
  [[nodiscard]] std::uint64_t version() const noexcept; // another one with each commit

private:
  friend class partition;
  friend class partition_writer;
  partition_reader(const partition& owner, lmdb_txn txn) noexcept : owner_(&owner), txn_(std::move(txn)) {}
  [[nodiscard]] result<std::optional<bytes_view>> get(MDB_dbi db, bytes_view key) const; // checksum checked
  [[nodiscard]] result<void>
  each_in(MDB_dbi db, std::int64_t from_ns, std::int64_t to_ns, std::string_view what,
          const std::function<void(std::int64_t time_ns, byte_reader& value)>& each) const;
  [[nodiscard]] result<std::optional<Roaring>> posting(std::string_view name, std::string_view value) const;
  struct posting_view {
    std::string_view value;
    bytes_view bitmap;
  };
  [[nodiscard]] result<void> each_posting(std::string_view name,
                                          const std::function<result<void>(const posting_view&)>& each) const;

  const partition* owner_;
  lmdb_txn txn_;
};

class partition {
public:
  // Walks the file that lies in this directory, pages and values: corrupt. `pace`, where given, hears how many bytes were
  // looked at since it was last called, and may take its time; false: go no further, which is no verdict. While a
  // partition is written to, what is found means nothing.
  [[nodiscard]] static result<void> check(const std::filesystem::path& directory,
                                          const std::function<bool(std::uint64_t bytes)>& pace = {});
  // Opens or makes. With `check`, the file is walked first: corrupt.
  [[nodiscard]] static result<std::shared_ptr<partition>> open(const std::filesystem::path& directory,
                                                               const partition_id& id, bool check);

  [[nodiscard]] const partition_id& id() const noexcept { return id_; }
  [[nodiscard]] std::uint64_t cache_owner() const noexcept { return cache_owner_; }
  [[nodiscard]] result<partition_reader> read() const;
  [[nodiscard]] std::uint64_t bytes() const noexcept { return env_->used_bytes(); }
  [[nodiscard]] bool nearly_full() const noexcept { return env_->used_bytes() > env_->map_bytes() / 2; }

private:
  friend class partition_reader;
  friend class partition_writer;
  partition() = default;

  partition_id id_;
  const std::uint64_t cache_owner_ = next_cache_owner();
  std::unique_ptr<lmdb_env> env_;
  MDB_dbi meta_ = 0;
  MDB_dbi source_ = 0;
  MDB_dbi source_key_ = 0;
  MDB_dbi set_ = 0;
  MDB_dbi block_ = 0;
  MDB_dbi extent_ = 0;
  MDB_dbi posting_ = 0;
  MDB_dbi family_ = 0;
  MDB_dbi ledger_ = 0;
  MDB_dbi record_ = 0;
};

} // namespace skerry::cloud
