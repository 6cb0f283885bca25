#pragma once

// What a shard tells once a part is stored. Whatever wants to know what has come hangs on this one message: the table of
// hosts today, rules, aggregators and subscribers next to it.
//
// A shard makes one message of each part of which it has stored something, after the commit and before it answers the
// part. Every stored record is in one message, once: a part that the store refused tells nothing, and tells when it
// comes again and is stored. Records that were stored before are in no message.
//
// The message is immutable and any thread may read it. Its views lead into the records' bytes, which it keeps.
//
// The part is answered when the last subscriber has let go of its message. So credit bounds what waits for all of
// them: there are never more messages than parts under way, and a subscriber that is slow slows its senders. One that
// must not do that takes what it needs into a bounded queue of its own.

#include "schemas/model/host.hpp"
#include "schemas/model/range_set.hpp"
#include "schemas/model/record.hpp"
#include "schemas/model/record_kind.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace skerry::cloud {

// What is told of a stored frame.
struct frame_seen {
  struct set {
    std::uint64_t name = 0;   // of the series set, as far as it tells sets of one host apart
    std::uint32_t series = 0; // with a value in this frame
    std::uint32_t all = 0;    // of the set
  };
  edge_id edge = edge_id::none;
  std::int64_t time_ns = 0; // of its samples
  // By the clock of the node that collected or took it; 0: not known.
  std::int64_t seen_ns = 0;
  // It holds what a source had at one moment. False: its samples have times of their own, and other frames hold others.
  bool whole = true;
  std::span<const set> sets;
};

struct committed_effects {
  struct frame {
    record_view record;
    std::uint64_t samples = 0;
    frame_seen seen; // of it `sets` alone is empty: sets_of() gives them
    std::size_t first_set = 0;
    std::size_t set_count = 0;
  };

  shard_id shard = 0;
  std::string site;
  stream_key origin;
  std::vector<frame> frames;
  std::vector<record_view> watermarks; // that speak of samples; frames may carry one
  std::vector<record_view> others; // neither frames nor watermarks: entries of the ledger, logs, events, …
  std::uint64_t records = 0;
  std::array<std::uint64_t, kind_policies.size()> of_kind{}; // of those, by row of the table

  std::vector<frame_seen::set> sets;     // of all frames
  std::shared_ptr<const void> owner;     // keeps the bytes
  std::shared_ptr<const void> under_way; // answers the part when it goes

  [[nodiscard]] std::span<const frame_seen::set> sets_of(const frame& one) const {
    return std::span{sets}.subspan(one.first_set, one.set_count);
  }
};

// Called in their order, on the shard's thread; each hands the message on and returns at once.
using effects_subscribers =
    std::vector<std::function<void(const std::shared_ptr<const committed_effects>& what)>>;

// What ingest knows of a stream beyond what shards store.
struct stream_news {
  enum class kind : std::uint8_t {
    held,     // everything up to `through`
    disowned, // nobody can say any more what goes before its watermarks
    over,     // nothing of it comes any more
  };
  stream_key key;
  kind what = kind::held;
  sequence through = 0;
  bool older_complete = false; // every older epoch of its edge is held, too

  bool operator==(const stream_news&) const = default;
};
// In the order in which they became true. What is told here of a record and what its shard tells may come in any order.
using stream_news_list = std::vector<stream_news>;

} // namespace skerry::cloud
