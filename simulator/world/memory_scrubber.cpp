#include "simulator/world/memory_scrubber.hpp"

#include <algorithm>

namespace skerry::sim {

namespace {

constexpr sim_time step_max = 400 * millisecond;    // for one partition
constexpr sim_time write_after_max = 3 * second;    // what was found
constexpr sim_time write_again_after = 10 * second; // where the disk took nothing
constexpr std::size_t rows_max = cloud::damage_ledger::rows_max_default;

cloud::damage damage_of(const cloud::partition_id& id, const sealed_frame& first, const sealed_frame& last) {
  cloud::damage out;
  out.site = first.site;
  out.host = first.host;
  out.from_ns = first.time_ns;
  out.to_ns = last.time_ns;
  out.thing = cloud::damaged_thing(
      "block", {static_cast<std::uint64_t>(id.start_s), static_cast<std::uint64_t>(id.span_s),
                static_cast<std::uint64_t>(first.time_ns), static_cast<std::uint64_t>(last.time_ns)});
  return out;
}

} // namespace

memory_scrubber::memory_scrubber(const sealing_image& on, cloud::damage_file file, scheduler& time,
                                 seeded_random random, const clock_source& clock, planted_faults planted)
    : on_(on), time_(time), random_(random), damages_(std::move(file), metrics_, rows_max, planted) {
  damages_.changed = [this] {
    if (!std::exchange(found_, true))
      after(static_cast<sim_time>(random_.below(write_after_max)), &memory_scrubber::flush);
  };
  (void)damages_.load(clock.wall_ns());
  after(static_cast<sim_time>(random_.below(step_max)), &memory_scrubber::step);
}

void memory_scrubber::after(sim_time delay, void (memory_scrubber::*then)()) {
  time_.after(delay, [this, alive = alive_, then] {
    if (*alive)
      (this->*then)();
  });
}

void memory_scrubber::step() {
  const auto next = at_ ? on_.partitions.upper_bound(*at_) : on_.partitions.begin();
  if (next == on_.partitions.end()) {
    at_.reset();
    passes_ += found_ ? 0 : 1;
  } else {
    at_ = next->first;
    check(next->first, next->second);
  }
  after(1 + static_cast<sim_time>(random_.below(step_max)), &memory_scrubber::step);
}

// What is damaged side by side, of one host, is one block.
void memory_scrubber::check(const cloud::partition_id& id, const sealing_image::partition& part) {
  if (!part.damaged)
    return;
  std::map<std::pair<std::string, std::string>, std::vector<const sealed_frame*>> by_host;
  for (const auto& [name, frame] : part.frames)
    by_host[{frame.site, frame.host}].push_back(&frame);
  for (auto& [host, frames] : by_host) {
    std::sort(frames.begin(), frames.end(),
              [](const auto* a, const auto* b) { return a->time_ns < b->time_ns; });
    for (std::size_t i = 0; i < frames.size(); ++i) {
      if (!frames[i]->damaged)
        continue;
      const auto first = i;
      while (i + 1 < frames.size() && frames[i + 1]->damaged)
        ++i;
      damages_.note(damage_of(id, *frames[first], *frames[i]), "block", "its bytes are not what was written");
    }
  }
}

void memory_scrubber::flush() {
  found_ = false;
  if (damages_.flush())
    return;
  found_ = true;
  after(write_again_after, &memory_scrubber::flush);
}

} // namespace skerry::sim
