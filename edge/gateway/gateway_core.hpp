#pragma once

// What the gateway does, as a plain class over a spool: it gathers collections, numbers and commits them in groups of
// one stream, keeps them while the spool takes nothing (and says what it had to drop), keeps runs of edges further out,
// and puts tombstones where damage took records. The gateway actor adapts it to messages, the simulator's world to its
// scheduler. Not thread-safe; the only writer of its spool.
//
// A record goes to the stream that its kind's row names. Streams wait apart: alerts are committed first, whether or not
// the spool takes the rest, and neither fills the queue of the other.

#include "actors/base/clock.hpp"
#include "actors/base/log_limiter.hpp"
#include "actors/base/planted.hpp"
#include "actors/delivery/receiver.hpp"
#include "actors/delivery/sender.hpp"
#include "edge/gateway/collection.hpp"
#include "edge/gateway/spool_limits.hpp"
#include "edge/spool/spool.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace skerry::edge {

struct gateway_core_config {
  std::chrono::milliseconds commit_interval{100};
  std::uint64_t group_bytes_max = 4 << 20;
  std::uint64_t queue_bytes_max = 64 << 20; // of telemetry; beyond, the oldest samples are dropped and noted
  // Of each other stream; beyond, the newest are refused: who waits for the commit keeps them and comes again.
  std::uint64_t alert_queue_bytes_max = 1 << 20;
  spool_limits_config limits;
  std::shared_ptr<delivery::claims> under_way; // what the sender has claimed; null: nobody sends
  std::function<std::uint64_t()> free_disk;    // bytes left on the spool's disk; may be empty
  planted_faults planted = nullptr;            // by the simulator alone
};

struct gateway_counters {
  std::uint64_t samples = 0;        // committed
  std::uint64_t dropped = 0;        // samples that were never numbered
  std::uint64_t alerts = 0;         // records of other streams than telemetry that were committed
  std::uint64_t alerts_refused = 0; // of those, records for which there was no room
  std::uint64_t commit_failures = 0;
  std::uint64_t dropped_records = 0; // by the spool's limits: in the loss ledger
  std::uint64_t thinned_records = 0;
  std::uint64_t lost_samples = 0; // of both
};

class gateway_core {
public:
  struct outputs {
    std::function<void(delivery::committed_runs runs)> hand_over; // they are on stable storage
    std::function<void(const run_header& own)>
        committed; // before its hand-over; own commits alone; may be empty
  };

  gateway_core(gateway_core_config config, std::shared_ptr<spool> store, clock_source& clock, outputs to);

  // First: what this opening of the spool found is the first that is numbered.
  void open();
  void take(collection from);
  // Samples that were lost before they came here.
  void note_dropped(std::uint64_t samples_lost, std::int64_t from_ns, std::int64_t to_ns);
  // Alerts for which there was no room before they came here.
  void note_alerts_refused(std::uint64_t alerts) noexcept { counters_.alerts_refused += alerts; }
  // Commits all that waits, group by group. False: the spool took nothing; what waits stays for the next try.
  bool commit();
  // What damage took from the spool is named upstream: a tombstone over the same sequences, which the spool keeps and
  // delivers like data. At every start and from time to time.
  void replace_lost();
  // Runs of edges further out, in one transaction where all of them can be taken. Of each: empty, it is on stable storage;
  // else why not.
  [[nodiscard]] std::vector<std::string> adopt(std::span<const delivery::delivery_job* const> jobs);
  void release(const stream_key& key, const range_set& ranges);
  // Commits what waits and closes the spool in order. Nothing may be called afterwards.
  void close();

  // Age and free disk; from time to time.
  void enforce_limits();

  [[nodiscard]] const gateway_counters& counters() const noexcept { return counters_; }
  [[nodiscard]] std::uint64_t queue_bytes() const noexcept;
  // Why the last commit of telemetry failed, or that of another stream of which something waits; empty: it did not.
  [[nodiscard]] const std::string& refusal() const noexcept;

private:
  // Of one stream: what waits for its next commit, and how the last one went.
  struct stream_queue {
    std::deque<collection> all;
    std::uint64_t bytes = 0;
    bool refused = false;   // the last commit failed
    bool exhausted = false; // for want of room
    std::string refusal;    // and why
    bool refusal_logged = false;
  };

  void take_telemetry(collection from);
  void take_other(stream_queue& to, collection from);
  bool commit_stream(stream_id stream, stream_queue& from);
  bool commit_group(stream_id stream, stream_queue& from);
  void refuse_waiting(stream_queue& of, const error& why);
  bool make_room();
  void count_limits();
  void hand_over(std::vector<run> runs, link::lane lane);
  [[nodiscard]] std::optional<std::int64_t> seen_near(const stream_state& stream, sequence seq,
                                                      int direction) const;

  gateway_core_config config_;
  std::shared_ptr<spool> store_;
  clock_source& clock_;
  outputs to_;
  std::map<stream_id, stream_queue> queues_; // in the order in which they are committed: alerts first
  stream_queue& telemetry_ = queues_[stream_id::telemetry];
  spool_limits limits_;
  log_limiter refusal_log_{2};
  // What was dropped because the spool took nothing: told with the first commit that works again.
  struct time_range {
    std::int64_t from_ns = 0;
    std::int64_t to_ns = 0;
  };
  std::map<loss_cause, time_range> dropped_;
  std::int64_t wall_offset_ns_ = 0; // as the last clock note said
  // The clock was behind the last commit when this opening began (there was no clock that runs without power, or it was
  // wrong): how long the node was off is said once the clock has been set. 0: it is said, or there is nothing to say.
  std::int64_t off_since_ns_ = 0;
  std::int64_t opened_ns_ = 0; // boot clock
  gateway_counters counters_;
};

} // namespace skerry::edge
