#pragma once

// The receiving side of delivery, as a plain state machine: the cloud's ingest, or a gateway for edges further out.
//
// It opens sessions, checks that a key may speak for an origin, trims what it holds already, asks for series sets that
// it lacks, hands the rest to its backend and acknowledges what the backend has on stable storage. What it holds is
// one range set per stream; ranges collapse as sequences have no gaps. docs/delivery.md states the rules.
// Not thread-safe; no I/O of its own.

#include "actors/base/clock.hpp"
#include "actors/base/planted.hpp"
#include "actors/delivery/holdings.hpp"
#include "actors/delivery/token_bucket.hpp"
#include "actors/delivery/turns.hpp"
#include "actors/link/messages.hpp"
#include "schemas/model/payload.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace skerry::delivery {

// Records of one run that are new here, with everything that storing them takes.
struct delivery_job {
  std::uint64_t ticket = 0; // names it in receiver::on_stored
  std::string site;
  link::lane lane = link::lane::backlog; // that it came in
  run from;                              // the run that they came in; `records` are views into its bytes
  range_set ranges;                      // what this job makes held, once stored
  std::vector<record_view> records;      // in ascending sequence
  std::vector<series_set_ptr> sets;      // that the frames among them name and that may not be stored yet
  std::int64_t newest_ns = 0;            // of the newest record, by its node's clock; 0: none tells
};

// For which a key may not speak, and why.
struct origin_refusal {
  link::refusal_reason reason = link::refusal_reason::forbidden;
  std::string message;
};
using refused_origins = std::map<edge_id, origin_refusal>;

class receiver_backend {
public:
  virtual ~receiver_backend() = default;
  // The site that this edge's key stands for; nullopt: the key was revoked meanwhile.
  [[nodiscard]] virtual std::optional<std::string> site_of(edge_id edge) = 0;
  [[nodiscard]] virtual bool may_speak(edge_id user, edge_id origin) = 0;
  // For all of these it may speak from now on, save those that come back.
  [[nodiscard]] virtual refused_origins register_origins(edge_id user,
                                                         const std::vector<edge_id>& origins) = 0;
  // How many series a set has that is stored here already; nullopt: unknown.
  [[nodiscard]] virtual std::optional<std::size_t> series_in_set(edge_id edge, const set_hash& hash) = 0;
  // Asynchronous: ends in receiver::on_stored. The backend keeps `ranges` with the records. Gives what it costs, in parts
  // that are stored apart; at least 1.
  virtual std::uint64_t store(delivery_job job) = 0;
  // What the whole stream holds now, to be made durable before on_held_durable(ticket) is called, which may be at once.
  // `durable` is of it already; null: nothing is.
  virtual void keep_held(std::uint64_t ticket, const stream_key& key, const held_stream& held,
                         const range_set* durable) = 0;
  // The clock of a peer shows this now, as it says.
  virtual void on_clock(edge_id user, std::int64_t wall_ns) {
    static_cast<void>(user), static_cast<void>(wall_ns);
  }
  // An edge, or one behind it, has said how far its older epochs reach: a gateway passes that on.
  virtual void on_epochs(const link::origin_state& state) { static_cast<void>(state); }
  // Nothing is known of these streams any more (`delivery.epochs_max`): what was kept of them may go.
  virtual void forget(const std::vector<stream_key>& keys) = 0;
  virtual void send(const link::peer_id& to, link::message message) = 0;
};

