#include "simulator/world/cluster_journal.hpp"

#include <utility>

namespace skerry::sim {

link::message cluster_journal::ack_of(const waiting& of, link::ack_level level) const {
  return {of.session, link::ack{of.ranges, of.freed_bytes, level}};
}

std::vector<link::stream_held> cluster_journal::not_safe(const std::vector<link::stream_held>& of) const {
  std::vector<link::stream_held> out;
  for (const auto& [key, ranges] : of) {
    auto rest = ranges;
    if (const auto it = held_.find(key); it != held_.end())
      rest.remove(it->second);
    if (!rest.empty())
      out.push_back({key, std::move(rest)});
  }
  return out;
}

void cluster_journal::answer(const link::peer_id& to, link::message message, bool away, const sending& send) {
  if (auto* welcome = std::get_if<link::welcome>(&message.body)) {
    welcome->not_safe = not_safe(welcome->durable);
    if (!welcome->not_safe.empty())
      waiting_.push_back({to, message.session, welcome->not_safe, 0, true, false});
    send(to, message);
    return;
  }
  auto& ack = std::get<link::ack>(message.body);
  if (not_safe(ack.ranges).empty()) {
    send(to, message);
    return;
  }
  const auto how = random_.below(100);
  const bool first = how < 70 || away;
  waiting_.push_back({to, message.session, ack.ranges, ack.freed_bytes, first, !first && how < 85});
  if (first)
    send(to, ack_of(waiting_.back(), link::ack_level::durable));
}

void cluster_journal::write(const engine_disk& disk, const delivery::holdings& held, const sending& send) {
  if (waiting_.empty())
    return; // nothing was promised since
  image_ = disk.now;
  held_.clear();
  for (const auto& [key, stream] : disk.now.streams)
    if (const auto* ranges = held.held(key))
      held_.emplace(key, *ranges);
  for (const auto& one : std::exchange(waiting_, {})) {
    send(one.to, ack_of(one, link::ack_level::safe));
    if (one.durable_last)
      send(one.to, ack_of(one, link::ack_level::durable));
  }
}

void cluster_journal::cannot_write(const sending& send) {
  for (auto& one : waiting_)
    if (!std::exchange(one.told, true))
      send(one.to, ack_of(one, link::ack_level::durable));
}

void cluster_journal::on_rollback(const engine_image& now) {
  image_ = now;
  held_.clear();
}

std::uint64_t cluster_journal::take_over(engine_disk& disk) const {
  std::uint64_t taken_back = 0;
  for (const auto& [key, stream] : disk.now.streams) {
    const auto left = image_.streams.find(key);
    for (sequence seq = 1; seq <= stream.data.size(); ++seq)
      taken_back += stream.has_data(seq) && (left == image_.streams.end() || !left->second.has(seq)) ? 1 : 0;
  }
  auto before = std::exchange(disk.now, image_);
  disk.now.origins = std::move(before.origins); // the registry is not the node's
  disk.now.forgotten.merge(before.forgotten);   // what was is not undone
  disk.unsafe.clear();
  return taken_back;
}

} // namespace skerry::sim
