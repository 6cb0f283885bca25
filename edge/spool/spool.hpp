#pragma once

// The edge's on-disk buffer: runs of records and the series sets that they name, in LMDB segments of bounded
// size.
//
// Invariants (docs/delivery.md):
//  1. What commit() returned is on stable storage.
//  2. Every open() starts a new epoch: a number is never given twice, whatever happened to the disk in
//  between.
//  3. A segment holds every series set that its records name: it decodes alone.
//  4. A segment whose every record is released is deleted as a file: its space goes back to the file system. It may
//     be kept for reading for a while; then it is offered to nobody, and is the first to go when space is needed.
//  5. A damaged segment never stops the node: what can be read is salvaged, what can't is reported.
//
// Threads: open, commit, adopt, release and close on one thread (the writer); the const methods on any.

#include "actors/base/clock.hpp"
#include "schemas/model/range_set.hpp"
#include "schemas/model/record.hpp"
#include "schemas/model/series.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace prometheus {
class Registry;
}

namespace skerry::edge {

inline constexpr std::uint64_t spool_bytes_max_default = std::uint64_t{10} << 30;

// What of a spool is for its user to say.
struct spool_settings {
  std::uint64_t bytes_max = spool_bytes_max_default; // commit fails with `exhausted` beyond
  std::uint64_t segment_bytes = 64 << 20;
  std::uint64_t reserve_bytes = 8 << 20; // preallocated, given up when the disk is full
  // A segment whose every record is released is kept for reading until its newest record is older than that, within
  // so many bytes of such segments; 0: not at all. It never takes room from records that are not released: within
  // bytes_max, and wherever space is short, kept segments go first, the oldest of them at first.
  std::chrono::nanoseconds local_retention{0};
  std::uint64_t local_bytes_max = std::uint64_t{1} << 30;
  // How long of running a clock that jumped ahead is waited for before anything is old by it; 0: not at all.
  std::chrono::nanoseconds clock_jump_wait = std::chrono::hours{24};
};

struct spool_config : spool_settings {
  std::filesystem::path directory;
  edge_id edge = edge_id::none;
  // Of bytes_max, for replace() alone: what stays of a segment that is thinned is written before the segment goes.
  std::uint64_t replace_bytes = 0;
  bool drops_by_age = false; // the owner does, by age_time_ns(): then a clock that jumped is worth a warning
  // A suspect segment is examined by this program in a process of its own (`skerry-edge examine-segment`), which gets so
  // long and a quarter of a second for each MiB. Empty: by this process.
  std::vector<std::string> examine_command;
  std::chrono::milliseconds examine_time{10'000};

  [[nodiscard]] result<void> validate() const;
  [[nodiscard]] result<void> validate_sizes() const; // what is known without a directory and an edge
};
inline constexpr std::uint64_t segment_bytes_min = 1 << 20;

// Of one stream that the spool holds or held: what Hello says.
struct stream_state {
  stream_key key;
  range_set held;     // in the spool, not released
  range_set released; // deleted after the receiver's ack; kept for every epoch that has records left, and the
                      // last few
  // Damaged on disk and gone: named until released, or until adopt() brings a tombstone that stands for it.
  range_set lost;
  range_set kept; // of `released`: still on disk, for take_back()
  std::int64_t newest_ns =
      0;               // event time of the newest record that is on disk, not after its commit; 0: none is
  sequence last = 0;   // the newest that was ever committed here
  bool closed = false; // an older epoch of this edge: nothing will be added
  std::uint64_t last_digest = 0; // checksum field of record `last`; 0 when it is no longer held
};

// What open() found; logged, and told to the cloud as records by the caller.
struct open_report {
  bool clean = true;               // the last close was orderly
  std::int64_t last_commit_ns = 0; // wall time of the newest commit before this opening; 0: none
  std::uint64_t previous_boot_counter = 0;
  std::uint64_t segments = 0;
  std::uint64_t records = 0;
  struct damage {
    std::filesystem::path segment;
    std::string what;
    std::uint64_t records_salvaged = 0;
    std::uint64_t records_lost = 0; // by sequence, where that can be told
  };
  std::vector<damage> damaged;
};

struct spool_usage {
  std::uint64_t records = 0; // held
  std::uint64_t bytes = 0;   // of their runs
  std::uint64_t disk_bytes = 0;
  std::uint64_t segments = 0;
  std::int64_t oldest_ns = 0;   // when the oldest held record was seen, by its node's own clock; 0: none
  std::uint64_t kept_bytes = 0; // on disk, of segments that are released and kept for reading
  std::chrono::nanoseconds clock_ahead{
      0}; // by so much the clock has jumped, and nothing is deleted by it yet
};

class spool {
public:
  // conflict: another process has it open; unsupported_version: written by a newer format; io / exhausted:
  // the directory can't be written or the disk is full. Each says what to do. Damage is not an error: see
  // report().
  [[nodiscard]] static result<std::unique_ptr<spool>>
  open(spool_config config, clock_source& clock, random_source& random, prometheus::Registry& metrics);
  virtual ~spool() = default; // does not mark the spool as closed in order: call close()