struct receiver_config {
  link::nonce incarnation{};            // made once with the receiver's store
  std::uint64_t credit_bytes = 4 << 20; // of one session, at most
  // Of batches that are parked or being stored, of all sessions (`ingest.memory_max`). Half of it is granted as credit,
  // shared out where that is less than credit_bytes for each; the rest is for what was sent under a larger credit.
  std::uint64_t memory_max = std::uint64_t{256} << 20;
  std::uint64_t credit_min =
      64 << 10; // that every session has, also where all of that is more than memory_max
  std::size_t batch_bytes_max = 1 << 20;
  std::size_t ranges_max =
      4096; // of one stream: beyond, only what fills holes is taken (`delivery.ranges_max`)
  // Of one edge and stream, besides those that are not complete or that are still named or announced: the oldest are
  // forgotten (`delivery.epochs_max`). And of one session, so many that its Hello did not name: then it says Hello again.
  std::size_t epochs_max = 1024;
  std::size_t parked_batches_max = 256; // of one session, waiting for series sets
  std::size_t sets_lacking_max = 4096;  // that one batch may name and that are not known
  std::size_t sets_asked_max = 16'384;  // of one session
  // Of series sets that came and are not stored yet, in memory, of all sessions. Who has most of them loses its oldest. And
  // of those of batches that are being stored: what names more waits at its edge.
  std::uint64_t sets_memory_max = std::uint64_t{256} << 20;
  // What the series sets of one key may take unfolded beyond 64 times their bytes on the link, with 16 seconds' worth at
  // once: to unfold, hash and store them costs everybody's time. Sets of node_exporter unfold to some 40 times, those of
  // histograms to some 300, once each.
  std::uint64_t swollen_bytes_per_second = 4 << 20;
  std::uint64_t storing_parts_max =
      256; // under way at the backend, of all keys; who waits for a place takes turns
  std::size_t announced_max = 1 << 17;   // older epochs of edges that one key announces, its own among them
  std::size_t custody_ranges_max = 4096; // that one Hello has written as lost; the next one tells of the rest
  // Of Welcomes that a key has not shown to have read; a little is let go with time.
  std::uint64_t unread_bytes_max = 16 << 20;
  std::chrono::nanoseconds probe_window =
      std::chrono::seconds{3}; // for the elder of two sessions of one key to answer
  std::chrono::nanoseconds duplicate_shown = std::chrono::minutes{10}; // after a second node was last heard
  std::string name = "cloud";                                          // in messages to peers
  // What is missing of a stream of which nothing is known was taken after this, wall clock; 0: not known. Of a gateway: when
  // its spool was written last.
  std::int64_t taken_until_ns = 0;
  edge_id self = edge_id::none; // of a gateway: nobody else speaks for it, or its records go in a circle
  // Of a gateway: whether it delivers to that edge itself, which is asked at each Hello. Empty: it delivers to none of its
  // edges.
  std::function<bool(edge_id user)> is_upstream;
  planted_faults planted = nullptr; // by the simulator alone
};

struct receiver_counters {
  std::uint64_t batches = 0;
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
  std::uint64_t duplicate_records = 0;
  std::uint64_t sessions = 0;
  std::uint64_t malformed = 0;
  std::uint64_t forbidden = 0;         // a record or message for what the key may not do
  std::uint64_t refused_batches = 0;   // and the session went on
  std::uint64_t stale_messages = 0;    // of another session
  std::uint64_t refused_duplicate = 0; // two live nodes with one key
  std::uint64_t refused_version = 0;
  std::uint64_t refused_revoked = 0;
  std::uint64_t refused_unread = 0; // it does not read what it is answered
  std::uint64_t restored_edges = 0; // an edge came back from an older copy of its disk
  std::uint64_t custody_lost_records = 0;
  std::uint64_t custody_asked_records =
      0; // acknowledged once and not here, that their sender still has: asked for again
  std::uint64_t ranges_full = 0; // batches not taken because of ranges_max
  std::uint64_t parked_full = 0;
  std::uint64_t over_memory = 0; // batches not taken now: the sets of those being stored take what they may
  std::uint64_t over_credit = 0; // batches not taken: the sender went far beyond its credit
  std::uint64_t credit_changes = 0;   // that sessions were told
  std::uint64_t epochs_forgotten = 0; // of streams, because of epochs_max
  std::uint64_t sets_unasked = 0;     // series sets that nobody had asked for, not taken
  std::uint64_t sets_received = 0;
  std::uint64_t sets_swollen = 0;         // not unfolded: their key has unfolded too much of late
  std::uint64_t sets_dropped = 0;         // before they were stored, because of sets_memory_max
  std::uint64_t sets_lost_records = 0;    // records whose set nobody has
  std::uint64_t closed_sessions = 0;      // whose connection was closed without a goodbye
  std::uint64_t origin_links_dropped = 0; // messages beyond origin_links_per_second
  std::uint64_t store_failures = 0;
};

// What a gateway last said of edges behind it, by edge.
using origin_map = std::map<edge_id, link::origin_link>;

