#pragma once

// How often each core and package was slowed down because of heat. Which CPU stands for which core is looked
// up again only when the number of CPUs changes; machines without the counters (virtual ones) cost nothing.

#include "edge/collect/host/family_sink.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace skerry::edge::host {

class cpu_throttle {
public:
  explicit cpu_throttle(const std::filesystem::path& sys) : cpus_(sys / "devices/system/cpu") {}
  void collect(family_sink& sink, std::size_t cpu_count);

private:
  struct counter {
    std::string file; // below cpus_
    std::string package;
    std::string core; // "" for a package's own
  };
  void find();

  std::filesystem::path cpus_;
  std::size_t cpu_count_ = 0;
  std::vector<counter> cores_;
  std::vector<counter> packages_;
};

} // namespace skerry::edge::host
