#include "simulator/world/faults.hpp"

#include <algorithm>

namespace skerry::sim {

std::string_view to_string(fault_kind kind) noexcept {
  switch (kind) {
  case fault_kind::killed: return "killed";
  case fault_kind::power_lost: return "power lost";
  case fault_kind::torn_write: return "torn write";
  case fault_kind::connection_lost: return "connection lost";
  case fault_kind::arrives_late: return "arrives late";
  case fault_kind::partition: return "partition";
  case fault_kind::cut_up: return "one-way cut up";
  case fault_kind::cut_down: return "one-way cut down";
  case fault_kind::slow_link: return "slow link";
  case fault_kind::lossy_link: return "lossy link";
  case fault_kind::slow_sync: return "slow sync";
  case fault_kind::full_disk: return "full disk";
  case fault_kind::disk_runs_low: return "disk runs low";
  case fault_kind::io_errors: return "I/O errors";
  case fault_kind::lying_sync: return "sync that lies";
  case fault_kind::bit_flips: return "bit flips";
  case fault_kind::clock_jump: return "clock jump";
  case fault_kind::clock_skew: return "clock skew";
  case fault_kind::key_revoked: return "key revoked";
  case fault_kind::version_skew: return "version skew";
  case fault_kind::edge_restored: return "edge restored";
  case fault_kind::gateway_restored: return "gateway restored";
  case fault_kind::cloud_restored: return "cloud restored";
  case fault_kind::cloned: return "cloned";
  case fault_kind::origin_revoked: return "origin revoked";
  case fault_kind::origin_moved: return "origin moved";
  case fault_kind::forged_claim: return "forged claim";
  case fault_kind::scattered_claim: return "scattered claim";
  case fault_kind::taken_over: return "taken over";
  case fault_kind::journal_away: return "journal away";
  case fault_kind::address_gone: return "address gone";
  case fault_kind::sealed_damage: return "sealed damage";
  }
  return "unknown";
}

namespace {

std::size_t target_of(fault_kind kind, seeded_random& random, std::size_t edges, std::size_t inner) {
  const auto gateway = edges - 1;
  switch (kind) {
  case fault_kind::killed:
  case fault_kind::power_lost:
  case fault_kind::torn_write:
  case fault_kind::slow_sync:
  case fault_kind::full_disk:
  case fault_kind::io_errors:
  case fault_kind::lying_sync:
  case fault_kind::clock_jump:
  case fault_kind::clock_skew:
    if (random.chance(30))
      return cloud_target;
    return random.chance(25) ? gateway : random.below(edges);
  case fault_kind::edge_restored:
  case fault_kind::cloned: return random.below(gateway);
  case fault_kind::disk_runs_low: return random.chance(40) ? gateway : random.below(edges);
  case fault_kind::gateway_restored: return gateway;
  case fault_kind::origin_revoked:
  case fault_kind::origin_moved:
  case fault_kind::forged_claim: return random.below(inner);
  case fault_kind::scattered_claim: return inner + random.below(gateway - inner);
  case fault_kind::cloud_restored:
  case fault_kind::taken_over:
  case fault_kind::journal_away:
  case fault_kind::sealed_damage: return cloud_target;
  default: return random.chance(20) ? gateway : random.below(edges);
  }
}

} // namespace

std::vector<fault> make_schedule(seeded_random random, std::size_t count, std::size_t edges,
                                 std::size_t inner, sim_time length) {
  std::vector<fault> out;
  for (std::size_t i = 0; i < count; ++i) {
    fault next;
    next.kind = fault_kind{static_cast<std::uint8_t>(random.below(fault_kinds))};
    next.target = target_of(next.kind, random, edges, inner);
    next.at = random.between(length / 20, length - length / 10);
    next.length =
        random.chance(60) ? random.between(second, 40 * second) : random.between(30 * second, 2 * minute);
    next.wanted = protocol_state{static_cast<std::uint8_t>(random.below(protocol_states))};
    next.seed = random.draw();
    out.push_back(next);
  }
  std::sort(out.begin(), out.end(), [](const fault& a, const fault& b) { return a.at < b.at; });
  return out;
}

} // namespace skerry::sim
