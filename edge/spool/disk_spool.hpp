#pragma once

// The spool on disk behind spool.hpp. Private to this folder.
//
// Two mutexes. `writing_` is held by whatever changes files: commits, deletion, setting a damaged segment
// aside. `table_` guards the tables in memory and is held briefly, never during input or output; it is taken
// after `writing_`. Reading takes `table_` to find the segment and then reads its file without a lock: a
// sealed file never changes, a deleted one lives on until its descriptor is closed, and for the active one
// `commits` tells whether a commit came in between (even: none is under way).
//
// A third one, `repair_`, guards the list of segments that are to be examined, and is held with no other. A thread of
// its own takes them from there: it verifies and scans without a lock (nobody writes such a file any more), and takes
// `writing_` only to put what was saved in its place. Commits go on meanwhile; who asked for a record of it waits a
// moment, and is then told to ask again.
//
// Deleting a segment: STATE is synced with the released ranges first, so a crash in between leaves a segment
// that is known to be released, never a range of which nothing is known. A release that deletes nothing goes
// into the transaction of the next commit; a crash before that forgets it, and the records are offered again.

#include "edge/spool/age_clock.hpp"
#include "edge/spool/commit_clock.hpp"
#include "edge/spool/examiner.hpp"
#include "edge/spool/metrics.hpp"
#include "edge/spool/pieces.hpp"
#include "edge/spool/salvage.hpp"
#include "edge/spool/segment_writer.hpp"
#include "edge/spool/set_filter.hpp"
#include "edge/spool/spool.hpp"
#include "edge/spool/state_file.hpp"

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_set>

namespace skerry::edge {

inline constexpr std::size_t small_commit_bytes = 64 << 10; // still stored when only the reserve is left
inline constexpr std::uint64_t alerts_share_of_reserve =
    2; // alerts go beyond bytes_max by one such part; the rest is for tombstones
inline constexpr std::size_t damaged_segments_kept = 4;
inline constexpr std::size_t drained_epochs_kept = 4; // of each edge and stream, in streams()
inline constexpr std::size_t kept_segments_max = 64;  // released ones, for reading
inline constexpr std::uint64_t drained_active_divisor =
    8; // a drained active segment is deleted from this part on
inline constexpr std::size_t salvage_commit_bytes = 4 << 20;
inline constexpr int examine_attempts_max = 2; // a machine short of memory is no reason to give a segment up
inline constexpr std::chrono::seconds examine_pause{2};
inline constexpr std::chrono::seconds repair_wait{1}; // by who finds damage; then it asks again
inline constexpr int damaged_places_max = 64; // of a stream in a segment, that a scan tries to pass by
// Runs that fill their pages badly are put together once they are backlog: when so many bytes of them have
// come in a row and are still held, the next commit's transaction replaces them by one run.
inline constexpr std::size_t packed_run_bytes = 64 << 10;
inline constexpr std::size_t small_run_bytes = 32 << 10;
inline constexpr std::size_t small_runs_bytes_max = 4 << 20; // kept in memory for that, of all streams

struct held_stream {
  segment_stream stored;
  range_set remaining; // not released
};

struct segment {
  std::uint64_t number = 0;
  std::filesystem::path directory;
  bool active = false;
  bool gone = false; // deleted or set aside
  bool kept = false; // all of it is released, and that is on stable storage; kept for reading
  std::uint64_t bytes = 0;
  std::map<stream_key, held_stream> streams;
  std::shared_ptr<const set_filter> sets; // of one that is complete; null: not made yet
  std::atomic<std::uint64_t> commits{0};  // +1 when one begins, +1 when it ends
};
using segment_ptr = std::shared_ptr<segment>;

struct stream_info {
  range_set held;
  range_set released;
  range_set lost;
  sequence last = 0;
  std::uint64_t last_digest = 0;
  bool release_unwritten = false;
  sequence oldest_seq = 0; // `oldest_ns` belongs to this one
  std::int64_t oldest_ns = 0;
};

struct set_name_hash {
  std::size_t operator()(const set_name& name) const noexcept {
    return std::hash<set_hash>{}(name.hash) ^ static_cast<std::size_t>(name.edge);
  }
};

class disk_spool final : public spool {
public:
  disk_spool(spool_config config, clock_source& clock, random_source& random, prometheus::Registry& metrics);
  ~disk_spool() override;
  result<void> start();

  const epoch_id& epoch() const noexcept override { return epoch_; }
  const open_report& report() const noexcept override { return report_; }
  result<run> commit(stream_id stream, std::span<const pending_record> records,
                     std::span<const series_set_ptr> sets) override;
  result<void> adopt(std::span<const run> runs, std::span<const adopted_set> sets) override;
  std::optional<oldest_part> oldest(std::uint64_t after) override;
  range_set in_closed_parts(const stream_key& key) const override;
  result<void> replace(std::span<const run> with) override;
  result<void> release(const stream_key& key, const range_set& ranges) override;
  range_set take_back(const stream_key& key, const range_set& ranges) const override;
  result<std::optional<run>> read(const stream_key& key, sequence from, std::size_t bytes_max) const override;
  result<std::optional<series_set_ptr>> find_set(edge_id edge, const set_hash& hash) const override;
  std::vector<stream_state> streams() const override;
  spool_usage usage() const override;
  std::int64_t age_time_ns() override;
  void trim_kept(bool all) override;
  result<std::size_t>
  scan(std::int64_t from_ns, std::int64_t to_ns,
       const std::function<result<void>(const run&, const set_finder&)>& each) const override;
  result<void> close() override;

private:
  using given_sets = std::map<set_name, series_set_ptr>;
  struct prepared; // a transaction and the memory that it points to

