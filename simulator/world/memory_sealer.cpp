#include "simulator/world/memory_sealer.hpp"

#include <algorithm>

namespace skerry::sim {

namespace {

constexpr std::size_t frames_per_log = 40;
// So short that ten minutes see fine and coarse partitions.
constexpr std::int64_t span_s = 10;
constexpr sim_time step_max = 3 * second; // slow, so that processes die in between

bool holds(const sealing_image::partition& part, const sealed_frame& frame) {
  return part.frames.contains({frame.origin, frame.seq});
}

} // namespace

void sealing_image::add(sealed_frame frame) {
  if (logs.empty() || logs.back().frames.size() >= frames_per_log)
    logs.push_back({++logs_made, {}});
  logs.back().frames.push_back(std::move(frame));
}

std::size_t damage_block(sealing_image& on, seeded_random& random) {
  std::vector<sealing_image::partition*> all;
  for (auto& [id, part] : on.partitions)
    if (!part.frames.empty())
      all.push_back(&part);
  if (all.empty())
    return 0;
  auto& part = *all[random.below(all.size())];
  auto& frames = part.frames;
  part.damaged = true;
  const auto whose =
      std::next(frames.begin(), static_cast<std::ptrdiff_t>(random.below(frames.size())))->second;
  std::vector<sealed_frame*> of_host;
  for (auto& [name, frame] : frames)
    if (frame.site == whose.site && frame.host == whose.host)
      of_host.push_back(&frame);
  std::sort(of_host.begin(), of_host.end(),
            [](const auto* a, const auto* b) { return a->time_ns < b->time_ns; });
  const auto first = random.below(of_host.size());
  const auto count = 1 + random.below(of_host.size() - first);
  for (std::size_t i = first; i < first + count; ++i)
    of_host[i]->damaged = true;
  return count;
}

memory_sealer::memory_sealer(sealing_image& on, scheduler& time, seeded_random random, oracle& truth,
                             const clock_source& clock, planted_faults planted)
    : on_(on), time_(time), random_(random), truth_(truth), clock_(clock), planted_(planted) {
  clock_is_off_ns_ = random_.chance(40) ? 0 : random_.between(-20, 20) * minute;
}

void memory_sealer::crash(bool torn) {
  *alive_ = false;
  if (committing_ && !torn && random_.chance(50))
    commit(left_.begin()->first, left_.begin()->second);
}

void memory_sealer::look() {
  if (busy_ || on_.logs.size() < 2)
    return;
  busy_ = true;
  plan_ = {clock_.wall_ns() + clock_is_off_ns_, span_s};
  left_ = divide(on_.logs.front());
  step();
}

std::map<cloud::partition_id, memory_sealer::share>
memory_sealer::divide(const sealing_image::log& log) const {
  cloud::sealed_parts before;
  for (const auto& [id, part] : on_.partitions)
    if (const auto it = part.plans.find(log.id); it != part.plans.end())
      for (const auto& plan : it->second)
        before.add(id, plan);
  const bool by_log_alone = planted(planted_, planted_fault::sealed_by_log_alone);
  std::map<cloud::partition_id, share> shares;
  for (const auto& frame : log.frames) {
    const auto id = cloud::partition_for(frame.time_ns, plan_);
    const auto part = on_.partitions.find(id);
    const bool done = by_log_alone ? part != on_.partitions.end() && part->second.plans.contains(log.id)
                                   : before.has(frame.time_ns);
    if (!done)
      shares[id].push_back(frame);
  }
  return shares;
}

void memory_sealer::step() {
  committing_ = !left_.empty();
  time_.after(static_cast<sim_time>(random_.below(step_max)), [this, alive = alive_] {
    if (!*alive)
      return;
    if (left_.empty())
      return end();
    commit(left_.begin()->first, left_.begin()->second);
    left_.erase(left_.begin());
    step();
  });
}

void memory_sealer::commit(const cloud::partition_id& id, const share& part) {
  for (const auto& frame : part)
    for (const auto& [other, has] : on_.partitions)
      if (holds(has, frame))
        truth_.violated("record {} of {} is sealed twice", frame.seq, to_string(frame.origin));
  auto& to = on_.partitions[id];
  for (const auto& frame : part)
    to.frames.emplace(std::pair{frame.origin, frame.seq}, frame);
  to.plans[on_.logs.front().id].push_back(plan_);
}

void memory_sealer::end() {
  for (const auto& frame : on_.logs.front().frames)
    if (std::none_of(on_.partitions.begin(), on_.partitions.end(),
                     [&](const auto& each) { return holds(each.second, frame); }))
      truth_.violated("record {} of {} is in no partition when its log is deleted", frame.seq,
                      to_string(frame.origin));
  for (auto& [id, part] : on_.partitions)
    part.plans.erase(on_.logs.front().id);
  on_.logs.pop_front();
  busy_ = false;
  look();
}

} // namespace skerry::sim
