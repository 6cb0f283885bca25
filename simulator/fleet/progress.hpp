#pragma once

// Shows how a fleet is doing: on a terminal one line that is rewritten, elsewhere a line every ten seconds and at every
// new stage. One thread.

#include "simulator/fleet/fleet.hpp"

#include <cstdio>
#include <string>

namespace skerry::sim {

[[nodiscard]] std::string to_line(const fleet_progress& now);

class progress_display {
public:
  explicit progress_display(std::FILE* to); // asks whether it is a terminal
  void show(const fleet_progress& now);
  void finish(); // the terminal's line is left clean

private:
  std::FILE* to_;
  bool terminal_;
  bool shown_ = false;
  fleet_progress::stage last_ = fleet_progress::stage::stopping;
  double last_s_ = -1e9;
};

} // namespace skerry::sim
