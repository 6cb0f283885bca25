#pragma once

// Reads what one host ("place") has of a query's series: samples of all logs and partitions, by labels, in order of
// time, each time once. One object per thread and query; the snapshot and what was found in it are shared.

#include "cloud/store/log_window.hpp"
#include "cloud/store/partitions.hpp"
#include "cloud/store/read_cache.hpp"
#include "schemas/codec/block_codec.hpp"

#include <algorithm>
#include <atomic>
#include <functional>
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
  store_metrics& metrics;
};

using set_members = std::vector<std::uint16_t>;

// Which series of which source hit.
struct head_hit {
  std::size_t log = 0;
  const head_source* source = nullptr;
  std::vector<std::shared_ptr<const set_members>> of_sets; // null: none
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
  std::string_view site; // of its hits
  std::string_view host;
  std::vector<head_hit> heads;
  std::vector<partition_hit> partitions; // the newest first
};

// What is wanted of all places, and what all threads share.
struct read_bounds {
  std::int64_t from_ns = 0;
  std::int64_t to_ns = 0;
  std::uint64_t step_ns = 0; // 0: all between; else what is in [from, from + span], and again every step
  std::uint64_t span_ns = 0;
  std::uint64_t samples_max = 0;
  bool newest_only = false; // of each series; others may come with them
  const std::atomic<bool>* cancelled = nullptr;
  std::atomic<std::uint64_t> samples{0};

  // Whether any time in [first, last] is.
  [[nodiscard]] bool wants(std::int64_t first_ns, std::int64_t last_ns) const noexcept;
};

class place_columns {
public:
  struct column {
    labels all;
    std::vector<std::int64_t> times; // nanoseconds while it is read, then milliseconds
    std::vector<double> values;
    std::int64_t newest_ns = INT64_MIN;
    bool ascending = true;
  };
  std::vector<column> columns;

  // The columns of these members of a set, ascending, in their order. Series with the same labels are one.
  [[nodiscard]] std::vector<std::uint32_t> columns_of(const compact_set_ptr& set,
                                                      std::span<const std::uint16_t> members,
                                                      std::string_view site, std::string_view host);

private:
  struct set_columns {
    compact_set_ptr set;
    std::vector<std::pair<std::uint16_t, std::uint32_t>> of_members; // ascending
  };
  // Who made a column: its labels are that member's.
  struct maker {
    const compact_set* set;
    std::uint16_t member;
  };
  // The column that another set's member made, or an equal one of the same set.
  [[nodiscard]] std::optional<std::uint32_t> find(const compact_set& set, std::uint16_t member);

  [[nodiscard]] set_columns& of_set(const compact_set_ptr& set, std::size_t members);
  std::vector<set_columns> by_set_;
  std::unordered_map<set_hash, std::size_t> set_index_; // into by_set_, once they are not few any more
  std::vector<maker> makers_;                           // of the columns
  std::unordered_multimap<std::uint64_t, std::uint32_t> by_labels_; // of the first `indexed_` columns
  std::size_t indexed_ = 0;
};

class place_reader {
public:
  place_reader(const store_snapshot& from, std::span<const std::shared_ptr<partition>> partitions,
               const store_parts& parts, read_bounds& bounds);

  // exhausted, cancelled, io. Damage is left out, counted and logged.
  [[nodiscard]] result<void> read(const place& what, place_columns& to);
  // Only the labels.
  [[nodiscard]] result<void> name(const place& what, place_columns& to);

private:
  [[nodiscard]] result<void> read_head(const head_hit& hit, const place& at, place_columns& to);
  [[nodiscard]] result<void> read_window(const head_hit& hit, const log_window& window, std::size_t frames,
                                         std::span<const std::vector<std::uint32_t>> columns,
                                         place_columns& to);
  // How many of `frames` it read.
  [[nodiscard]] result<std::size_t> read_frames(const head_hit& hit, std::span<const frame_ref> frames,
                                                log_reader& log,
                                                std::span<const std::vector<std::uint32_t>> columns,
                                                place_columns& to);
  [[nodiscard]] result<void> read_partition(const partition_hit& hit, place_columns& to);
  [[nodiscard]] result<std::vector<block_place>> blocks_of(const partition_hit& hit);
  [[nodiscard]] result<void> read_block(const partition_hit& hit, const block_place& at,
                                        std::span<const std::uint32_t> columns, place_columns& to);
  // Of each set of the source, those of the members that hit.
  [[nodiscard]] std::vector<std::vector<std::uint32_t>> columns_of(const head_hit& hit, const place& at,
                                                                   place_columns& to);
  [[nodiscard]] cache_key head_key(const partition_hit& hit,
                                   const block_place& at) const; // of the block's head
  // The columns of the members that hit, in their order.
  [[nodiscard]] result<void> columns_of(const partition_hit& hit, place_columns& to,
                                        std::vector<std::uint32_t>& columns);
  [[nodiscard]] result<compact_set_ptr> set_of(const partition_reader& reader, const set_hash& hash);
  [[nodiscard]] result<partition_reader*> partition_at(std::size_t index);
  // Damage in one place must not hide the rest: counted, logged, and left out.
  [[nodiscard]] bool passable(const error& e, const char* what);
  [[nodiscard]] result<void> go_on() const;
  [[nodiscard]] result<void> count(std::size_t samples);

  const store_snapshot& from_;
  std::span<const std::shared_ptr<partition>> partitions_;
  const store_parts& parts_;
  read_bounds& bounds_;
  std::vector<std::unique_ptr<partition_reader>> readers_; // by partition, opened when first needed
  block_decoder decoder_;
  frame_rows frames_;
  std::vector<double> values_;
  std::vector<std::uint64_t> present_;
};

} // namespace skerry::cloud