// What is known of a connected or once connected edge; for listings.
struct edge_view {
  edge_id edge = edge_id::none;
  bool connected = false;
  // Since when it is, or is not; and in that case how the last session ended, or why none began, in a word and in more.
  std::int64_t since_wall_ns = 0;
  link::presence ended = link::presence::never;
  std::string cause;
  std::int64_t ping_interval_ns = 0;        // of a link with nothing to say, as its Hello said; 0: it did not
  std::shared_ptr<const origin_map> behind; // null: it said of nobody
  std::int64_t last_heard_wall_ns = 0;
  std::uint64_t pending_records = 0; // as its last message said
  std::uint64_t bytes = 0;           // of batches, since this process started
  std::uint64_t records = 0;
  std::string software;
  bool duplicate = false; // another live node uses the same key
  // By how much its wall clock is ahead of ours, as its Hello or last Ping said; what they took on the way counts as
  // behind.
  std::int64_t clock_offset_ns = 0;
  link::link_state link; // as its last batch or ping said
  // In this session: edges of which it brought something that was not taken, and why; refused_shown_max of them.
  refused_origins refused;
};

// What is held in memory for one session, at most of all.
struct session_usage {
  std::size_t parked_batches = 0;
  std::uint64_t open_bytes = 0; // of batches that are parked or being stored
  std::size_t sets_asked = 0;
};

// And of all sessions together.
struct memory_usage {
  std::size_t sessions = 0;     // live ones
  std::uint64_t open_bytes = 0; // those of sessions that have ended, too
  std::uint64_t credit = 0;     // granted to live sessions
  std::uint64_t sets_bytes = 0; // of series sets that are not stored yet, unfolded
};

class receiver {
public:
  receiver(receiver_config config, clock_source& clock, random_source& random, receiver_backend& backend);

  // Before the first message: what the store says is held.
  void restore_held(const stream_key& key, held_stream held);

  // `user` is the edge that the connection's key stands for. `error` in place of a message: it did not decode.
  void on_message(const link::peer_id& from, edge_id user, result<link::message> message);
  // `failed` empty: stored durably.
  void on_stored(std::uint64_t ticket, const std::string& failed);
  void on_held_durable(std::uint64_t ticket, const std::string& failed);
  // The connection was closed. Precondition: everything that came over it has been given to on_message.
  void on_closed(const link::peer_id& from, edge_id user);
  // The key was revoked: its session ends now.
  void on_revoked(edge_id user);
  void say_bye(); // an orderly stop: every edge is told

  [[nodiscard]] const receiver_counters& counters() const noexcept { return counters_; }
  [[nodiscard]] std::vector<edge_view> edges() const;
  [[nodiscard]] session_usage usage() const noexcept;
  [[nodiscard]] memory_usage memory() const noexcept;
  [[nodiscard]] const holdings& held() const noexcept { return holdings_; }

private:
  using set_name = std::pair<edge_id, set_hash>; // two edges may have sets of the same content
  struct parked_batch {
    run from;
    link::lane lane = link::lane::backlog;
    // Sets that the sender no longer had when it was asked for this batch. It may have them again for later ones.
    std::set<set_hash> gone;
    std::size_t waits = 0;  // for so many
    std::size_t rounds = 0; // of asking: what came may have been dropped again before the rest did
  };
  struct fresh_set {
    series_set_ptr set;
    edge_id user = edge_id::none; // that brought it
    std::uint64_t bytes = 0;      // unfolded
    std::uint64_t number = 0;     // ascending
  };
  struct fresh_of_user {
    std::map<std::uint64_t, set_name> oldest_first;
    std::uint64_t bytes = 0;
  };
  // Whom a session took over from: it is asked whether it is alive after all. Who answers was no predecessor.
  struct elder_session {
    link::peer_id peer;
    std::uint64_t number = 0;
    link::nonce instance{};
    epoch_id current;
    std::int64_t hello_ns = 0; // as in session
    std::int64_t ping_ns = 0;  // monotonic, as the Ping said
  };
  struct session {
    std::uint64_t number = 0;
    link::peer_id peer;
    link::nonce instance{};
    epoch_id current;
    std::int64_t hello_ns = 0; // when its Hello was said, by the monotonic clock of its process
    std::int64_t heard_ns = 0; // monotonic
    std::int64_t probe_ns = 0; // asked whether it is alive; 0: not
    std::optional<elder_session> elder;
    link::nonce copy{}; // an instance that took over while this one was alive: it is no successor
    std::map<std::uint64_t, parked_batch> parked;         // by number, in the order that they came in
    std::map<set_name, std::vector<std::uint64_t>> asked; // and which parked batches wait for it
    std::uint64_t open_bytes = 0;                         // of batches that are parked or being stored
    std::string site;
    std::uint64_t credit = 0;     // as it was told
    std::uint64_t had_credit = 0; // more, a moment ago: what was sent then may still come
    std::int64_t had_until_ns = 0;
    std::int64_t waits_until_ns = 0; // it has more to send than what came
    std::int64_t duplicate_ns = 0;   // when another node with this key was last heard, monotonic; 0: never
    // Its Hello told of more losses than could be written, or of an edge that was refused then: it is asked for another.
    bool custody_rest = false;
    std::size_t asked_again = 0;        // Hellos in a row in which something was asked for again
    std::set<edge_id> unheard;          // what its Hello said of these was passed over: they were refused
    bool knows_refusals = false;        // else it is told Bye
    bool knows_levels = false;          // of acks
    token_bucket unread;                // bytes of Welcomes; full again once it speaks in its session
    token_bucket origin_words;          // messages about edges behind it
    std::shared_ptr<origin_map> behind; // the same as in its view, to be changed while nobody else has it
    std::int64_t logged_ns = 0;         // when a session of it was last logged, monotonic
    edge_view view;
  };
  struct job_state {
    edge_id user = edge_id::none;
    std::uint64_t session = 0; // to be acknowledged; 0: nobody waits
    std::uint64_t charged = 0; // the session whose open_bytes hold this job's; 0: none
    stream_key key;
    range_set ranges;
    std::int64_t newest_ns = 0; // by the clock of the node that made them
    sequence_range answer;      // what the sender waits for
    std::uint64_t bytes = 0;
    std::uint64_t kept = 0; // bytes that count as open, whatever became of the session
    std::vector<set_hash> sets;
    std::uint64_t sets_bytes = 0; // unfolded, of those that came for it
    std::uint64_t parts = 0;      // under way; 0: it waits for its turn
  };

