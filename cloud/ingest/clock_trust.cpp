#include "cloud/ingest/clock_trust.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace skerry::cloud {

void clock_trust::heard(edge_id edge, std::int64_t wall_ns) {
  const auto now_ns = clock_.monotonic_ns();
  const std::lock_guard lock{mutex_};
  votes_[edge] = {std::clamp<std::int64_t>(wall_ns, 0, INT64_MAX / 2) - now_ns, now_ns};
  if (votes_.size() > votes_max)
    votes_.erase(std::min_element(votes_.begin(), votes_.end(), [](const auto& a, const auto& b) {
      return a.second.heard_ns < b.second.heard_ns;
    }));
}

clock_trust::verdict clock_trust::judge() const {
  const auto now_ns = clock_.monotonic_ns();
  const auto offset_ns = clock_.wall_ns() - now_ns;
  verdict out;
  const std::lock_guard lock{mutex_};
  for (const auto& [edge, vote] : votes_) {
    if (now_ns - vote.heard_ns > std::chrono::nanoseconds{vote_age_max}.count())
      continue;
    ++out.heard;
    const auto ahead_ns = vote.offset_ns - offset_ns;
    if (ahead_ns <= future_max_ns_)
      continue;
    out.ahead_ns = out.ahead == 0 ? ahead_ns : std::min(out.ahead_ns, ahead_ns);
    ++out.ahead;
  }
  return out;
}

std::string doubt_of(const clock_trust::verdict& of) {
  if (of.trusted())
    return {};
  return fmt::format(
      "the clock of this node is {} s or more behind those of {} of the {} edges that were heard: what "
      "they date later than ingest.future_max is not taken, and not lost; set the clock right that is "
      "wrong",
      of.ahead_ns / 1'000'000'000, of.ahead, of.heard);
}

} // namespace skerry::cloud
