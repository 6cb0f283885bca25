#pragma once

// Writes what one log holds for one partition, in one transaction: it is there whole or not at all, and beside
// it stands by which plan it was chosen. The sealing thread only.

#include "cloud/store/log_format.hpp"
#include "cloud/store/partition.hpp"

#include <map>
#include <set>
#include <unordered_map>

namespace skerry::cloud {

class partition_writer {
public:
  [[nodiscard]] static result<partition_writer> begin(partition& into, std::uint64_t log_number);

  // The number of a source; makes it, with its set and its labels, when it is new here.
  [[nodiscard]] result<std::uint32_t> source(partition_source like,
                                             const std::function<result<series_set_ptr>()>& content);
  [[nodiscard]] result<void> block(std::uint32_t source, std::span<const std::int64_t> times_ns,
                                   std::size_t samples, bytes_view encoded);
  [[nodiscard]] result<void> ledger(const ledger_entry& entry);
  [[nodiscard]] result<void> record(const kept_record& record);
  // Commits, and notes that all that `plan` puts here of this log is here now. `live_logs`: ids of all logs that
  // still exist; notes about others are dropped.
  [[nodiscard]] result<void> commit(std::uint64_t log_id, const seal_plan& plan,
                                    const std::set<std::uint64_t>& live_logs);

private:
  partition_writer(partition& into, partition_reader reader, std::uint64_t log_number)
      : into_(&into), reader_(std::move(reader)), log_number_(log_number) {}
  result<void> put(MDB_dbi db, bytes_view key, bytes_view value);
  result<void> index(std::uint32_t source, const series_set& set, std::string_view site);
  result<void> go_on_numbering();
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
  std::uint64_t log_number_;
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