  void handle(const link::peer_id& from, edge_id user, result<link::message> message);
  void on_hello(const link::peer_id& from, edge_id user, const link::hello& hello);
  bool elder_yields(const link::peer_id& from, edge_id user, session& elder, const link::hello& hello);
  void welcome(session& to, edge_id user, const std::string& site, const link::hello& hello);
  void note_clock(session& of, edge_id user, std::int64_t wall_ns);
  void note_restored(edge_id user, const link::hello& hello);
  void on_batch(session& from, edge_id user, const link::batch& batch);
  void take_run(session& from, edge_id user, parked_batch batch);
  // Waits for these sets, and asks for those that nobody has asked for yet.
  void park(session& from, edge_id user, parked_batch batch, const std::set<set_hash>& lacking);
  void ask_for_sets(session& of, edge_id edge, const std::vector<set_hash>& names);
  void end_session(session& of, link::presence how, std::string cause = {});
  void refuse_hello(const link::peer_id& to, edge_id user, link::bye_reason reason, std::string message);
  void on_origin_links(session& from, edge_id user, const link::origin_links& said);
  [[nodiscard]] bool takes(const session& from, std::uint64_t bytes) const;
  void note_waiting(session& of);
  [[nodiscard]] std::uint64_t first_credit(const session& of) const;
  // Once a second, where something has changed: everyone's part.
  void share_credit();
  [[nodiscard]] bool silent(const session& one, std::int64_t now) const noexcept;
  [[nodiscard]] std::uint64_t open_of_ended() const noexcept;
  void on_sets(session& from, edge_id user, const link::sets& sets);
  // What a key may have unfolded of sets that are large for what they cost it on the link.
  [[nodiscard]] bool may_unfold(edge_id user);
  void note_unfolded(edge_id user, const link::packed_set& packed, std::uint64_t bytes);
  void remember_set(edge_id user, edge_id edge, series_set_ptr set);
  void drop_set(const set_name& name);
  // Jobs of this stream answer to this session from now on. False: there are none.
  bool adopt_jobs(const session& by, const stream_key& key);
  // The range would be one more of a stream that has ranges_max, or twice as many where it comes `alone`.
  [[nodiscard]] bool grows_too_many(const stream_key& key, sequence_range range, bool alone) const;
  // Makes what is stored of the job's stream durably known as held, then acknowledges.
  void settle(job_state job);
  void store_waiting();
  void store(delivery_job job, edge_id user, std::uint64_t session, sequence_range answer,
             std::uint64_t bytes, std::uint64_t sets_bytes = 0);
  // Writes a tombstone over each range, as if it had been sent. What is lost happened from `from_ns` (0: not known)
  // to `to_ns`.
  void store_loss(edge_id user, const std::string& site, const stream_key& key, const range_set& ranges,
                  loss_cause cause, std::int64_t from_ns, std::int64_t to_ns, std::uint64_t session,
                  sequence_range answer, std::uint64_t bytes);
  void store_tombstone(edge_id user, const std::string& site, const stream_key& key, sequence first,
                       const tombstone& stone, std::int64_t time_ns, link::lane lane, std::uint64_t session,
                       sequence_range answer, std::uint64_t bytes);
  void discharge(const job_state& done);
  // Bytes of batches of that session that are not stored yet.
  [[nodiscard]] std::uint64_t being_stored(edge_id user, std::uint64_t session) const;
  void not_stored(const job_state& job, const std::string& why);
  void forget_epochs(edge_id edge);
  void ask_anew(session& of, edge_id user, const std::string& why);
  void ask_for_rest(edge_id user);
  void note_duplicate(session& of);
  [[nodiscard]] bool succeeds(edge_id user, const session& elder, const link::hello& hello) const;
  [[nodiscard]] bool is_past(edge_id user, const link::hello& hello) const;
  [[nodiscard]] bool is_older(edge_id user, const link::hello& hello);
  [[nodiscard]] bool asked_once_more(const link::peer_id& from, edge_id user);
  void elder_lives(edge_id user, session& of); // `of` is its session from here on
  [[nodiscard]] bool heard_of_elder(edge_id user, session& of, const link::message& message);
  [[nodiscard]] bool may_announce(edge_id user, const link::origin_state& state);
  [[nodiscard]] bool may_log(); // one more line about a peer
  void refuse(const link::peer_id& to, std::uint64_t session, link::bye_reason reason, std::string message);
  // Something is not taken, and the session goes on, unless its sender knows no better than to end it.
  void refuse_records(session& of, edge_id user, link::refusal what);
  // Nobody that connects may speak for it.
  [[nodiscard]] bool is_own(edge_id origin) const noexcept;
  static constexpr const char* own_records = // what whoever tries is told
      "these are the receiver's own records: do its records come back to it in a circle of gateways?";
  // Those of the origins that it may not speak for.
  [[nodiscard]] refused_origins ask_for(edge_id user, std::vector<edge_id> origins);
  void acknowledge(const job_state& done);

