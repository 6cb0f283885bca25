#pragma once

// A shard's work as a plain class: it decodes and checks what is its hosts', appends it to the engine, and knows which
// ranges it has stored, so that a part that arrives again (after a crash between two shards of one batch) is stored
// once. It alone writes what it keeps of streams (shard_state.hpp). What it has stored it tells its subscribers (committed_effects.hpp). The shard actor adapts it to messages, the
// simulator's world to its scheduler. Not thread-safe.

#include "actors/base/clock.hpp"
#include "actors/base/planted.hpp"
#include "cloud/ingest/clock_trust.hpp"
#include "cloud/ingest/committed_effects.hpp"
#include "cloud/ingest/growing_value.hpp"
#include "cloud/ingest/host_admission.hpp"
#include "cloud/ingest/shard_state.hpp"
#include "cloud/store/writer.hpp"
#include "schemas/model/frame.hpp"
#include "schemas/model/payload.hpp"

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace skerry::cloud {

// Records of one shard's hosts from one run.
struct shard_part {
  std::uint64_t ticket = 0; // the job's: named in the answer
  std::string site;
  run from;                  // keeps the bytes
  range_set ranges;          // of the whole job
  sequence held_through = 0; // everything up to here is held by the cloud as a whole
  std::vector<record_view> records;
  std::vector<series_set_ptr> sets;
  // Where this is the job's only part: what makes the job held, stored with its records.
  std::optional<state_update> held;
};

struct shard_counters {
  std::atomic<std::uint64_t> records = 0;
  std::array<std::atomic<std::uint64_t>, kind_policies.size()> of_kind{}; // of those, by row of the table
  std::atomic<std::uint64_t> samples = 0;
  std::atomic<std::uint64_t> duplicate_records = 0;
  std::atomic<std::uint64_t> malformed_records = 0;  // acknowledged, and written to the ledger as corrupt
  std::atomic<std::uint64_t> ahead_records = 0;      // further ahead than ingest.future_max: tombstones
  std::atomic<std::uint64_t> host_limit_records = 0; // of hosts beyond the limits: tombstones
  std::atomic<std::int64_t> host_limit_told_ns = 0;  // when the log was last told of one, monotonic; 0: never
  std::atomic<std::uint64_t> refused_parts = 0;      // the engine took nothing
  std::atomic<std::uint64_t> doubted_parts = 0; // not taken: they are ahead of a clock that edges contradict
};

struct shard_config {
  shard_id id = 0;
  std::uint64_t fence = 1;
  std::shared_ptr<store_writer> store;
  std::shared_ptr<state_store> state;     // of the same store
  std::shared_ptr<host_admission> places; // of hosts; of all shards
  effects_subscribers subscribers;
  std::shared_ptr<shard_counters> counters;
  std::shared_ptr<const void> clock_owner; // keeps `clock`, where it must be kept
  clock_source* clock = nullptr;
  std::chrono::nanoseconds future_max = std::chrono::minutes{10};
  // Where it doubts `clock`, a part with something ahead is refused: its edge keeps it. Null: the clock is right.
  std::shared_ptr<const clock_trust> trust;
  planted_faults planted = nullptr; // by the simulator alone
};

class shard_core {
public:
  using answer_function = std::function<void(std::uint64_t ticket, std::string failed)>;

  // `appended` is called on the engine's thread and leads to on_stored on the shard's own.
  shard_core(shard_config config, answer_function appended);

  // `answer` is called once: when the engine refused the part, or has it and every subscriber has let go of what was
  // told of it. On the thread of whoever is the last of them.
  void take(std::shared_ptr<const shard_part> part, answer_function answer);
  void on_stored(std::uint64_t ticket, const std::string& failed);
  // Drops what is kept of the stream. False: it is kept. There is more of it here than is held (of a job that a crash or a
  // failure cut short some shards have their part, and must know it should an edge bring it again: one of two clones
  // may), or parts of it are under way.
  [[nodiscard]] bool release(const stream_release& over);

private:
  struct queued_part {
    std::shared_ptr<const shard_part> part;
    answer_function answer;
  };
  // What the part at the front of a queue will have changed once it is stored: a part that failed comes again, and
  // counts once.
  struct effects {
    std::shared_ptr<committed_effects> stored; // what is told then; null: nothing is under way
    std::uint64_t duplicates = 0;
    std::uint64_t malformed = 0;
    std::uint64_t ahead = 0;
    bool bounded = false; // an entry of the ledger told of times that are ahead
    std::uint64_t host_limit = 0;
  };
  // Of one stream: what is stored, and the parts that wait. One append at a time, because each writes the ranges
  // that are stored with it: a later one must not speak for an earlier one that fails.
  struct stream_state {
    shard_ranges kept;
    growing_value value;           // where `kept` is stored
    std::deque<queued_part> queue; // the front is being appended
    effects then;                  // of the front
    std::optional<range_set> over; // it was to be released while parts waited: then, unless more comes
  };

  static queued_part pop(stream_state& stream); // the front, whose effects are over
  void append_front(const std::string& name,
                    stream_state& stream); // the last that is done with it: it may go
  bool release(const std::string& name, stream_state& stream, const range_set& held);
  [[nodiscard]] append_request make_request(const std::string& name, stream_state& stream,
                                            const shard_part& part);
  [[nodiscard]] std::optional<loss_cause> check(const record_view& record, const shard_part& part,
                                                std::int64_t latest_ns, effects& then);
  [[nodiscard]] std::uint64_t samples_in(const record_view& record);
  void note_frame(const record_view& record, const stream_key& key, std::int64_t seen_ns,
                  committed_effects& to) const;
  [[nodiscard]] bool has_place(const std::string& site, std::string_view host, edge_id edge);
  void tell_host_limit(const std::string& site, std::string_view host);
  void count(const effects& then);
  void drop(std::vector<std::string> names); // of what is kept of streams
  void tell(effects then, queued_part done);

  shard_config config_;
  answer_function appended_;
  value_decoder decoder_;
  skerry::frame scratch_;
  std::unordered_map<std::string, stream_state> streams_;  // by state key
  std::unordered_map<std::uint64_t, std::string> waiting_; // state key by ticket of what is being appended
  // Hosts of this shard that have a place, as of that version of all places; by name_of().
  std::unordered_set<std::string> placed_;
  std::uint64_t placed_version_ = 0;
  std::string place_name_;
};

} // namespace skerry::cloud
