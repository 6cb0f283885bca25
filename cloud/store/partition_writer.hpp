#pragma once

// Writes what one log holds for one partition. LMDB keeps each page that a transaction touches in memory until it
// commits, and rows at random places touch a page each: so it goes in steps, each of a bounded number of pages. The
// first step notes that only a part is here (`seal_begun`), the last one replaces that by the plan by which all of it
// was chosen. A writer that finds a part deletes its blocks and makes them anew; all else of it is written again under
// the same keys. Until the end the log answers too, and the same sample from both is one. The sealing thread only.

#include "cloud/store/log_format.hpp"
#include "cloud/store/partition.hpp"

#include <array>
#include <functional>
#include <set>
#include <unordered_map>

namespace skerry::cloud {

class partition_writer {
public:
  struct log_name {
    std::uint64_t number = 0;
    std::uint64_t id = 0;
  };
  // `step_pages`: about as many are touched in a step. `stepped`, where given, is called after each step but the last.
  [[nodiscard]] static result<partition_writer> begin(partition& into, const log_name& log,
                                                      const seal_plan& plan, std::size_t step_pages,
                                                      std::function<void()> stepped = {});

  // The number of a source; makes it, with its set and its labels, when it is new here.
  [[nodiscard]] result<std::uint32_t> source(partition_source like,
                                             const std::function<result<series_set_ptr>()>& content);
  [[nodiscard]] result<void> block(std::uint32_t source, std::span<const std::int64_t> times_ns,
                                   std::size_t samples, bytes_view encoded);
  [[nodiscard]] result<void> ledger(const ledger_entry& entry);
  [[nodiscard]] result<void> record(const kept_record& record);
  // Commits, and notes that all that the plan puts here of this log is here now. `live_logs`: ids of all logs that
  // still exist; notes about others are dropped.
  [[nodiscard]] result<void> commit(const std::set<std::uint64_t>& live_logs);

private:
  // The end of a database whose keys mostly come in order.
  struct ordered_end {
    std::array<std::byte, 64> key;
    std::size_t bytes = 0;
    bool known = false;
  };
  partition_writer(partition& into, partition_reader reader, const log_name& log, const seal_plan& plan)
      : into_(&into), reader_(std::move(reader)), log_(log), plan_(plan) {}
  result<void> put(MDB_dbi db, bytes_view key, bytes_view value, unsigned flags = 0);
  // The same; where the key is behind all others, pages are filled to the end.
  result<void> put_ordered(MDB_dbi db, ordered_end& end, bytes_view key, bytes_view value);
  result<void> erase(MDB_dbi db, bytes_view key);
  result<void> index(std::uint32_t source, const series_set& set, std::string_view site);
  result<void> go_on_numbering();
  result<void> drop_unfinished();
  result<void> step_if_large();
  result<void> step();
  result<void> flush_postings();
  result<void> flush_extent();

  struct pending_posting {
    std::string name;
    std::string value;
    bool exact = true;
    Roaring bitmap;
  };
  partition* into_;
  partition_reader reader_; // over the write transaction
  log_name log_;
  seal_plan plan_;
  seal_begun begun_;
  bool noted_begun_ = false;
  std::size_t step_pages_ = 0;
  std::size_t touched_pages_ = 0; // about, since the last step
  std::function<void()> stepped_;
  ordered_end source_end_;
  ordered_end ledger_end_;
  ordered_end record_end_;
  std::uint32_t next_source_ = 0;
  std::uint32_t next_part_ = 0;
  std::uint32_t next_extent_ = 0;
  std::uint64_t samples_ = 0;
  std::int64_t newest_ns_ = INT64_MIN;
  byte_buffer extent_;
  byte_buffer scratch_;
  std::unordered_map<std::string, pending_posting> postings_;
};

} // namespace skerry::cloud
