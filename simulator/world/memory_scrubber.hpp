#pragma once

// Reads the partitions of the simulated disk over and over, as cloud/store/scrubber does with files, and gives what is
// damaged to the damage_ledger of cloud/store, which it has written down a little later. Single-threaded.

#include "actors/base/clock.hpp"
#include "cloud/store/damage_ledger.hpp"
#include "cloud/store/store_metrics.hpp"
#include "simulator/world/memory_sealer.hpp"

#include <prometheus/registry.h>

namespace skerry::sim {

class memory_scrubber {
public:
  // `on`: the disk's image, which outlives this. `file`: on the same disk.
  memory_scrubber(const sealing_image& on, cloud::damage_file file, scheduler& time, seeded_random random,
                  const clock_source& clock, planted_faults planted);
  // The process dies: what was found and is not written yet is forgotten.
  void crash() { *alive_ = false; }

  [[nodiscard]] const cloud::damage_ledger& damages() const noexcept { return damages_; }
  [[nodiscard]] std::uint64_t passes() const noexcept { return passes_; } // by this process, all written down

private:
  void after(sim_time delay, void (memory_scrubber::*then)());
  void step();
  void check(const cloud::partition_id& id, const sealing_image::partition& part);
  void flush();

  const sealing_image& on_;
  scheduler& time_;
  seeded_random random_;
  prometheus::Registry registry_;
  cloud::store_metrics metrics_{registry_};
  cloud::damage_ledger damages_;
  std::optional<cloud::partition_id> at_; // that was checked last in this pass
  bool found_ = false;                    // and not written yet
  std::uint64_t passes_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

} // namespace skerry::sim
