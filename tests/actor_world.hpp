#pragma once

// Actors under a test's own clock and thread: nothing runs but in run() and pass().

#include "actors/actors.hpp"

#include <caf/scheduler/test_coordinator.hpp>

#include <chrono>

namespace skerry::test {

class actor_world {
  struct settings : caf::actor_system_config {
    settings() {
      add_message_types<caf::id_block::skerry>();
      set("scheduler.policy", caf::atom("testing"));
    }
  };
  settings settings_;

public:
  caf::actor_system system{settings_};

  // Timers hold their actors, and the system waits for every actor: what is on its way goes out. Stop those that arm
  // their timer again before.
  ~actor_world() {
    for (int i = 0; i < timers_max && scheduler().has_pending_timeout(); ++i) {
      scheduler().trigger_timeout();
      run();
    }
  }

  // Everything that can run now; timers stand still.
  void run() {
    while (scheduler().try_run_once()) {
    }
  }
  // Timers that fall due within `time` fire, each in its turn.
  void pass(std::chrono::milliseconds time, std::chrono::milliseconds step = std::chrono::milliseconds{1}) {
    for (auto passed = std::chrono::milliseconds{0}; passed < time; passed += step) {
      scheduler().advance_time(step);
      run();
    }
  }

private:
  static constexpr int timers_max = 10'000;

  caf::scheduler::test_coordinator& scheduler() {
    return dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler());
  }
};

} // namespace skerry::test
