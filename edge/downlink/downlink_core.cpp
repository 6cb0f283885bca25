#include "edge/downlink/downlink_core.hpp"

#include "schemas/model/frame.hpp"
#include "schemas/model/set_memory.hpp"

#include <algorithm>

namespace skerry::edge {

namespace {

constexpr std::size_t sets_cached_max = 256; // a decoded set takes up to 100 KB
constexpr std::size_t sets_of_batch_max = 4096;
constexpr std::uint64_t sets_cached_bytes_max = 64 << 20;

} // namespace

downlink_core::downlink_core(delivery::receiver_config config, std::shared_ptr<const spool> store,
                             delivery::authority& keys, clock_source& clock, random_source& random,
                             outputs to)
    : authorized_backend(keys, clock),
      store_(std::move(store)),
      to_(std::move(to)),
      receiver_(std::move(config), clock, random, *this) {
  // What the spool holds or has passed on is what this hop has taken.
  for (auto& stream : store_->streams()) {
    stream.held.add(stream.released);
    receiver_.restore_held(stream.key, {std::move(stream.held), stream.newest_ns});
  }
}

series_set_ptr downlink_core::stored_set(edge_id edge, const set_hash& hash) {
  if (const auto it = sets_.find({edge, hash}); it != sets_.end())
    return it->second;
  auto found = store_->find_set(edge, hash);
  if (!found || !found.value())
    return nullptr;
  if (sets_.size() >= sets_of_batch_max || sets_bytes_ >= sets_cached_bytes_max)
    forget_sets();
  sets_bytes_ += memory_bytes(**found.value());
  return sets_[{edge, hash}] = *found.value();
}

void downlink_core::forget_sets() {
  sets_.clear();
  sets_bytes_ = 0;
}

std::optional<std::size_t> downlink_core::series_in_set(edge_id edge, const set_hash& hash) {
  const auto set = stored_set(edge, hash);
  return set ? std::optional{set->members.size()} : std::nullopt;
}

// Every set that its frames name goes along: the spool had them when it was asked, and may have deleted the segment that
// held them by the time it takes the job. A segment that has them already writes none twice.
std::uint64_t downlink_core::store(delivery::delivery_job job) {
  const auto edge = job.from.header.key.edge;
  frame sections;
  for (const auto& record : job.records) {
    if (!policy_of(record.kind).names_sets || !decode_frame_sections(record.payload, sections))
      continue;
    for (const auto& section : sections.sections) {
      if (std::any_of(job.sets.begin(), job.sets.end(),
                      [&](const series_set_ptr& known) { return known->hash == section.set; }))
        continue;
      if (auto set = stored_set(edge, section.set))
        job.sets.push_back(std::move(set));
    }
  }
  if (sets_.size() >= sets_cached_max)
    forget_sets();
  const auto records = job.records.size(); // each is written by itself
  to_.store(std::move(job));
  return records;
}

} // namespace skerry::edge