  // disk_spool_open.cpp
  struct examined {
    bool stopped = false;             // the node ends: nothing is known
    std::optional<std::string> wrong; // nullopt: sound
    shared_bytes answer;
  };
  struct suspected {
    segment_ptr which;
    std::string what;
    std::optional<shared_bytes> answer; // of its examination
  };
  result<void> load_segments(std::vector<suspected>& damaged);
  void build_streams();

  // disk_spool_examine.cpp: any thread, without a lock
  examined examine(const std::filesystem::path& directory, bool always);
  bool pause(std::chrono::nanoseconds time); // false: the node ends
  // Has it examined and, if it is damaged, what is readable saved. corrupt: that goes on, ask again; else why there was
  // no room to salvage.
  result<void> suspect(const segment_ptr& found, const std::string& what) const;
  void suspect_later(const std::vector<segment_ptr>& all);
  // The same without waiting, for who goes on with the rest; once, where there was no room to salvage it.
  void hand_to_repair(const segment_ptr& found, const std::string& what) const;
  void start_repairing(); // under repair_
  void repair_all();      // the thread
  result<void> repair(const segment_ptr& found, const std::string& what);
  void stop_repairing();

  // disk_spool_repair.cpp: under writing_, or while opening
  result<void> set_aside(const segment_ptr& found, const std::string& what, const shared_bytes& answer,
                         open_report* report);
  result<segment_ptr> rebuild(const salvaged& from, const std::map<stream_key, range_set>& keep,
                              std::uint64_t& records);
  void move_damaged(const segment_ptr& found);
  void recount(const stream_key& key); // under table_

  // disk_spool_write.cpp: under writing_
  result<void> store(std::vector<piece> pieces, std::vector<set_name> named, const given_sets& given,
                     bool urgent, std::uint64_t beyond_limit = 0);
  result<void> store_once(const std::vector<piece>& pieces, const std::vector<set_name>& named,
                          const given_sets& given, std::uint64_t bytes_max, bool& limit);
  void prepare(prepared& out, const std::vector<piece>& pieces, const std::vector<set_name>& named,
               const given_sets& given);
  result<void> open_active(std::uint64_t bytes);
  void seal_active();
  void apply(const prepared& done, const std::vector<piece>& pieces);
  void pack(prepared& out, const std::vector<piece>& pieces); // under table_
  void remember_small(const prepared& done, const std::vector<piece>& pieces);
  // disk_spool_space.cpp: under writing_
  result<void> delete_drained();
  void delete_segment(const segment_ptr& one);
  void trim_kept_now(std::int64_t keep_after);
  [[nodiscard]] bool in_active(const std::vector<std::pair<stream_key, sequence_range>>& ranges) const;
  bool drop_kept(std::uint64_t bytes); // the oldest, until so many bytes are free; false: there was none
  [[nodiscard]] std::int64_t keep_after_ns();     // under writing_
  [[nodiscard]] std::uint64_t kept_bytes() const; // under table_
  result<void> store_state(bool clean);
  void prune_streams(); // under table_
  void give_up_reserve();
  bool regain_reserve();
  void update_gauges();                           // under table_
  [[nodiscard]] std::uint64_t disk_bytes() const; // under table_

  // disk_spool_read.cpp
  [[nodiscard]] std::vector<segment_ptr> newest_first() const;                          // under table_
  [[nodiscard]] std::optional<byte_buffer> stored_set(const set_name& name) const;      // under writing_
  [[nodiscard]] std::vector<segment_ptr> newest_first_with(const set_name& name) const; // or perhaps
  void make_set_filter(const segment_ptr& of) const;
  result<std::optional<run>> read_once(const stream_key& key, sequence from, std::size_t bytes_max) const;
  template <class Read>
  auto read_segment(const segment_ptr& from, Read&& read) const
      -> decltype(read(std::declval<const segment_reader&>()));

  const spool_config config_;
  clock_source& clock_;
  random_source& random_;
  mutable spool_metrics metrics_;
  age_clock age_;             // under writing_
  commit_clock commit_clock_; // the same
  unique_fd lock_;
  state_file state_file_;
  epoch_id epoch_;
  epoch_id previous_epoch_;
  open_report report_;

  mutable std::mutex writing_;
  std::unique_ptr<segment_writer> writer_;
  segment_ptr active_;
  std::unordered_set<set_name, set_name_hash> active_sets_; // changes under table_ as well
  std::uint64_t filter_seed_ = 0;
  struct small_runs {
    std::vector<run> runs; // contiguous, at the end of their stream in the active segment
    std::size_t bytes = 0;
  };
  std::map<stream_key, small_runs> small_runs_;
  std::size_t small_runs_bytes_ = 0;
  std::uint64_t next_segment_ = 1;
  bool disk_full_ = false;
  bool closed_ = false;
  std::int64_t last_commit_ns_ = 0;

  mutable std::mutex table_;
  std::map<std::uint64_t, segment_ptr> segments_;
  mutable std::map<stream_key, stream_info> streams_;
  std::uint64_t damaged_bytes_ = 0;

  std::atomic<bool> stopping_{false};
  std::optional<segment_examiner> examiner_; // while opening, then the thread's
  mutable std::mutex repair_;
  mutable std::condition_variable repair_changed_;
  struct to_repair {
    segment_ptr which;
    std::string what; // empty: only to be sure
  };
  mutable std::map<std::uint64_t, to_repair> suspects_; // by number; there until it is done
  mutable std::map<std::uint64_t, error> unrepaired_;   // the last try failed: for whoever waits
  std::thread repairer_;
};

} // namespace skerry::edge
