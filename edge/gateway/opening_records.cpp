#include "edge/gateway/opening_records.hpp"

#include <algorithm>
#include <cstdlib>

namespace skerry::edge {

namespace {

pending_record clock_note_record(clock_source& clock, std::int64_t& offset_ns) {
  clock_note note;
  note.boot_id = boot_id();
  note.monotonic_ns = clock.monotonic_ns();
  const auto wall = clock.wall_ns();
  note.offset_ns = offset_ns = wall - note.monotonic_ns;
  pending_record record;
  record.kind = record_kind::clock_note;
  record.time_ns = wall;
  encode_payload(note, record.payload);
  return record;
}

} // namespace

pending_record not_collected_record(std::int64_t from_ns, std::int64_t to_ns, loss_cause cause,
                                    std::string detail) {
  pending_record record;
  record.kind = record_kind::not_collected;
  record.time_ns = to_ns;
  encode_payload(not_collected{from_ns, to_ns, cause, std::move(detail)}, record.payload);
  return record;
}

std::vector<pending_record> opening_records(const open_report& report, clock_source& clock,
                                            std::chrono::nanoseconds commit_interval,
                                            std::int64_t& offset_ns) {
  std::vector<pending_record> out;
  out.push_back(clock_note_record(clock, offset_ns));
  const auto now = clock.wall_ns();
  auto from = report.last_commit_ns;
  if (from == 0 || from >= now)
    return out; // the first opening, or a clock that went back: nothing can be said
  if (!report.clean) {
    // What was being read while the last commit went through is not in it either.
    const auto to = std::min(now, from + commit_interval.count());
    out.push_back(not_collected_record(from - commit_interval.count(), to, loss_cause::uncommitted,
                                       "collected, and not yet committed when the process ended"));
    from = to;
  }
  if (from < now)
    out.push_back(not_collected_record(from, now, loss_cause::node_off, "the edge process was not running"));
  return out;
}

std::optional<pending_record> clock_note_if_moved(clock_source& clock, std::int64_t& offset_ns) {
  const auto now = clock.wall_ns() - clock.monotonic_ns();
  if (std::llabs(now - offset_ns) < clock_step_min_ns)
    return std::nullopt;
  return clock_note_record(clock, offset_ns);
}

} // namespace skerry::edge
