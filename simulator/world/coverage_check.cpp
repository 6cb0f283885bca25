#include "simulator/world/coverage_check.hpp"

#include <algorithm>

namespace skerry::sim {

namespace {

constexpr std::int64_t looked_from_ns = 0; // clocks may be off by months
constexpr std::int64_t looked_to_ns = 2 * world_begins_ns;

template <class Each>
void each_damaged(const cloud_node& cloud, Each each) {
  for (const auto& [id, part] : cloud.disk.now.sealing.partitions)
    for (const auto& [name, frame] : part.frames)
      if (part.damaged && frame.damaged)
        each(frame);
}

} // namespace

coverage_check::coverage_check(oracle& truth, const cloud_node& cloud)
    : truth_(truth), cloud_(cloud), said_(cloud.coverage(looked_from_ns, looked_to_ns)) {
  for (std::size_t i = 0; i < said_.size(); ++i)
    by_host_[truth_.host_index(said_[i].host)] = i;
}

const cloud::coverage_range* coverage_check::at(std::uint32_t host, std::int64_t time_ns) const {
  const auto said = by_host_.find(host);
  if (said == by_host_.end())
    return nullptr;
  const auto& ranges = said_[said->second].ranges;
  const auto range =
      std::find_if(ranges.begin(), ranges.end(), [&](const auto& r) { return time_ns <= r.to_ns; });
  return range == ranges.end() || range->from_ns > time_ns ? nullptr : &*range;
}

void coverage_check::check() {
  check_claims();
  check_entries();
  check_damage();
}

// No host is called not collected when something of it was collected and is stored, unless nothing was for so long.
void coverage_check::check_claims() {
  for (const auto& claim : truth_.false_claims())
    for (const auto& [key, stream] : truth_.streams()) {
      const auto stored = cloud_.disk.now.streams.find(key);
      if (key.edge != claim.edge || stored == cloud_.disk.now.streams.end())
        continue;
      for (sequence seq = 1; seq <= stream.records.size(); ++seq) {
        const auto& record = stream.records[seq - 1];
        if (record.host == 0 || (claim.host != 0 && claim.host != record.host) || !record.watermark
            || record.time_ns < claim.from_ns || record.time_ns > claim.to_ns
            || !stored->second.has_data(seq))
          continue;
        const auto* range = at(record.host, record.time_ns);
        if (range != nullptr && range->what == cloud::coverage::not_collected) {
          truth_.violated("{} of {} is stored, and its host is called not collected then ({})", seq,
                          to_string(key), to_string(range->cause));
          return;
        }
      }
    }
}

bool coverage_check::is_damaged(std::uint32_t host, std::int64_t from_ns, std::int64_t to_ns) {
  bool any = false;
  each_damaged(cloud_, [&](const sealed_frame& frame) {
    any =
        any || (truth_.host_index(frame.host) == host && frame.time_ns >= from_ns && frame.time_ns <= to_ns);
  });
  return any;
}

void coverage_check::check_damage() {
  const auto told = cloud_.own_damage();
  each_damaged(cloud_, [&](const sealed_frame& frame) {
    const auto is_told = [&](const cloud::loss_entry& entry) {
      return entry.site == frame.site && entry.host == frame.host && entry.from_ns <= frame.time_ns
             && entry.to_ns >= frame.time_ns;
    };
    if (std::none_of(told.begin(), told.end(), is_told))
      truth_.violated("{} of {} was damaged after it was sealed, and the ledger does not say so", frame.seq,
                      to_string(frame.origin));
    const auto* range = at(truth_.host_index(frame.host), frame.time_ns);
    if (range != nullptr && range->what == cloud::coverage::complete)
      truth_.violated("{} of {} was damaged after it was sealed, and its host is called complete then",
                      frame.seq, to_string(frame.origin));
    if (frame.time_ns <= cloud_.clock.wall_ns()
        && cloud_.warnings(frame.site, frame.host, frame.time_ns).empty())
      truth_.violated("{} of {} was damaged after it was sealed, and answers do not say so", frame.seq,
                      to_string(frame.origin));
  });
  for (const auto& entry : told) {
    bool begins = false, ends = false;
    each_damaged(cloud_, [&](const sealed_frame& frame) {
      const bool its = entry.site == frame.site && entry.host == frame.host;
      begins = begins || (its && entry.from_ns == frame.time_ns);
      ends = ends || (its && entry.to_ns == frame.time_ns);
    });
    if (!begins || !ends)
      truth_.violated("the ledger calls {} damaged for {} s from {} on, and nothing is then", entry.host,
                      (entry.to_ns - entry.from_ns) / second, entry.from_ns - world_begins_ns);
  }
}

// What one edge says is missing concerns no host that it does not speak for.
void coverage_check::check_entries() {
  const auto explained = [&](std::uint32_t host, const cloud::coverage_range& range) {
    const auto& speakers = truth_.speakers(host);
    for (const auto& [key, stream] : cloud_.disk.now.streams)
      if (speakers.contains(key.edge))
        for (const auto& [seq, entry] : stream.ledger)
          if (concerns(entry, range.from_ns, range.to_ns))
            return true;
    return range.cause == loss_cause::corrupt && is_damaged(host, range.from_ns, range.to_ns);
  };
  for (const auto& of_host : said_)
    for (const auto& range : of_host.ranges)
      if ((range.what == cloud::coverage::lost || range.what == cloud::coverage::not_collected)
          && !explained(truth_.host_index(of_host.host), range)) {
        truth_.violated("host {} is called {} ({}), and no edge that speaks for it says so", of_host.host,
                        to_string(range.what), to_string(range.cause));
        return;
      }
}

} // namespace skerry::sim
