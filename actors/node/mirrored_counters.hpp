#pragma once

// Shows the totals that a plain class counts in a struct as Prometheus counters, so that logic needs no metrics
// library. One thread.

#include <prometheus/counter.h>
#include <prometheus/registry.h>

#include <cstdint>
#include <string>
#include <utility>
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
    counters_.emplace_back(&counter, total);
  }

  // Totals only grow; a counter takes the difference.
  void update(const Totals& now) {
    for (auto& [counter, total] : counters_)
      counter->Increment(static_cast<double>(now.*total) - counter->Value());
  }

private:
  prometheus::Registry& registry_;
  std::string prefix_;
  std::vector<std::pair<prometheus::Counter*, member>> counters_;
};

} // namespace skerry
