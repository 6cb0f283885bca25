#pragma once

// Reads what one place has of a query's series: samples of all logs and partitions, by labels, in order of time, each
// time once. A place is one host, or several that have a series with the same labels. One object per thread and query;
// the snapshot and what was found in it are shared.

#include "actors/promql/query_memory.hpp"
#include "cloud/store/log_window.hpp"
#include "cloud/store/partitions.hpp"
#include "cloud/store/place_columns.hpp"
#include "cloud/store/read_cache.hpp"
#include "schemas/codec/block_codec.hpp"

#include <atomic>
#include <memory>
#include <vector>

namespace skerry::cloud {

// Taken at one moment: a log that is missing here is sealed into these partitions.
struct store_snapshot {
  std::vector<std::shared_ptr<const log_env>> logs;
  std::vector<partition_id> partitions;
};

struct store_parts {
  partition_catalog& partitions;
  set_registry& sets;
  read_cache& cache;
  damage_ledger& damages;
};

// Which series of which source hit.
struct head_hit {
  struct section {
    std::uint32_t number = 0;
    const set_members* members = nullptr; // of the selection, which outlives its hits
  };
  std::size_t log = 0;
  const head_source* source = nullptr;
  boost::container::small_vector<section, 2> sections; // ascending
};
// What a partition says of a source. Kept, because looking it up costs more than reading a few samples does.
struct kept_source {
  partition_source source;
  bool all_blocks = false; // else they are to be looked up
  std::vector<block_place> blocks;
};
using kept_source_ptr = std::shared_ptr<const kept_source>;
// corrupt: the source's entry; damage of blocks' entries shows when they are looked up.
[[nodiscard]] result<kept_source_ptr> find_source(const partition& in, const partition_reader& reader,
                                                  std::uint32_t number, read_cache& cache);

struct partition_hit {
  std::size_t partition = 0;
  kept_source_ptr source;
  set_members of_set;
};
struct place {
  boost::container::small_vector<promql::host_name, 1> hosts; // texts of its hits; ascending
  boost::container::small_vector<head_hit, 1> heads;          // by log
  std::vector<partition_hit> partitions;                      // the newest first

  [[nodiscard]] std::span<const promql::host_name> names() const noexcept {
    return {hosts.data(), hosts.size()};
  }
};
// Of a series set in a partition; kept in the cache.
[[nodiscard]] result<compact_set_ptr> find_compact_set(const partition_reader& reader, const set_hash& hash,
                                                       const store_parts& parts);

// What is wanted of all places, and what all threads share.
struct read_bounds {
  std::int64_t from_ns = 0;
  std::int64_t to_ns = 0;
  std::uint64_t step_ns = 0; // 0: all between; else what is in [from, from + span], and again every step
  std::uint64_t span_ns = 0;
  std::uint64_t samples_max = 0;
  bool newest_only = false; // of each series; others may come with them
  const std::atomic<bool>* cancelled = nullptr;
  promql::query_memory* memory = nullptr; // null: unbounded
  std::atomic<std::uint64_t> samples{0};

  // Whether any time in [first, last] is.
  [[nodiscard]] bool wants(std::int64_t first_ns, std::int64_t last_ns) const noexcept;
};

class place_reader {
public:
  place_reader(const store_snapshot& from, std::span<const std::shared_ptr<partition>> partitions,
               const store_parts& parts, read_bounds& bounds);

  // exhausted, cancelled, io. What is damaged is left out, and noted as such.
  [[nodiscard]] result<std::vector<series_column>> read(const place& what);
  // What its last answer takes of the query's memory.
  [[nodiscard]] promql::memory_hold take_held() noexcept {
    return std::exchange(held_, promql::memory_hold{bounds_.memory});
  }
  // Only the labels.
  [[nodiscard]] result<std::vector<series_column>> name(const place& what);

private:
  [[nodiscard]] result<void> read_head(const head_hit& hit);
  // Into frames_: those that may have what is wanted, whole windows of them. The number of the first window.
  [[nodiscard]] std::size_t find_frames(const head_hit& hit);
  [[nodiscard]] result<void> read_window(const head_hit& hit, const log_window& window, std::size_t frames);
  // How many of `frames` it read.
  [[nodiscard]] result<std::size_t> read_frames(const head_hit& hit, std::span<const frame_ref> frames,
                                                log_reader& log);
  [[nodiscard]] result<void> read_partition(const partition_hit& hit);
  [[nodiscard]] result<std::vector<block_place>> blocks_of(const partition_hit& hit);
  [[nodiscard]] result<void> read_block(const partition_hit& hit, const block_place& at);
  [[nodiscard]] cache_key head_key(const partition_hit& hit,
                                   const block_place& at) const; // of the block's head
  // Into columns_: those of the members that hit, in their order.
  [[nodiscard]] result<void> find_columns(const head_hit& hit);
  [[nodiscard]] result<void> find_columns(const partition_hit& hit);
  // Whether each of them has a sample that is newer.
  [[nodiscard]] bool all_newer(std::int64_t time_ns) const;
  [[nodiscard]] result<partition_reader*> partition_at(std::size_t index);
  void note_source(const partition_hit& hit, const error& why);
  [[nodiscard]] result<void> go_on() const;
  [[nodiscard]] result<void> count(std::size_t samples);
  // The columns that came since there were `known`.
  [[nodiscard]] result<void> count_columns(std::size_t known);

  const store_snapshot& from_;
  std::span<const std::shared_ptr<partition>> partitions_;
  const store_parts& parts_;
  read_bounds& bounds_;
  std::vector<std::unique_ptr<partition_reader>> readers_; // by partition, opened when first needed
  promql::memory_hold held_;                               // for what to_ holds
  place_columns to_;
  std::vector<std::uint32_t> columns_; // of the hit that is read, in to_
  block_decoder decoder_;
  frame_rows rows_;
  std::vector<frame_ref> frames_;
  std::size_t room_ = 0; // samples of a column that they may have
  std::vector<double> values_;
  std::vector<std::uint64_t> present_;
};

} // namespace skerry::cloud
