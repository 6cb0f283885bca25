#pragma once

// How fast the link delivers, from when bytes were sent and when their acknowledgement came: how much backlog may be
// under way without delaying what is fresh.
//
// The rate is the largest delivery rate of the last seconds and the round trip the shortest of the last minute, as in
// BBR (Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 14(5), 2016). A round trip here ends
// when the receiver has synced to disk. Not thread-safe; no clock of its own.

#include <cstddef>
#include <cstdint>
#include <deque>

namespace skerry::delivery {

struct link_estimate_config {
  std::uint64_t window_bytes_min = 16 << 10;
  std::int64_t queue_ns = 250'000'000;       // of backlog that may wait on the link beyond its round trips,
  std::uint64_t queue_bytes_max = 512 << 10; // and what of it waits on a fast one: that is memory
  std::int64_t rate_window_ns = 10'000'000'000;
  std::int64_t round_trip_window_ns = 60'000'000'000;
  std::size_t batch_bytes_min = 8 << 10;
};

class link_estimate {
public:
  // What is to be kept with everything that is sent, until it is acknowledged.
  struct sent {
    std::int64_t at_ns = 0;
    std::uint64_t delivered_bytes = 0; // when it was sent
    std::int64_t delivered_at_ns = 0;
    std::int64_t first_sent_ns = 0; // when what had just been delivered then was sent
    bool idle = false;              // less was under way than the link could have taken
  };

  explicit link_estimate(link_estimate_config config = {}) : config_(config) {}

  // `in_flight_bytes` is what was under way before.
  [[nodiscard]] sent on_sent(std::uint64_t in_flight_bytes, std::int64_t now_ns);
  void on_acked(const sent& what, std::uint64_t bytes, std::int64_t now_ns);
  void reset(); // another connection: nothing is known of it

  [[nodiscard]] double bytes_per_second() const noexcept;    // 0: not known yet
  [[nodiscard]] std::int64_t round_trip_ns() const noexcept; // 0: not known yet
  // Backlog bytes that may be under way; `apart`: on a connection of their own, where they hold up nothing else.
  [[nodiscard]] std::uint64_t window_bytes(bool apart = false) const noexcept;
  // Of one backlog batch: it must not hold the link for longer than fresh data may wait.
  [[nodiscard]] std::size_t batch_bytes(std::size_t most) const noexcept;

private:
  struct sample {
    std::int64_t at_ns;
    double value;
  };

  link_estimate_config config_;
  std::uint64_t delivered_bytes_ = 0;
  std::int64_t delivered_at_ns_ = 0;
  std::int64_t first_sent_ns_ = 0;
  std::deque<sample> rates_;       // falling: the front is the largest
  std::deque<sample> round_trips_; // rising: the front is the shortest
};

} // namespace skerry::delivery