  [[nodiscard]] virtual const epoch_id& epoch() const noexcept = 0;
  [[nodiscard]] virtual const open_report& report() const noexcept = 0;

  // Numbers the records in this epoch's stream, and returns once they and their sets are synced. The run is
  // what was stored. exhausted: a limit or the disk is full, nothing was stored; io: nothing was stored. Alerts are
  // stored beyond bytes_max by up to half of reserve_bytes, and on a full disk while the reserve that was given up lasts.
  [[nodiscard]] virtual result<run> commit(stream_id stream, std::span<const pending_record> records,
                                           std::span<const series_set_ptr> sets) = 0;

  // Keeps runs of edges further out, with the identity that they have; what is held or released already is
  // trimmed. `sets` are those that the sender gave for `edge`. Synced on return.
  struct adopted_set {
    edge_id edge;
    series_set_ptr set;
  };
  [[nodiscard]] virtual result<void> adopt(std::span<const run> runs, std::span<const adopted_set> sets) = 0;

  // The oldest part whose space can be freed as a whole, of those that are newer than part `after`; nullopt: nothing is
  // held there. The writer's thread.
  struct oldest_part {
    std::uint64_t number = 0;   // from 1; newer parts have larger ones
    std::uint64_t bytes = 0;    // on disk
    std::int64_t newest_ns = 0; // event time of its newest record, not after its commit
    std::vector<std::pair<stream_key, range_set>> held;
  };
  [[nodiscard]] virtual std::optional<oldest_part> oldest(std::uint64_t after = 0) = 0;
  // What of the stream is held in parts that are not written any more: replacing it ends none before it is full.
  [[nodiscard]] virtual range_set in_closed_parts(const stream_key& key) const = 0;
  // Stores these runs in place of what is held under the same sequences, and frees that: for tombstones over what
  // limits force out, and what stays of what they thin. Goes beyond bytes_max by up to reserve_bytes. not_found: some of
  // it is not held (any more).
  [[nodiscard]] virtual result<void> replace(std::span<const run> with) = 0;

  // The receiver has these: they need not be kept. Segments that became empty are deleted. A crash may forget
  // a release of the last moments; then they are offered again and trimmed by the receiver.
  virtual result<void> release(const stream_key& key, const range_set& ranges) = 0;

  // The receiver lost these: what of them is still on disk is held again, as before its release, and comes back. A restart
  // forgets that, and calls it released and kept once more. Any thread.
  [[nodiscard]] virtual range_set take_back(const stream_key& key, const range_set& ranges) const {
    static_cast<void>(key), static_cast<void>(ranges);
    return {};
  }

  // The stored records of `key` from the first held one at or after `from`, cut at `bytes_max` (but at least
  // one record) and at holes. Nothing held there: nullopt. corrupt: the segment was damaged since; it is set
  // aside and salvaged, ask again. exhausted: the same, but there is no room on the disk to salvage it now.
  [[nodiscard]] virtual result<std::optional<run>> read(const stream_key& key, sequence from,
                                                        std::size_t bytes_max) const = 0;
  [[nodiscard]] virtual result<std::optional<series_set_ptr>> find_set(edge_id edge,
                                                                       const set_hash& hash) const = 0;
  [[nodiscard]] virtual std::vector<stream_state> streams() const = 0;
  [[nodiscard]] virtual spool_usage usage() const = 0;

  // The time by which age is judged: the wall clock's, but for a jump ahead that is not believed yet. The writer's thread.
  [[nodiscard]] virtual std::int64_t age_time_ns() = 0;
  // Deletes kept segments that are over their time or bytes, or all of them. The writer's thread.
  virtual void trim_kept(bool all) { static_cast<void>(all); }
  // Every run with a record in [from, to] (event times) that is on disk, released or not, and with each the sets'
  // finder of its segment. A run may come twice while segments change, and may hold records of other times. Where a
  // segment is damaged, or `each` fails with corrupt or malformed, that part is left out and the segment is handed to
  // repair, which goes on by itself; any other failure of `each` ends it. How many segments were found damaged.
  using set_finder = std::function<result<std::optional<series_set_ptr>>(edge_id, const set_hash&)>;
  virtual result<std::size_t>
  scan(std::int64_t from_ns, std::int64_t to_ns,
       const std::function<result<void>(const run&, const set_finder&)>& each) const {
    static_cast<void>(from_ns), static_cast<void>(to_ns), static_cast<void>(each);
    return std::size_t{0};
  }

  virtual result<void> close() = 0; // marks the stop as orderly
};

} // namespace skerry::edge
