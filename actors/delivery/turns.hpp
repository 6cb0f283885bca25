#pragma once

// Whose work is next: of what waits to be stored, keys take turns by what theirs costs, so that one that brings much makes
// nobody else wait (start-time fair queueing, Goyal, Vin and Cheng 1996). How much is under way at once is bounded. Plain
// value; not thread-safe.

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
  // Work is begun as long as less than `cost_max` is under way.
  explicit turns(std::uint64_t cost_max) : cost_max_(cost_max) {}

  void add(edge_id user, Work work) {
    auto& of = users_[user];
    of.waiting.push_back(std::move(work));
    if (std::exchange(of.in_line, true))
      return;
    of.due = std::max(of.due, now_);
    ready_.emplace(of.due, user);
  }

  // The next one that may begin, and whose: started() is to follow.
  [[nodiscard]] std::optional<std::pair<edge_id, Work>> next() {
    if (ready_.empty() || under_way_ >= cost_max_)
      return std::nullopt;
    const auto [due, user] = *ready_.begin();
    ready_.erase(ready_.begin());
    now_ = due;
    auto& waiting = users_.at(user).waiting;
    std::pair<edge_id, Work> out{user, std::move(waiting.front())};
    waiting.pop_front();
    return out;
  }
  void started(edge_id user, std::uint64_t cost) {
    under_way_ += cost;
    auto& of = users_.at(user);
    of.due += cost;
    of.in_line = !of.waiting.empty();
    if (of.in_line)
      ready_.emplace(of.due, user);
  }
  void ended(std::uint64_t cost) noexcept { under_way_ -= cost; }

private:
  struct of_user {
    std::list<Work> waiting;
    std::uint64_t due = 0; // when its next one is, in costs
    bool in_line = false;  // it stands in `ready_`, or its turn has come and not started yet
  };
  const std::uint64_t cost_max_;
  std::unordered_map<edge_id, of_user> users_;        // bounded by the registry: who speaks has a key
  std::set<std::pair<std::uint64_t, edge_id>> ready_; // who has something waiting
  std::uint64_t under_way_ = 0;
  std::uint64_t now_ = 0;
};

} // namespace skerry::delivery
