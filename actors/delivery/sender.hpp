#pragma once

// The sending side of delivery, as a plain state machine: an edge's uplink, or a gateway's.
//
// It says Hello with what the spool holds, takes from Welcome what need not be sent again, and then sends runs: alerts
// first, then what is fresh, then the backlog; never more unacknowledged bytes than the receiver's credit, and of backlog
// never more than the link delivers in a moment, so that it does not stand in the way of what is fresh. What is durable at
// the receiver is not sent again in this session; what is safe there is released.
// Whatever was in flight when a connection or a session ends is simply pending again; the receiver trims what it has.
// What the receiver refuses stays in the spool, set aside, and all else goes on.
// docs/delivery.md states the rules. Not thread-safe; no I/O of its own.

#include "actors/base/backoff.hpp"
#include "actors/base/clock.hpp"
#include "actors/base/log_limiter.hpp"
#include "actors/base/planted.hpp"
#include "actors/delivery/claims.hpp"
#include "actors/delivery/link_estimate.hpp"
#include "actors/delivery/origin_board.hpp"
#include "actors/delivery/quota.hpp"
#include "actors/delivery/set_asides.hpp"
#include "actors/delivery/token_bucket.hpp"
#include "actors/link/messages.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace skerry::delivery {

// Where runs come from: a spool. An error is logged by the implementation and means "try again later"; only nullopt
// and null say that something is gone.
class sender_source {
public:
  virtual ~sender_source() = default;
  [[nodiscard]] virtual std::vector<link::hello_stream> streams() = 0;
  // From the first held record at or after `from`, contiguous, at most about `bytes_max`; nullopt: nothing there.
  [[nodiscard]] virtual result<std::optional<run>> read(const stream_key& key, sequence from,
                                                        std::size_t bytes_max) = 0;
  [[nodiscard]] virtual result<series_set_ptr> find_set(edge_id edge,
                                                        const set_hash& hash) = 0; // null: not here
  // They are safe at the receiver.
  virtual void release(const stream_key& key, const range_set& ranges) = 0;
  // The receiver lost these and asks for them again: what of them is still here is held again, as if never released, and
  // comes back.
  [[nodiscard]] virtual range_set take_back(const stream_key& key, const range_set& ranges) {
    static_cast<void>(key), static_cast<void>(ranges);
    return {};
  }
};

// Where messages go. False: not taken, because the link is down or its queue is full.
class sender_sink {
public:
  virtual ~sender_sink() = default;
  virtual bool send(link::message message) = 0;
  virtual void reconnect() = 0; // the link looks dead: tear it down and build it anew
  // Batches of backlog go where they hold up nothing else.
  [[nodiscard]] virtual bool backlog_apart() const noexcept { return false; }
};

enum class backlog_order : std::uint8_t { oldest_first, newest_first };

// What of a sender is for its user to say.
struct sender_settings {
  std::size_t batch_bytes_max = 256 << 10;
  std::uint64_t bandwidth_bytes = 0; // a second, of runs; 0: whatever the link takes
  double backlog_share = 0.8;        // of that, for the backlog
  backlog_order backlog = backlog_order::oldest_first;
  std::uint64_t fresh_records = 256; // of each edge's newest at a Welcome that go ahead of the backlog
  std::chrono::nanoseconds dead_after = std::chrono::seconds{30};      // without an answer that is due
  std::chrono::nanoseconds ping_interval = std::chrono::seconds{240};  // on a link with nothing to say
  std::chrono::nanoseconds retry_min = std::chrono::milliseconds{500}; // after a refusal
  std::chrono::nanoseconds retry_max = std::chrono::seconds{30};
  // For so long something is durable and not safe until the receiver is asked by a new Hello, longer each time: that it is
  // safe may have been said, and lost on the way.
  std::chrono::nanoseconds safe_wait_min = std::chrono::minutes{5};
  std::chrono::nanoseconds safe_wait_max = std::chrono::hours{1};
  set_aside_config set_aside; // when what was refused is tried again
  // Of one stream, ranges that are durable and not safe: what is beyond counts as not acknowledged.
  std::size_t durable_ranges_max = 4096;
};

struct sender_config : sender_settings {
  edge_id edge = edge_id::none;
  epoch_id current;       // the epoch that is being written
  link::nonce instance{}; // new with each process start
  std::string software;
  std::shared_ptr<claims>
      under_way; // what is sent is claimed there, so that nobody drops it; null: nobody does
  std::shared_ptr<const origin_board> further_out; // of a gateway: what edges behind it said; null: none is
  planted_faults planted = nullptr;                // by the simulator alone
};

enum class sender_phase : std::uint8_t {
  down,     // no connection
  greeting, // Hello is sent, no Welcome yet
  live,     // a session: batches flow
  waiting,  // refused; Hello again after a while
};
[[nodiscard]] std::string_view to_string(sender_phase phase) noexcept;

