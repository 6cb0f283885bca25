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
  std::uint64_t alerts = 0; // records, refused ones too
  std::int64_t from_ns = 0; // by this node's clock; both 0: nothing was dropped
  std::int64_t to_ns = 0;
};

class gateway_inbox {
public:
  static constexpr std::size_t collections_max =
      65'536; // then the newest are dropped: the gateway hangs in a sync
  // Those with alerts are taken beyond, up to so many; then they are refused, or dropped where nobody waits.
  static constexpr std::size_t alerts_max = 1'024;

  explicit gateway_inbox(std::chrono::milliseconds commit_interval) : commit_interval_(commit_interval) {}

  // The first one after a take() has the gateway commit after the interval; the first with alerts at once.
  void put(collection from, const gateway_actor& to) {
    const auto alerts =
        static_cast<std::uint64_t>(std::count_if(from.records.begin(), from.records.end(), is_alert));
    bool first = false, urgent = false, refused = false;
    {
      const std::lock_guard lock{mutex_};
      first = waiting_.empty();
      urgent = alerts != 0 && !std::exchange(urgent_, true);
      refused = waiting_.size() >= collections_max + (alerts != 0 ? alerts_max : 0);
      overflow_.alerts += refused ? alerts : 0;
      if (!refused)
        waiting_.push_back(std::move(from));
      else if (!from.done)
        note_dropped(from);
    }
    if (refused && from.done)
      from.done(fail(errc::exhausted, "too much waits for the spool already"));
    if (urgent)
      caf::anon_send(to, commit_atom_v);
    else if (first)
      caf::delayed_anon_send(to, commit_interval_, commit_atom_v);
  }
  [[nodiscard]] std::vector<collection> take() {
    const std::lock_guard lock{mutex_};
    urgent_ = false;
    return std::exchange(waiting_, {});
  }

  [[nodiscard]] inbox_overflow take_overflow() {
    const std::lock_guard lock{mutex_};
    return std::exchange(overflow_, {});
  }

private:
  [[nodiscard]] static bool is_alert(const pending_record& record) noexcept {
    return policy_of(record.kind).stream == stream_id::alert;
  }
  void note_dropped(const collection& from) {
    overflow_.samples += from.samples;
    for (const auto& record : from.records) {
      if (is_alert(record) || !has_node_time(record.kind, record.payload))
        continue; // no sample, or its target's word: the frames beside it tell when that was
      overflow_.from_ns =
          overflow_.from_ns == 0 ? record.time_ns : std::min(overflow_.from_ns, record.time_ns);
      overflow_.to_ns = std::max(overflow_.to_ns, record.time_ns);
    }
  }

  const std::chrono::milliseconds commit_interval_;
  std::mutex mutex_;
  std::vector<collection> waiting_;
  bool urgent_ = false; // the gateway was told to commit at once
  inbox_overflow overflow_;
};

} // namespace skerry::edge
