#pragma once

// Turns the samples of one source into frames that name series sets.
//
// A source interns each series once and then reports by reference: `begin`, `add` for every sample, `finish`.
// A series that was there last time and is not there this time gets one stale marker, then is absent by the
// presence bits of its section. Series never seen before are appended as new sets; sets that exist are not
// touched, so their hashes stay. Sample memory is one value and one generation a series: nothing is allocated
// per sample.
//
// Knowing series and making sets of them is actors/intake's; this class keeps what was added in a round, and says which
// series ended. The sets in a collection hold `hash` and `encoded` only: whoever needs members decodes
// (decode_series_set).
//
// One thread at a time, not always the same: what is needed only while a frame is made (a compression context
// is far larger than a source) belongs to the thread.

#include "actors/intake/declared_families.hpp"
#include "actors/intake/series_interner.hpp"
#include "actors/intake/set_maker.hpp"
#include "edge/collect/source.hpp"
#include "schemas/model/frame.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::edge {

using intake::no_series;
using intake::series_ref;
using intake::set_metadata_changes_max;

// Known at once, of one source: twice the series that one round may have, as all may be others in the next.
inline constexpr std::size_t source_series_max = 2 << 20;
// Series that wait for their sets with all of their labels, which are many times larger: then sets are made early.
inline constexpr std::size_t pending_series_max = 1 << 15;

// Rebuild when half of the series were absent more often than this, in a row. The more there are the sooner: a target
// whose series are others each time must neither fill memory nor reach source_series_max.
inline constexpr std::uint32_t absent_finishes_max = 60;
inline constexpr std::uint32_t absent_finishes_max_many = 2;
inline constexpr std::size_t many_series = 1 << 16;
inline constexpr std::size_t absent_series_min = 64;
inline constexpr std::size_t absent_series_min_failed =
    1 << 14; // in rounds that failed: memory of a broken source
// Samples that carry their own times make a frame a time. Series are put into sets by the time that they came with (a
// container's, a federated target's), so that such a frame is whole sets; where fewer than this many share a time on
// average, they stay in the page's order.
inline constexpr std::size_t stamped_group_min = 4;
// Distinct times of one round, of which the newest are kept. All records of a round go with one commit.
inline constexpr std::size_t stamped_times_max = 1 << 13;
// Samples with a time of their own that is further ahead of the round's are not kept, as in Prometheus: their source's
// clock is wrong.
inline constexpr std::int64_t stamped_ahead_max_ns = 600'000'000'000;
// Help is for people: what is beyond is cut off.
inline constexpr std::size_t help_bytes_max = 64 << 10;

struct assembler_counters {
  std::uint64_t duplicates = 0;      // samples: the series had one at this time already
  std::uint64_t series_refused = 0;  // over source_series_max, or with labels over the bounds of a set
  std::uint64_t samples_refused = 0; // over stamped_times_max, the oldest
  std::uint64_t samples_ahead = 0;   // over stamped_ahead_max_ns
  std::uint64_t stale_markers = 0;
  std::uint64_t sets_made = 0;
  std::uint64_t rebuilds = 0;
};

class frame_assembler {
public:
  // The reference of a series, known or new; `labels` sorted. Stays valid until `refs_epoch` changes, which
  // only `finish` and `stale_all` may do. no_series: refused and counted.
  series_ref intern(const metric_family& family, const labels& all);
  // A family's type, help or unit may have changed: the sets that describe it are made anew at the next
  // finish.
  void redeclare(const metric_family& family);
  [[nodiscard]] std::uint32_t refs_epoch() const noexcept { return refs_epoch_; }

