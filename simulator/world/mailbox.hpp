#pragma once

// Stands for an actor: runs what is posted in order, one thing at a time, a little later. Work that syncs blocks it for
// as long as the disk takes, and takes effect when that time is over; a crash in between leaves it to the seed whether
// it reached the disk. Single-threaded.

#include "simulator/world/scheduler.hpp"

#include <deque>
#include <memory>

namespace skerry::sim {

class mailbox {
public:
  // `sync_time` says how long a sync that begins now takes; null: nothing that is posted syncs.
  mailbox(scheduler& time, seeded_random& random, std::function<sim_time()> sync_time = {})
      : state_(std::make_shared<state>(state{time, random, std::move(sync_time), {}, false, nullptr})) {}
  ~mailbox() { stop(); }
  mailbox(const mailbox&) = delete;
  mailbox& operator=(const mailbox&) = delete;

  void post(std::function<void()> work) { state::post(state_, {std::move(work), false}); }
  void post_sync(std::function<void()> work) { state::post(state_, {std::move(work), true}); }
  // Posts it once a `period`, from the first one on.
  void every(sim_time first, sim_time period, std::function<void()> work) {
    if (!state_)
      return;
    state_->time.after(first, [weak = std::weak_ptr<state>{state_}, period, work = std::move(work)] {
      state::repeat(weak, period, work);
    });
  }
  void post_after(sim_time delay, std::function<void()> work, bool syncs = false) {
    if (!state_)
      return;
    state_->time.after(delay, [weak = std::weak_ptr<state>{state_}, work = std::move(work), syncs]() mutable {
      if (auto to = weak.lock())
        state::post(to, {std::move(work), syncs});
    });
  }
  [[nodiscard]] bool syncing() const noexcept { return state_ && state_->syncing; }
  // Nothing runs any more. Gives what was blocked in a sync; null: nothing.
  std::function<void()> stop() {
    if (!state_)
      return nullptr;
    auto syncing = std::move(state_->syncing);
    state_.reset();
    return syncing;
  }

private:
  struct item {
    std::function<void()> work;
    bool syncs = false;
  };
  struct state {
    scheduler& time;
    seeded_random& random;
    std::function<sim_time()> sync_time;
    std::deque<item> queue;
    bool scheduled = false;
    std::function<void()> syncing;

    static void post(const std::shared_ptr<state>& to, item next) {
      if (!to)
        return;
      to->queue.push_back(std::move(next));
      if (!to->scheduled)
        begin(to);
    }
    static void begin(const std::shared_ptr<state>& to) {
      to->scheduled = true;
      const auto delay = static_cast<sim_time>(to->random.below(50 * microsecond));
      to->time.after(delay, [weak = std::weak_ptr<state>{to}] {
        if (auto self = weak.lock())
          next(self);
      });
    }
    static void next(const std::shared_ptr<state>& self) {
      auto taken = std::move(self->queue.front());
      self->queue.pop_front();
      if (!taken.syncs) {
        taken.work();
        finish(self);
        return;
      }
      self->syncing = std::move(taken.work);
      self->time.after(self->sync_time(), [weak = std::weak_ptr<state>{self}] {
        auto again = weak.lock();
        if (!again || !again->syncing)
          return;
        const auto work = std::move(again->syncing);
        again->syncing = nullptr;
        work();
        finish(again);
      });
    }
    static void finish(const std::shared_ptr<state>& self) {
      self->scheduled = false;
      if (!self->queue.empty())
        begin(self);
    }
    static void repeat(const std::weak_ptr<state>& weak, sim_time period, const std::function<void()>& work) {
      const auto to = weak.lock();
      if (!to)
        return;
      post(to, {work, false});
      to->time.after(period, [weak, period, work] { repeat(weak, period, work); });
    }
  };

  std::shared_ptr<state> state_;
};

} // namespace skerry::sim
