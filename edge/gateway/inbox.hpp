#pragma once

// Where collections gather for the gateway's next commit. Agents put them here instead of sending a message each: the
// gateway sleeps in between, and hundreds of targets cost it ten wake-ups a second. Any thread.

#include "actors/actors.hpp"
#include "edge/gateway/collection.hpp"
#include "schemas/model/seen_clock.hpp"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <utility>
#include <vector>

namespace skerry::edge {

// Collections that nobody took for too long, and were not kept.
struct inbox_overflow {
  std::uint64_t samples = 0;
  std::int64_t from_ns = 0; // by this node's clock; both 0: nothing was dropped
  std::int64_t to_ns = 0;
};

class gateway_inbox {
public:
  static constexpr std::size_t collections_max =
      65'536; // then the newest are dropped: the gateway hangs in a sync

  explicit gateway_inbox(std::chrono::milliseconds commit_interval) : commit_interval_(commit_interval) {}

  // The first one after a take() has the gateway commit after the interval.
  void put(collection from, const gateway_actor& to) {
    bool first = false, refused = false;
    {
      const std::lock_guard lock{mutex_};
      first = waiting_.empty();
      if (waiting_.size() < collections_max)
        waiting_.push_back(std::move(from));
      else if (refused = static_cast<bool>(from.done); !refused)
        note_dropped(from);
    }
    if (refused)
      from.done(fail(errc::exhausted, "too much waits for the spool already"));
    if (first)
      caf::delayed_anon_send(to, commit_interval_, commit_atom_v);
  }
  [[nodiscard]] std::vector<collection> take() {
    const std::lock_guard lock{mutex_};
    return std::exchange(waiting_, {});
  }

  [[nodiscard]] inbox_overflow take_overflow() {
    const std::lock_guard lock{mutex_};
    return std::exchange(overflow_, {});
  }

private:
  void note_dropped(const collection& from) {
    overflow_.samples += from.samples;
    for (const auto& record : from.records) {
      if (!has_node_time(record.kind, record.payload))
        continue; // its target's word: the frames beside it tell when that was
      overflow_.from_ns =
          overflow_.from_ns == 0 ? record.time_ns : std::min(overflow_.from_ns, record.time_ns);
      overflow_.to_ns = std::max(overflow_.to_ns, record.time_ns);
    }
  }

  const std::chrono::milliseconds commit_interval_;
  std::mutex mutex_;
  std::vector<collection> waiting_;
  inbox_overflow overflow_;
};

} // namespace skerry::edge