struct sender_counters {
  std::uint64_t batches = 0;
  std::uint64_t bytes = 0; // of runs
  std::uint64_t records = 0;
  std::uint64_t acked_records = 0; // durable at the receiver
  std::uint64_t sessions = 0;
  std::uint64_t refusals = 0;
  std::uint64_t stale_messages = 0; // of another session
  std::uint64_t dead_links = 0;
  std::uint64_t unanswered_batches = 0;      // not acknowledged in time: they go again
  std::uint64_t refused_batches = 0;         // and the session went on: set aside
  std::uint64_t sets_missing = 0;            // asked for, and gone
  std::uint64_t lost_custody_records = 0;    // released here, and no longer at the receiver
  std::uint64_t returned_records = 0;        // released here, lost there, and sent again
  std::uint64_t sets_deferred = 0;           // series sets asked for again and again: answered later
  std::uint64_t safe_records = 0;            // at the receiver: released
  std::uint64_t taken_back_records = 0;      // durable at the receiver once, and not any more: they go again
  std::uint64_t asked_whether_safe = 0;      // by a new Hello
  std::uint64_t durable_unnoted_records = 0; // acknowledged as durable, beyond durable_ranges_max
};

// Runs that are on disk from now on; `lane` is how the edge that made them sent them, live for its own.
struct committed_runs {
  std::vector<run> runs;
  link::lane lane = link::lane::live;
  bool replaced = false; // in the place of others, which limits forced out
};

class sender {
public:
  sender(sender_config config, clock_source& clock, random_source& random, sender_source& source,
         sender_sink& sink);

  void on_connected();
  void on_disconnected();
  void on_message(const link::message& message);
  // A run was committed (or adopted from further out, where it came in `lane`) after the state that streams()
  // returned at Hello. `replaced`: as of committed_runs.
  void on_committed(const run& run, link::lane lane = link::lane::live, bool replaced = false);
  // At least once a second, and whenever the sink may take more.
  void on_tick();
  void say_bye(); // an orderly stop
  // What may go while a quota runs out; `thin_interval` is for quota_level::thinned.
  void limit(quota_level level, std::chrono::nanoseconds thin_interval, std::uint64_t link_bytes_today);
  void pause_backlog(bool paused) noexcept { backlog_paused_ = paused; }

  [[nodiscard]] sender_phase phase() const noexcept { return phase_; }
  [[nodiscard]] const sender_counters& counters() const noexcept { return counters_; }
  [[nodiscard]] std::uint64_t in_flight_bytes() const noexcept { return in_flight_bytes_; }
  [[nodiscard]] const link_estimate& estimate() const noexcept { return estimate_; }
  [[nodiscard]] bool backlog_paused() const noexcept { return backlog_paused_; }
  [[nodiscard]] bool has_backlog() const noexcept;   // unsent records that are not fresh, nor set aside
  [[nodiscard]] bool backlog_flows() const noexcept; // there is some, and it may go
  [[nodiscard]] std::uint64_t pending_records() const noexcept; // committed, not acknowledged
  // At the receiver, as it said in this session, and kept here until they are safe there.
  [[nodiscard]] std::uint64_t durable_records() const noexcept;
  [[nodiscard]] const std::string& refusal() const noexcept {
    return refusal_;
  } // why `waiting`; empty: never
  // Pending, of kinds that the receiver of this session is too old to keep.
  [[nodiscard]] std::uint64_t held_back_records() const noexcept;
  [[nodiscard]] std::vector<set_aside_view> set_aside() const; // that holds pending records
  [[nodiscard]] bool is_set_aside(const stream_key& key) const { return asides_.blocks(key); } // all of it

private:
  struct stream {
    range_set unacked;       // committed, not acknowledged
    range_set durable;       // acknowledged in this session, not safe
    range_set long_durable;  // when that was looked at last
    range_set unsent;        // of those, not in flight
    range_set urgent;        // of those, what goes like an alert: tombstones
    range_set fresh;         // of those, what goes before the backlog
    range_set held_back;     // of unacked: not for this receiver
    sequence newest = 0;     // that was committed, acknowledged or not
    sequence slice_from = 0; // of fresh ones, those since the last thinning mark
  };
  struct flight {
    stream_key key;
    sequence_range range;
    std::uint64_t bytes = 0;
    link::lane lane = link::lane::live;
    link_estimate::sent sent;
    range_set fresh; // of `range`: a batch may reach beyond what it was cut for
  };

