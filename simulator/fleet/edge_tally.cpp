#include "simulator/fleet/edge_tally.hpp"

#include "actors/base/clock.hpp"
#include "schemas/model/frame.hpp"

#include <algorithm>

namespace skerry::sim {

namespace {

// Values in a frame; 0 for every other kind of record.
std::uint32_t samples_of(const record_view& record) {
  thread_local frame sections;
  if (!policy_of(record.kind).samples || !decode_frame_sections(record.payload, sections))
    return 0;
  std::uint32_t out = 0;
  for (const auto& section : sections.sections)
    out += static_cast<std::uint32_t>(section.value_count());
  return out;
}

} // namespace

std::deque<edge_tally::entry>::iterator edge_tally::at_or_after(sequence seq) {
  return std::lower_bound(waiting_.begin(), waiting_.end(), seq,
                          [](const entry& e, sequence s) { return e.seq < s; });
}

void edge_tally::committed(const run& what, bool live, std::int64_t skew_ns) {
  if (what.header.key.stream != stream_id::telemetry)
    return;
  const auto records = decode_records(what);
  if (!records)
    return; // the spool has just written it
  const std::lock_guard lock{mutex_};
  epoch_ = what.header.key.epoch;
  for (const auto& record : records.value()) {
    const auto samples = samples_of(record);
    totals_.committed += samples;
    waiting_.push_back({record.seq, record.time_ns - skew_ns, samples, live, false});
  }
  newest_ = what.header.last();
}

void edge_tally::released(const stream_key& key, const range_set& ranges, std::int64_t now_ns) {
  const std::lock_guard lock{mutex_};
  if (key.stream != stream_id::telemetry || !epoch_ || key.epoch != *epoch_)
    return; // of an earlier run
  for (const auto& range : ranges.ranges()) {
    for (auto it = at_or_after(range.first); it != waiting_.end() && it->seq <= range.last; ++it) {
      if (it->settled)
        continue;
      it->settled = true;
      totals_.acked += it->samples;
      if (it->samples == 0)
        continue;
      const std::chrono::nanoseconds latency{now_ns - it->time_ns};
      latencies_.all.add(latency, it->samples);
      if (it->live)
        latencies_.live.add(latency, it->samples);
    }
    if (awaited_ != 0 && range.first <= awaited_ && awaited_ <= range.last) {
      awaited_ = 0;
      current_at_ = system_clock().monotonic_ns();
    }
  }
  while (!waiting_.empty() && waiting_.front().settled)
    waiting_.pop_front();
}

void edge_tally::replaced(const run& with) {
  const auto records = decode_records(with);
  if (!records || with.header.key.stream != stream_id::telemetry)
    return;
  const std::lock_guard lock{mutex_};
  if (!epoch_ || with.header.key.epoch != *epoch_)
    return;
  for (const auto& record : records.value()) {
    if (record.kind != record_kind::tombstone)
      continue;                                                      // what is kept beside it
    const auto last = record.seq + sequences_of(record).value() - 1; // decode_records() read it
    for (auto it = at_or_after(record.seq); it != waiting_.end() && it->seq <= last; ++it)
      if (!it->settled) {
        totals_.dropped += it->samples;
        it->samples = 0;
      }
  }
}

void edge_tally::expect_current(std::int64_t now) {
  const std::lock_guard lock{mutex_};
  const bool waits = !waiting_.empty() && !waiting_.back().settled;
  awaited_ = waits ? newest_ : 0;
  current_at_ = waits ? 0 : now;
}

std::optional<std::int64_t> edge_tally::current_at() const {
  const std::lock_guard lock{mutex_};
  return current_at_ == 0 ? std::nullopt : std::optional{current_at_};
}

sample_totals edge_tally::totals() const {
  const std::lock_guard lock{mutex_};
  return totals_;
}

} // namespace skerry::sim
