#pragma once

// Shows the totals that a plain class counts in a struct as Prometheus counters, so that logic needs no metrics
// library. Several mirrors may share a registry: a counter is then their sum. One thread.

#include <prometheus/counter.h>
#include <prometheus/registry.h>

#include <cstdint>
#include <string>
#include <vector>

namespace skerry {

template <class Totals>
class mirrored_counters {
public:
  using member = std::uint64_t Totals::*;

  mirrored_counters(prometheus::Registry& registry, std::string prefix)
      : registry_(registry), prefix_(std::move(prefix)) {}

  void add(member total, const std::string& name, const std::string& help,
           const prometheus::Labels& labels = {}) {
    auto& counter =
        prometheus::BuildCounter().Name(prefix_ + name).Help(help).Register(registry_).Add(labels);
    counters_.push_back({&counter, total, 0});
  }

  // Totals only grow; a counter takes the difference.
  void update(const Totals& now) {
    for (auto& [counter, total, shown] : counters_) {
      counter->Increment(static_cast<double>(now.*total - shown));
      shown = now.*total;
    }
  }

private:
  prometheus::Registry& registry_;
  std::string prefix_;
  struct mirrored {
    prometheus::Counter* counter;
    member total;
    std::uint64_t shown;
  };
  std::vector<mirrored> counters_;
};

} // namespace skerry
