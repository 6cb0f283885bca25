#pragma once

// Simulated time: events run in the order of their time; those of one moment in an order that the seed decides.
// Single-threaded.

#include "simulator/world/random.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace skerry::sim {

using sim_time = std::int64_t; // nanoseconds since the world began
inline constexpr sim_time microsecond = 1'000;
inline constexpr sim_time millisecond = 1'000'000;
inline constexpr sim_time second = 1'000'000'000;
inline constexpr sim_time minute = 60 * second;

class scheduler {
public:
  explicit scheduler(seeded_random ties) : ties_(ties) {}

  [[nodiscard]] sim_time now() const noexcept { return now_; }
  [[nodiscard]] std::uint64_t events() const noexcept { return events_; }

  void at(sim_time when, std::function<void()> run) {
    std::uint32_t slot = 0;
    if (free_.empty()) {
      slot = static_cast<std::uint32_t>(work_.size());
      work_.push_back(std::move(run));
    } else {
      slot = free_.back();
      free_.pop_back();
      work_[slot] = std::move(run);
    }
    heap_.push_back({std::max(when, now_), ties_.draw(), slot});
    std::push_heap(heap_.begin(), heap_.end(), later);
  }
  void after(sim_time delay, std::function<void()> run) { at(now_ + delay, std::move(run)); }

  // Runs the next event that is due by `until`. False: there is none, and it is `until` now.
  bool step(sim_time until) {
    if (heap_.empty() || heap_.front().when > until) {
      now_ = std::max(now_, until);
      return false;
    }
    std::pop_heap(heap_.begin(), heap_.end(), later);
    const auto next = heap_.back();
    heap_.pop_back();
    now_ = next.when;
    ++events_;
    const auto run = std::move(work_[next.slot]);
    work_[next.slot] = nullptr;
    free_.push_back(next.slot);
    run();
    return true;
  }

private:
  struct event {
    sim_time when;
    std::uint64_t tie;
    std::uint32_t slot;
  };
  static bool later(const event& a, const event& b) noexcept {
    return std::pair{a.when, a.tie} > std::pair{b.when, b.tie};
  }

  seeded_random ties_;
  sim_time now_ = 0;
  std::uint64_t events_ = 0;
  std::vector<event> heap_;
  std::vector<std::function<void()>> work_;
  std::vector<std::uint32_t> free_;
};

} // namespace skerry::sim
