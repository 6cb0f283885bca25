#pragma once

// Numbers what is pushed to the cloud itself and hands it to the shards, as a plain class. Its records have an origin
// like all others: the reserved edge id `edge_pushed`, an epoch of their own for each start of the process, and
// sequences from 1. So identity, ledger and trimming know no difference. Nothing is ever sent again under the same
// number: what was not acknowledged comes back from its sender as a new record, and the store merges equal samples. So
// shards drop what they keep of the epochs before.
//
// What comes while runs are under way waits and goes into the next one together. Not thread-safe.

#include "actors/base/clock.hpp"
#include "actors/push/push_assembler.hpp"
#include "cloud/ingest/shard_core.hpp"
#include "cloud/store/sets.hpp"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace skerry::cloud {

// What one request brought. `done` is called once, on whatever thread stores it.
struct push_job {
  std::vector<push::pushed_host> hosts;
  std::function<void(result<void>)> done;
};

class push_core {
public:
  static constexpr std::size_t runs_under_way_max = 2;
  static constexpr std::size_t run_bytes_max = 4 << 20;
  static constexpr std::size_t run_records_wanted_max = 1 << 14;

  using to_shard_function = std::function<void(shard_id id, std::shared_ptr<shard_part> part)>;
  using streams_function = std::function<void(const std::shared_ptr<const stream_news_list>& news)>;

  // `streams`: how far what was pushed is held; as ingest_core's.
  push_core(std::shared_ptr<set_catalog> sets, clock_source& clock, random_source& random,
            to_shard_function to_shard, streams_function streams);

  // Tickets of its parts are told from those of edges' jobs by their highest bit.
  [[nodiscard]] static bool owns(std::uint64_t ticket) noexcept { return (ticket & ticket_bit) != 0; }

  void take(push_job job);
  void on_part_stored(std::uint64_t ticket, const std::string& failed);
  void refuse_all(const std::string& why); // what is not stored yet; nothing may be called afterwards

private:
  static constexpr std::uint64_t ticket_bit = std::uint64_t{1} << 63;

  // One request: cut in pieces where it is large.
  struct open_job {
    push_job job;
    std::size_t pieces = 0; // not stored yet
    std::string failed;
  };
  struct piece {
    std::shared_ptr<open_job> of;
    std::size_t host = 0; // records [from, to) of this one
    std::size_t from = 0;
    std::size_t to = 0;
  };
  struct open_run {
    std::vector<piece> pieces;
    sequence_range sequences;
    std::size_t parts = 0;
    std::string failed;
  };

  void start_runs();
  void start_run();
  void finish(open_run run);
  static void finish_piece(const piece& done, const std::string& failed);

  std::shared_ptr<set_catalog> sets_;
  to_shard_function to_shard_;
  streams_function streams_;
  stream_key key_;
  sequence next_ = 1;
  range_set finished_; // sequences that are stored, or given up for good
  std::deque<piece> waiting_;
  std::map<std::uint64_t, open_run> runs_; // by ticket
  std::uint64_t next_ticket_ = 1;
};

} // namespace skerry::cloud
