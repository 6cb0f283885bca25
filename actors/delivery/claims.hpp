#pragma once

// Who may touch which records of a spool: what a sender has under way is not dropped, and what is just being dropped is
// not sent; what the receiver has and does not call safe yet is dropped for want of room alone; and what nobody takes is
// dropped before anything else. Any thread.

#include "actors/delivery/refused_records.hpp"
#include "schemas/model/range_set.hpp"

#include <map>
#include <mutex>
#include <optional>
#include <utility>

namespace skerry::delivery {

class claims {
public:
  // Before sending: what of it was not claimed before (a batch may hold records that another has under way already).
  // nullopt: some of it is being dropped just now, or was since it was read; read it again a little later.
  [[nodiscard]] std::optional<range_set> claim(const stream_key& key, sequence_range range) {
    const std::lock_guard lock{mutex_};
    for (const auto* closed : {&blocked_, &replaced_})
      if (const auto it = closed->find(key); it != closed->end() && !it->second.common_with(range).empty())
        return std::nullopt;
    auto& claimed = claimed_[key];
    auto fresh = claimed.missing_in(range);
    claimed.add(range);
    return fresh;
  }
  void release(const stream_key& key, const range_set& ranges) {
    const std::lock_guard lock{mutex_};
    remove(claimed_, key, ranges);
    remove(durable_, key, ranges);
  }
  // The receiver has it on stable storage, in one place: it is no longer under way, and not to be let go either.
  void durable(const stream_key& key, const range_set& ranges) {
    const std::lock_guard lock{mutex_};
    remove(claimed_, key, ranges);
    durable_[key].add(ranges);
  }
  void release_all() { // the session is over
    const std::lock_guard lock{mutex_};
    claimed_.clear();
    durable_.clear();
  }

  [[nodiscard]] std::size_t claimed_ranges() const {
    const std::lock_guard lock{mutex_};
    std::size_t n = 0;
    for (const auto* all : {&claimed_, &durable_})
      for (const auto& [key, ranges] : *all)
        n += ranges.ranges().size();
    return n;
  }

  // Before dropping: what of `ranges` is not under way, nor, save `for_room`, durable. It is not claimed by anybody until
  // unblock(). What is durable is no loss when its copy here goes: a tombstone in its place is trimmed by who has it.
  [[nodiscard]] range_set block(const stream_key& key, range_set ranges, bool for_room = false) {
    const std::lock_guard lock{mutex_};
    for (const auto* kept : {&claimed_, &durable_})
      if (const auto it = kept->find(key); it != kept->end() && !(for_room && kept == &durable_))
        ranges.remove(it->second);
    blocked_[key].add(ranges);
    return ranges;
  }
  void unblock_all() {
    const std::lock_guard lock{mutex_};
    blocked_.clear();
  }
  // Before unblock_all(): something else is stored under these numbers. Whoever sends may still have what was there
  // before in its hands: the range is claimed by nobody until told().
  void replaced(const stream_key& key, sequence_range range) {
    const std::lock_guard lock{mutex_};
    replaced_[key].add(range);
  }
  // By whoever sends, once it knows what is there now.
  void told(const stream_key& key, sequence_range range) {
    const std::lock_guard lock{mutex_};
    if (const auto it = replaced_.find(key); it != replaced_.end()) {
      it->second.remove(range);
      if (it->second.empty())
        replaced_.erase(it);
    }
  }

  // By whoever sends, when that changes.
  void note_refused(refused_records now) {
    const std::lock_guard lock{mutex_};
    refused_ = std::move(now);
  }
  [[nodiscard]] refused_records refused() const {
    const std::lock_guard lock{mutex_};
    return refused_;
  }

private:
  using ranges_of = std::map<stream_key, range_set>;
  static void remove(ranges_of& from, const stream_key& key, const range_set& ranges) {
    const auto it = from.find(key);
    if (it == from.end())
      return;
    it->second.remove(ranges);
    if (it->second.empty())
      from.erase(it);
  }

  mutable std::mutex mutex_;
  ranges_of claimed_;
  ranges_of durable_; // at the receiver, and not safe
  std::map<stream_key, range_set> blocked_;
  std::map<stream_key, range_set> replaced_;
  refused_records refused_;
};

} // namespace skerry::delivery
