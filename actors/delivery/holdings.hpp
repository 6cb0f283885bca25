#pragma once

// What a receiver holds of each stream, and how far each step of taking more has come: being stored, stored, and
// durably known as held. One range set a step; they collapse as sequences have no gaps. Not thread-safe; no I/O.

#include "actors/base/planted.hpp"
#include "actors/link/messages.hpp"
#include "schemas/model/range_set.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

namespace skerry::delivery {

// What is kept of a stream over a restart.
struct held_stream {
  range_set ranges;
  std::int64_t newest_ns = 0; // of the newest record ever stored, by its node's clock; 0: not known
};

class holdings {
public:
  // Of one edge and stream, `epochs_max` epochs are remembered that nothing keeps.
  explicit holdings(std::size_t epochs_max, planted_faults planted = nullptr)
      : epochs_max_(epochs_max), planted_(planted) {}

  void restore(const stream_key& key, held_stream held); // as read back from stable storage
  // What of `range` is neither stored nor being stored.
  [[nodiscard]] range_set lacking(const stream_key& key, sequence_range range) const;

  void begin(const stream_key& key, const range_set& ranges); // being stored from now on
  // No longer being stored: with the newest event time among them if they are stored, nullopt if not.
  void end(const stream_key& key, const range_set& ranges, std::optional<std::int64_t> stored_newest_ns);
  void settle(const stream_key& key, const range_set& ranges); // durably known as held

  [[nodiscard]] const range_set* held(const stream_key& key) const;   // durably known; null: nothing
  [[nodiscard]] const range_set* stored(const stream_key& key) const; // held, and what still settles

  // How many ranges of this stream are stored or being stored, at most; and whether this one joins any of them.
  [[nodiscard]] std::size_t range_count(const stream_key& key) const;
  [[nodiscard]] bool touches(const stream_key& key, sequence_range range) const;
  // The highest sequence of this stream that is stored or being stored.
  [[nodiscard]] sequence reach(const stream_key& key) const;
  // Of what is stored of this stream, else of the edge's epochs before it; 0: not known.
  [[nodiscard]] std::int64_t newest_ns(const stream_key& key) const;

  // As an edge's Hello said, or its gateway: from now on its closed epochs are expected to these ends.
  void announce(const link::origin_state& epochs);
  // A sender's Hello named this stream: it has records of it, and they come again should an acknowledgement not have
  // reached it; or it had, and may name them as released once more.
  void named(edge_id sender, const stream_key& key);
  // A batch of it came, which names it, too. False: in this session so many other streams came that its Hello had not
  // named (`epochs_max`) that it is to say Hello again.
  [[nodiscard]] bool came(edge_id sender, const stream_key& key);
  // It says Hello, or its key was revoked. Gives whose streams it had named.
  std::set<edge_id> forget_names(edge_id sender);
  // The boot counter of the oldest epoch that is not complete: one of which announced records are missing, else the
  // one that is being written (a restored or cloned edge may write an older one than another did). 0: the edge has not
  // been heard of since this process started, nothing can be said.
  [[nodiscard]] std::uint64_t first_incomplete(edge_id edge, stream_id stream) const;
  // Nothing more is expected of it: the edge's Hello closed it at an end that is held, or no longer has it at all.
  [[nodiscard]] bool complete(const stream_key& key) const;

  // Where its edge has closed it, as it said last. 0: it did not, or with nothing in it.
  [[nodiscard]] sequence announced_end(const stream_key& key) const;
  // What its edge said last is not about this one: it neither writes it nor announces it. One of two copies of a disk, or
  // one from before it, does not know how far it and those before it reach.
  [[nodiscard]] bool disowned(const stream_key& key) const;

  // Drops the oldest epochs of this edge beyond `epochs_max` and returns them, of those that nothing keeps: they are
  // complete, and neither does a sender name them nor their edge. There are more of them only after a Hello, or when an
  // edge announces its epochs. Hence an unknown epoch is one that never was here, unless an edge's disk was restored from a
  // copy that is older than what is remembered: then its records are taken as new, and what it released is named as lost.
  [[nodiscard]] std::vector<stream_key> forget_surplus(edge_id edge);

  // Of all streams, the most ranges of one; and of one edge and stream, the most epochs that nothing keeps here.
  [[nodiscard]] std::size_t ranges_most() const noexcept;
  [[nodiscard]] std::size_t surplus_most() const;
  [[nodiscard]] std::size_t epochs(edge_id edge,
                                   stream_id stream) const; // that are remembered, for whatever reason

  // The newest epoch that an edge has shown.
  [[nodiscard]] epoch_id& newest(edge_id edge) { return newest_[edge]; }

private:
  struct entry {
    range_set held;
    range_set stored;
    range_set under_way;
  };
  using streams = std::map<stream_key, entry>;
  using epoch_of_stream = std::tuple<edge_id, stream_id, epoch_id>;
  [[nodiscard]] static epoch_of_stream in_order(const stream_key& key) {
    return {key.edge, key.stream, key.epoch};
  }
  void note_newest(const stream_key& key, std::int64_t ns);
  void erase(const stream_key& key);
  [[nodiscard]] bool may_go(const stream_key& key) const; // nothing keeps it

  std::size_t epochs_max_;
  streams streams_;
  // The newest event time of each stream of which one is known: an edge may have thousands that tell nothing.
  std::map<epoch_of_stream, std::int64_t> newest_ns_;
  std::map<stream_key, sequence> announced_; // closed streams of each edge's last Hello, and their ends
  std::map<edge_id, epoch_id> greeted_;      // was heard of since this process started: what it writes now
  std::map<edge_id, epoch_id> newest_;
  std::set<std::pair<stream_key, edge_id>> names_; // of streams by senders
  std::map<edge_id, std::size_t> since_hello_;     // how many of a sender's are not from its Hello
  planted_faults planted_;
};

} // namespace skerry::delivery
