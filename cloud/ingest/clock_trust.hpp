#pragma once

// Whether this node's clock may be believed when it says that something comes from the future: what does is lost for
// good, so a clock that is itself behind would destroy all that its edges send. Each edge says what its own clock shows,
// and votes so: where more edges are ahead than are not, the one that is wrong is most likely this node. Then nothing is
// destroyed: what is ahead is not taken, its edges keep it, and the operator is told. One edge that is ahead alone is
// believed as well; as soon as its clock is put right, or another edge is heard that is not ahead, what it sent in the
// meantime is judged as ever. Any thread.

#include "actors/base/clock.hpp"
#include "schemas/model/identity.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace skerry::cloud {

class clock_trust {
public:
  static constexpr std::size_t votes_max =
      65'536; // of edges; beyond, the one that was heard longest ago has none
  static constexpr std::chrono::hours vote_age_max{24};

  // `clock` is what samples are judged by; `future_max` by how much they may be ahead of it.
  clock_trust(const clock_source& clock, std::chrono::nanoseconds future_max)
      : clock_(clock), future_max_ns_(future_max.count()) {}

  // Its clock shows `wall_ns` now.
  void heard(edge_id edge, std::int64_t wall_ns);

  struct verdict {
    std::size_t ahead = 0;     // edges whose clocks are further ahead of ours than samples may be
    std::size_t heard = 0;     // of so many
    std::int64_t ahead_ns = 0; // the least of them

    [[nodiscard]] bool trusted() const noexcept { return ahead <= heard - ahead; }
  };
  [[nodiscard]] verdict judge() const;

private:
  struct vote {
    std::int64_t offset_ns =
        0; // its wall clock minus our boot clock: it stays right whatever our wall clock does
    std::int64_t heard_ns = 0; // boot clock
  };
  const clock_source& clock_;
  const std::int64_t future_max_ns_;
  mutable std::mutex mutex_;
  std::map<edge_id, vote> votes_;
};

// What an operator and an edge are told; empty where the clock is trusted.
[[nodiscard]] std::string doubt_of(const clock_trust::verdict& of);

} // namespace skerry::cloud
