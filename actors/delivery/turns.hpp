#pragma once

// Whose work is next: of what waits to be stored, keys take turns by what theirs costs, so that one that brings much makes
// nobody else wait (start-time fair queueing, Goyal, Vin and Cheng 1996). How much is under way at once is bounded; a key
// that has little under way, and brings little, does not wait for a place that large work takes. Plain value; not
// thread-safe.

#include "schemas/model/identity.hpp"

#include <algorithm>
#include <cstdint>
#include <list>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

namespace skerry::delivery {

template <class Work>
class turns {
public:
  // Work is begun as long as less than `cost_max` is under way; small work as long as less than four times that is, of a key
  // that has less than `small_max` under way. 0: no work is small.
  explicit turns(std::uint64_t cost_max, std::uint64_t small_max = 0)
      : cost_max_(cost_max), small_max_(small_max) {}

  // It will cost at most `bound`.
  void add(edge_id user, Work work, std::uint64_t bound = UINT64_MAX) {
    auto& of = users_[user];
    of.waiting.emplace_back(std::move(work), bound);
    if (std::exchange(of.in_line, true))
      return;
    of.due = std::max(of.due, now_);
    line_up(user, of);
  }

  // The next one that may begin, and whose: started() is to follow.
  [[nodiscard]] std::optional<std::pair<edge_id, Work>> next() {
    const bool room = under_way_ < cost_max_;
    const auto& line = room ? ready_ : small_;
    if (line.empty() || under_way_ >= 4 * cost_max_)
      return std::nullopt;
    const auto [due, user] = *line.begin();
    ready_.erase({due, user});
    small_.erase({due, user});
    if (room)
      now_ = due;
    auto& waiting = users_.at(user).waiting;
    std::pair<edge_id, Work> out{user, std::move(waiting.front().first)};
    waiting.pop_front();
    return out;
  }
  void started(edge_id user, std::uint64_t cost) {
    under_way_ += cost;
    auto& of = users_.at(user);
    of.due += cost;
    of.under_way += cost;
    of.in_line = !of.waiting.empty();
    if (of.in_line)
      line_up(user, of);
  }
  void ended(edge_id user, std::uint64_t cost) {
    under_way_ -= cost;
    auto& of = users_.at(user);
    of.under_way -= cost;
    if (is_small(of) && ready_.contains({of.due, user}))
      small_.emplace(of.due, user);
  }

private:
  struct of_user {
    std::list<std::pair<Work, std::uint64_t>> waiting; // and what each costs at most
    std::uint64_t due = 0;                             // when its next one is, in costs
    std::uint64_t under_way = 0;
    bool in_line = false; // it stands in `ready_`, or its turn has come and not started yet
  };
  [[nodiscard]] bool is_small(const of_user& of) const noexcept {
    return of.under_way < small_max_ && !of.waiting.empty() && of.waiting.front().second <= small_max_;
  }
  void line_up(edge_id user, const of_user& of) {
    ready_.emplace(of.due, user);
    if (is_small(of))
      small_.emplace(of.due, user);
  }

  const std::uint64_t cost_max_;
  const std::uint64_t small_max_;
  std::unordered_map<edge_id, of_user> users_;        // bounded by the registry: who speaks has a key
  std::set<std::pair<std::uint64_t, edge_id>> ready_; // who has something waiting
  std::set<std::pair<std::uint64_t, edge_id>> small_; // of them, whose is small
  std::uint64_t under_way_ = 0;
  std::uint64_t now_ = 0;
};

} // namespace skerry::delivery
