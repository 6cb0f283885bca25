#pragma once

// What a receiver holds of each stream, and how far each step of taking more has come: being stored, stored, and
// durably known as held. One range set a step; they collapse as sequences have no gaps. Not thread-safe; no I/O.

#include "actors/link/messages.hpp"
#include "schemas/model/range_set.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace skerry::delivery {

// What is kept of a stream over a restart.
struct held_stream {
  range_set ranges;
  std::int64_t newest_ns = 0; // event time of the newest record that was ever stored; 0: not known
};

class holdings {
public:
  // Of one edge and stream, `epochs_max` epochs are remembered.
  explicit holdings(std::size_t epochs_max) : epochs_max_(epochs_max) {}

  void restore(const stream_key& key, held_stream held); // as read back from stable storage
  // What of `range` is neither stored nor being stored.
  [[nodiscard]] range_set lacking(const stream_key& key, sequence_range range) const;

  void begin(const stream_key& key, const range_set& ranges); // being stored from now on
  // No longer being stored: with the newest event time among them if they are stored, nullopt if not.
  void end(const stream_key& key, const range_set& ranges, std::optional<std::int64_t> stored_newest_ns);
  void settle(const stream_key& key, const range_set& ranges); // durably known as held

  [[nodiscard]] const range_set* held(const stream_key& key) const;   // durably known; null: nothing
  [[nodiscard]] const range_set* stored(const stream_key& key) const; // held, and what still settles

  // The highest sequence of this stream that is stored or being stored: what follows it makes no further range.
  [[nodiscard]] sequence reach(const stream_key& key) const;
  // Of what is stored of this stream, else of the edge's epochs before it; 0: not known.
  [[nodiscard]] std::int64_t newest_ns(const stream_key& key) const;

  // As an edge's Hello said, or its gateway: from now on its closed epochs are expected to these ends.
  void announce(const link::origin_state& epochs);
  // A sender named this stream, up to `last`, in its last Hello or since then. If it has records of it, they come again
  // should an acknowledgement not have reached it; what it has released it may name once more.
  void named(edge_id sender, const stream_key& key, sequence last, bool has_records);
  void forget_names(edge_id sender); // it says Hello
  // The boot counter of the oldest epoch that is not complete: one of which announced records are missing, else the
  // one that is being written (a restored or cloned edge may write an older one than another did). 0: the edge has not
  // been heard of since this process started, nothing can be said.
  [[nodiscard]] std::uint64_t first_incomplete(edge_id edge, stream_id stream) const;
  // Nothing more is expected of it: the edge's Hello closed it at an end that is held, or no longer has it at all.
  [[nodiscard]] bool complete(const stream_key& key) const;

  // Drops the oldest epochs of this edge beyond `epochs_max` and returns them: those that are complete and that no sender
  // names. Hence an unknown epoch is one that never was here, unless an edge's disk was restored from a copy that is
  // older than what is remembered: then its records are taken as new, and what it released is named as lost.
  [[nodiscard]] std::vector<stream_key> forget_surplus(edge_id edge);
  // How many epochs of this edge stay, of one stream at most, because this sender had records of them: all of those are
  // held, so its next Hello lets go of them.
  [[nodiscard]] std::size_t kept_for(edge_id sender, edge_id edge) const;

  // Of all streams, the most ranges of one; and of one edge and stream, the most epochs that nothing keeps here.
  [[nodiscard]] std::size_t ranges_most() const noexcept;
  [[nodiscard]] std::size_t surplus_most() const;

  // The newest epoch that an edge has shown.
  [[nodiscard]] epoch_id& newest(edge_id edge) { return newest_[edge]; }

private:
  struct entry {
    range_set held;
    range_set stored;
    range_set under_way;
    std::int64_t newest_ns = 0;
  };
  using streams = std::map<stream_key, entry>;
  [[nodiscard]] bool may_go(const stream_key& key) const; // it is complete, and no sender names it

  std::size_t epochs_max_;
  streams streams_;
  std::map<stream_key, sequence> announced_; // closed streams of each edge's last Hello, and their ends
  std::map<edge_id, epoch_id> greeted_;      // was heard of since this process started: what it writes now
  std::map<edge_id, epoch_id> newest_;
  struct name {
    sequence last = 0;
    bool has_records = false;
  };
  std::map<std::pair<stream_key, edge_id>, name> names_; // of streams by senders
};

} // namespace skerry::delivery
