#pragma once

// What the cloud says at the end of how complete hosts are, against what is true of their records. Single-threaded.

#include "simulator/world/cloud_node.hpp"

#include <map>
#include <vector>

namespace skerry::sim {

class coverage_check {
public:
  // Asks the cloud, which is running, and looks at its disk afterwards.
  coverage_check(oracle& truth, const cloud_node& cloud);

  void check();
  // What the cloud says of a host at that moment; nullptr: nothing.
  [[nodiscard]] const cloud::coverage_range* at(std::uint32_t host, std::int64_t time_ns) const;

private:
  void check_claims();
  void check_entries();
  void check_damage();
  [[nodiscard]] bool is_damaged(std::uint32_t host, std::int64_t from_ns, std::int64_t to_ns);

  oracle& truth_;
  const cloud_node& cloud_;
  const std::vector<cloud::host_coverage> said_;
  std::map<std::uint32_t, std::size_t> by_host_; // in said_
};

} // namespace skerry::sim