  // Forgets what was added since the last finish. What follows was seen at `time_ns`, by this node's clock.
  void begin(std::int64_t time_ns = 0);
  // False: the series has a value in this round already; the first one stays, the other is counted.
  bool add(series_ref ref, double value) noexcept {
    if (seen_[ref] == generation_) [[unlikely]] {
      ++counters_.duplicates;
      return false;
    }
    values_[ref] = value;
    mark(ref);
    return true;
  }
  // Adds the value that the series had when it was last added.
  bool add_again(series_ref ref) noexcept {
    if (seen_[ref] == generation_) [[unlikely]] {
      ++counters_.duplicates;
      return false;
    }
    mark(ref);
    return true;
  }
  // For a sample with a time of its own. It goes into a frame of that time and is never followed by a stale
  // marker. A source goes on showing the last one that it has: it is recorded once. False: too far ahead.
  bool add_at(series_ref ref, double value, std::int64_t time_ns);
  // Once all has been added: drops the samples of the oldest times over stamped_times_max. How many.
  std::size_t drop_excess_times();
  // Why the last series was refused, for people.
  [[nodiscard]] const std::string& refusal() const noexcept { return refusal_; }
  void add_families(const std::vector<collected_family>& all);

  // The source failed in this round and only something about it is added: what is missing still counts as
  // seen for `appeared`, and is not on its way to be forgotten.
  void mark_failed() noexcept { failed_ = true; }
  [[nodiscard]] std::size_t added() const noexcept {
    return added_ + stamped_.size() + unchanged_;
  } // since begin
  // Of those added since begin, how many were not there in the last round that had samples.
  [[nodiscard]] std::size_t appeared() const noexcept { return appeared_; }

  // One frame of what was added, with stale markers for what ended, and one for each time that samples
  // carried. `samples` counts values, stale markers among them. Nothing to say: no records.
  [[nodiscard]] collection finish(std::int64_t time_ns, std::int64_t monotonic_ns, std::string_view host);
  // The source failed or went away: stale markers for all that was there.
  [[nodiscard]] collection stale_all(std::int64_t time_ns, std::int64_t monotonic_ns, std::string_view host);

  [[nodiscard]] std::size_t series_count() const noexcept { return values_.size(); }
  [[nodiscard]] std::size_t set_count() const noexcept { return maker_.sets().size(); }
  [[nodiscard]] const assembler_counters& counters() const noexcept { return counters_; }
  [[nodiscard]] std::size_t memory_bytes() const noexcept; // held between rounds, about

private:
  struct stamped_sample {
    std::int64_t time_ns;
    series_ref ref;
    double value;
  };
  // Of a series whose samples carry times: the last that was recorded.
  struct stamped_last {
    std::int64_t time_ns = INT64_MIN;
    double value = 0;
    std::uint32_t seen = 0; // the generation of the last add_at
  };

  void mark(series_ref ref) noexcept {
    appeared_ += seen_[ref] < last_generation_ ? 1 : 0;
    seen_[ref] = generation_;
    ++added_;
  }
  void group_pending();
  void seal_pending();
  void refresh_metadata();
  void rebuild_if_sparse(bool had_samples);
  void emit_round(std::int64_t time_ns, std::int64_t monotonic_ns, std::string_view host, collection& out);
  void emit_stamped(std::string_view host, collection& out);
  void emit(frame& from, std::string_view host, collection& out);

  // By reference.
  intake::series_interner interner_;
  std::vector<double> values_;
  std::vector<std::uint32_t> seen_;        // the generation of the last add
  std::vector<stamped_last> stamped_last_; // empty where no sample carried a time
  std::vector<std::uint64_t> live_;        // a bit each: had a value in the last frame
  intake::set_maker maker_;                // of the first references; the rest is
  intake::pending_series pending_;
  std::uint32_t group_ = 0;            // of the next series; 0 has no times of its own
  intake::declared_families families_; // of the sets
  std::vector<stamped_sample> stamped_;
  std::uint32_t generation_ = 1;
  std::uint32_t last_generation_ = 1; // of the last finish that had samples
  std::uint32_t refs_epoch_ = 0;
  std::size_t added_ = 0;
  std::size_t unchanged_ = 0; // of samples with times of their own, those that were recorded before
  std::int64_t round_ns_ = 0; // when this round was seen; 0: not known
  bool failed_ = false;
  std::size_t appeared_ = 0;
  assembler_counters counters_;
  std::string refusal_;
};

} // namespace skerry::edge
