#pragma once

// All that the cloud asks of what stores its data. Each who uses it takes the role that it needs: writer.hpp, state.hpp,
// sets.hpp, note_reader.hpp, series_source.hpp. The embedded engine (LMDB, embedded.hpp) is the first to keep it; one for
// users who outgrow a machine can follow. No transaction reaches beyond one append.

#include "actors/promql/series_source.hpp"
#include "cloud/store/data_changes.hpp"
#include "cloud/store/note_reader.hpp"
#include "cloud/store/sets.hpp"
#include "cloud/store/state.hpp"
#include "cloud/store/writer.hpp"

#include <cstdint>

namespace skerry::cloud {

struct engine_usage {
  std::uint64_t log_bytes = 0;  // write-ahead log
  std::uint64_t disk_bytes = 0; // everything
  std::uint64_t partitions = 0;
  std::uint64_t series = 0;  // in the open log and the newest partition
  std::uint64_t samples = 0; // in partitions
};

class engine : public store_writer,
               public state_store,
               public set_catalog,
               public note_reader,
               public promql::series_source {
public:
  // Noted by the engine, and by whoever else changes what queries see (deletions).
  [[nodiscard]] data_changes& changes() noexcept { return changes_; }

  // What is older is past retention: not by one reading of a clock. INT64_MIN: nothing is.
  [[nodiscard]] virtual std::int64_t kept_from_ns() const noexcept { return INT64_MIN; }
  [[nodiscard]] virtual engine_usage usage() const = 0;
  // Why nothing can be stored now, for people; ok while it can. Any thread.
  [[nodiscard]] virtual result<void> takes_data() const { return ok(); }

private:
  data_changes changes_;
};

} // namespace skerry::cloud
