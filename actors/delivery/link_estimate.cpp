#include "actors/delivery/link_estimate.hpp"

#include <algorithm>

namespace skerry::delivery {

namespace {

constexpr double ns_per_second = 1e9;
constexpr double batches_in_queue = 4; // so that the window fills whatever its size; on a fast link two
constexpr double trips = 2;            // that the window covers
constexpr double trips_apart = 6;

} // namespace

link_estimate::sent link_estimate::on_sent(std::uint64_t in_flight_bytes, std::int64_t now_ns) {
  if (in_flight_bytes == 0)
    delivered_at_ns_ = first_sent_ns_ = now_ns; // time with nothing under way says nothing about the link
  return {now_ns, delivered_bytes_, delivered_at_ns_, first_sent_ns_, in_flight_bytes < window_bytes() / 2};
}

void link_estimate::on_acked(const sent& what, std::uint64_t bytes, std::int64_t now_ns) {
  delivered_bytes_ += bytes;
  delivered_at_ns_ = now_ns;
  first_sent_ns_ = what.at_ns;
  const auto round_trip = static_cast<double>(std::max<std::int64_t>(1, now_ns - what.at_ns));
  while (!round_trips_.empty() && round_trips_.back().value >= round_trip)
    round_trips_.pop_back();
  round_trips_.push_back({now_ns, round_trip});
  while (round_trips_.size() > 1 && now_ns - round_trips_.front().at_ns > config_.round_trip_window_ns)
    round_trips_.pop_front();

  // After a repeated packet many acknowledgements come at once: no faster than it was sent is it delivered.
  const auto took =
      std::max({std::int64_t{1}, now_ns - what.delivered_at_ns, what.at_ns - what.first_sent_ns});
  const auto rate = static_cast<double>(delivered_bytes_ - what.delivered_bytes) / static_cast<double>(took)
                    * ns_per_second;
  // A link that had little to do delivers little: that is no sign that it has become slower.
  if (what.idle && rate < bytes_per_second())
    return;
  while (!rates_.empty() && rates_.back().value <= rate)
    rates_.pop_back();
  rates_.push_back({now_ns, rate});
  while (rates_.size() > 1 && now_ns - rates_.front().at_ns > config_.rate_window_ns)
    rates_.pop_front();
}

void link_estimate::reset() {
  rates_.clear();
  round_trips_.clear();
}

double link_estimate::bytes_per_second() const noexcept { return rates_.empty() ? 0 : rates_.front().value; }

std::int64_t link_estimate::round_trip_ns() const noexcept {
  return round_trips_.empty() ? 0 : static_cast<std::int64_t>(round_trips_.front().value);
}

std::uint64_t link_estimate::window_bytes(bool apart) const noexcept {
  // Twice the round trip: while TCP repeats what was lost, nothing is acknowledged for one. Losses in a row, and a lost
  // repetition, take several.
  const auto per_ns = bytes_per_second() / ns_per_second;
  const auto trip = per_ns * (apart ? trips_apart : trips) * static_cast<double>(round_trip_ns());
  const auto queue =
      std::min(per_ns * static_cast<double>(config_.queue_ns), static_cast<double>(config_.queue_bytes_max));
  return std::max(config_.window_bytes_min, static_cast<std::uint64_t>(trip + queue));
}

std::size_t link_estimate::batch_bytes(std::size_t most) const noexcept {
  if (rates_.empty())
    return std::min<std::size_t>(most, config_.window_bytes_min);
  const auto queued = bytes_per_second() * static_cast<double>(config_.queue_ns) / ns_per_second;
  const auto bytes = std::min(static_cast<std::size_t>(std::min(1e12, queued / batches_in_queue)),
                              static_cast<std::size_t>(config_.queue_bytes_max / 2));
  return std::min(most, std::max(config_.batch_bytes_min, bytes));
}

} // namespace skerry::delivery