  receiver_config config_;
  clock_source& clock_;
  random_source& random_;
  receiver_backend& backend_;
  holdings holdings_;
  std::unordered_map<std::uint64_t, session> sessions_;   // by user edge id
  std::unordered_map<std::uint64_t, job_state> jobs_;     // by ticket: being stored
  std::unordered_map<std::uint64_t, job_state> settling_; // by ticket: `held` is being made durable
  struct announcements {
    std::map<edge_id, std::size_t> epochs; // by edge
    std::size_t total = 0;
  };
  std::map<edge_id, announcements> announced_; // by key
  std::map<edge_id, link::peer_id> doubted_;   // by key: a connection that is to bring its Hello once more
  std::uint64_t next_ticket_ = 1;
  std::uint64_t open_bytes_ = 0; // of all that is parked or being stored
  bool credit_due_ = false;
  std::int64_t shared_ns_ = 0;
  // Sets that arrived and may not be in the store yet.
  std::map<set_name, fresh_set> fresh_sets_;
  std::map<edge_id, fresh_of_user> fresh_of_;
  std::uint64_t fresh_bytes_ = 0;
  std::uint64_t next_fresh_ = 1;
  std::uint64_t next_parked_ = 1;
  turns<delivery_job> to_store_;
  bool storing_ = false;                // within store_waiting()
  std::uint64_t stored_sets_bytes_ = 0; // of sets that batches which are being stored brought along
  std::unordered_map<edge_id, token_bucket> swollen_of_; // by key: bounded by the registry
  receiver_counters counters_;
  // What a peer does wrong is logged in bursts of 20 and 20 lines a minute; it is counted always.
  token_bucket refusal_lines_{20.0 / 60, 60'000'000'000};
};

} // namespace skerry::delivery
