#pragma once

// Whose work is next: of what waits to be stored, keys take turns by what theirs costs, so that one that brings much makes
// nobody else wait (start-time fair queueing, Goyal, Vin and Cheng 1996). How much is under way at once is bounded. Plain
// value; not thread-safe.

#include "schemas/model/identity.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
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
    if (of.waiting.empty()) {
      of.due = std::max(of.due, now_);
      ready_.emplace(of.due, user);
    }
    of.waiting.push_back(std::move(work));
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
    if (!of.waiting.empty())
      ready_.emplace(of.due, user);
    if (users_.size() > 2 * ready_.size() + kept_users)
      std::erase_if(users_,
                    [this](const auto& one) { return one.second.waiting.empty() && one.second.due <= now_; });
  }
  void ended(std::uint64_t cost) noexcept { under_way_ -= cost; }

private:
  static constexpr std::size_t kept_users = 1024; // that have nothing waiting and had no more than their turn
  struct of_user {
    std::deque<Work> waiting;
    std::uint64_t due = 0; // when its next one is, in costs
  };
  const std::uint64_t cost_max_;
  std::unordered_map<edge_id, of_user> users_;
  std::set<std::pair<std::uint64_t, edge_id>> ready_; // who has something waiting
  std::uint64_t under_way_ = 0;
  std::uint64_t now_ = 0;
};

} // namespace skerry::delivery