  void say_hello();
  static void fit(std::vector<link::hello_stream>& streams, edge_id own);
  void reset_session(sender_phase to);
  void on_welcome(const link::message& message, const link::welcome& welcome);
  void on_ack(const link::ack& ack);
  void on_need(const link::need& need);
  void take_back(const std::vector<link::stream_held>& wanted);
  void answer_needs();
  void on_bye(const link::bye& bye);
  void on_refusal(const link::refusal& refusal);
  void probe_set_aside();
  void tell_refused(); // whoever makes room in the spool
  bool probe(const set_asides::name& name, set_asides::entry& of);
  void note_set_aside(const link::refusal& refusal);
  [[nodiscard]] std::uint64_t pending_records(const set_asides::name& of) const;
  [[nodiscard]] std::uint64_t
  refused_records_pending() const; // that wait for a person: nobody is to wait for them
  void achieved();
  void acked_in_welcome(const link::welcome& welcome);
  void acked(const stream_key& key, const range_set& ranges, link::ack_level level);
  void arrived(const stream_key& key, stream& of, const range_set& ranges);
  void pump();
  bool pump_alerts();
  bool pump_fresh();
  bool pump_backlog();
  // Sends unsent records of [from, to] until something is full (false).
  static void drop_missing(stream& of, sequence_range range);
  bool pump_range(const stream_key& key, stream& of, sequence from, sequence to, link::lane lane);
  // Takes out of `from` what this receiver cannot keep; true: something of the run.
  bool hold_back(const stream_key& key, stream& from, const run& run);
  // The first sequence from `from` on that is set aside, held back or durable; UINT64_MAX: none.
  [[nodiscard]] sequence stop_at(const stream_key& key, const stream& of, sequence from) const;
  [[nodiscard]] bool has_room(std::size_t bytes, link::lane lane);
  [[nodiscard]] link::link_state link_now() const;
  [[nodiscard]] bool backlog_may_go() const noexcept {
    return !backlog_paused_ && level_ == quota_level::open;
  }
  bool send_ping();
  [[nodiscard]] bool waits_for_safe();
  void became_safe();
  void landed(const flight& what);
  void mark_slices();
  bool send_run(const stream_key& key, stream& from, const run& run, link::lane lane);
  bool send(link::body body);
  bool tell_origin_states();
  void tell_origin_links();

  sender_config config_;
  clock_source& clock_;
  sender_source& source_;
  sender_sink& sink_;
  sender_phase phase_ = sender_phase::down;
  std::uint64_t session_ = 0;
  std::uint64_t credit_bytes_ = 0;
  [[nodiscard]] std::size_t
  batch_limit() const noexcept; // no batch is larger than the credit, if it can be cut
  std::size_t batch_bytes_max_ = 0;
  std::uint64_t batch_number_ = 0;
  link::nonce receiver_{};
  kind_set kinds_kept_ = 0; // by the receiver of this session, of those that are known here
  bool keeps_unknown_ = false;
  bool two_levels_ = false;                     // what it calls durable may be taken back; else that is safe
  bool told_held_back_ = false;                 // in this session
  std::map<stream_key, stream> streams_;        // backlog goes in this order: older epochs first
  std::map<stream_key, range_set> was_durable_; // in sessions before, since the last Welcome
  std::list<flight> in_flight_;
  std::uint64_t in_flight_bytes_ = 0;
  std::uint64_t backlog_in_flight_bytes_ = 0; // of those
  link_estimate estimate_;
  token_bucket all_bytes_;
  token_bucket backlog_bytes_;
  bool backlog_paused_ = false;
  quota_level level_ = quota_level::open;
  std::uint64_t link_bytes_today_ = 0;
  std::int64_t thin_interval_ns_ = 0;
  std::int64_t next_slice_ns_ = 0; // monotonic
  std::int64_t slice_marked_ns_ = 0;
  std::set<edge_id> origins_;            // besides our own, for which the receiver was asked
  std::uint64_t origin_states_told_ = 0; // version of the board
  std::uint64_t origin_links_told_ = 0;  // of its links
  token_bucket origin_links_due_;        // messages
  token_bucket returns_due_;             // sessions that may ask for what was released
  // Series sets that were asked for and wait for their answer; how much may go for those that were answered before, or are
  // not here at all; and those that were answered to this receiver.
  using set_name = std::pair<edge_id, set_hash>;
  std::set<set_name> needs_;
  std::deque<set_name> needs_in_turn_;
  std::set<set_name> sets_answered_;
  token_bucket repeated_set_bytes_;
  std::uint64_t repeated_set_earned_ = 0; // by acknowledgements, besides
  set_asides asides_;
  bool probes_due_ = false; // looked for once a tick, behind what is fresh
  // What was sent last was never answered: a receiver at `delivery.ranges_max` takes only what fills holes. The next
  // session begins with the oldest.
  bool oldest_first_ = false;
  std::int64_t last_sent_ns_ = 0;
  std::int64_t clock_said_ns_ = 0;       // wall time minus monotonic time, as the receiver knows it
  std::int64_t answer_due_since_ns_ = 0; // 0: no answer is due
  std::int64_t retry_at_ns_ = 0;
  backoff safe_wait_;
  std::int64_t safe_due_ns_ = 0; // of what has been durable for long
  bool safe_asked_ = false;      // by the last Hello
  bool said_again_ = false;      // over this connection, as the receiver asked who lives
  backoff retry_;
  std::string refusal_;
  std::string refusal_logged_; // the last that was, since a session achieved something
  bool achieved_ = true;       // by this session, or the one before: something was acknowledged, or it lasted
  std::int64_t live_since_ns_ = 0; // monotonic
  log_limiter set_aside_log_{10};
  log_limiter session_log_{20};
  sender_counters counters_;
};

} // namespace skerry::delivery
