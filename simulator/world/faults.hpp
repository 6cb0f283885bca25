#pragma once

// What can be done to a world, and a schedule of it: made from the seed before the run begins, so that any part of it
// can be left out when a failure is cut down to what it takes.

#include "simulator/world/edge_node.hpp"

#include <array>
#include <string_view>
#include <vector>

namespace skerry::sim {

enum class fault_kind : std::uint8_t {
  killed,          // kill -9, and a restart
  power_lost,      // besides, what was not synced may be gone
  torn_write,      // power lost in the middle of a commit, which is torn
  connection_lost, // what was under way is gone
  arrives_late, // the connection is lost; what was under way arrives beside the next one: reordered, doubled
  partition,    // nothing passes for a while
  cut_up,       // nothing passes towards the receiver
  cut_down,     // nothing comes back
  slow_link,
  lossy_link, // TCP sends again, everything behind waits
  slow_sync,
  full_disk,     // others have taken all that was free
  disk_runs_low, // and all but a little
  io_errors,
  lying_sync, // the disk says synced, and loses it with the power
  bit_flips,
  clock_jump,
  clock_skew,
  key_revoked,
  version_skew, // it speaks a protocol that the other side does not know
  edge_restored,
  gateway_restored,
  cloud_restored,
  cloned, // a second node with a copy of the disk and the key
  // Of an edge behind the gateway, which goes on taking what that brings:
  origin_revoked, // at the cloud
  origin_moved,   // at the cloud it has a key of its own
  forged_claim,   // it brings records in the name of an edge that has a key of its own at the cloud, for good
  scattered_claim, // an edge at the cloud brings a stream with as many holes as records
  taken_over,      // the cloud's node is lost; another one goes on with what was safe
  journal_away,    // what is durable there does not become safe
  address_gone,    // the address of the receiver that is used leads nowhere, for good where there is another
  sealed_damage,   // what the cloud has sealed of a host is not what was written any more
};
inline constexpr std::size_t fault_kinds = 32;
[[nodiscard]] std::string_view to_string(fault_kind kind) noexcept;

struct fault {
  fault_kind kind = fault_kind::killed;
  std::size_t target = 0; // index of an edge node; world::cloud_target: the cloud
  sim_time at = 0;        // not before, and then when the link is in the state `wanted`
  sim_time length = 0;    // until it heals
  protocol_state wanted = protocol_state::live;
  std::uint64_t seed = 0;
};

// How often each fault struck in each state of the link that it concerned.
using coverage = std::array<std::array<std::uint64_t, protocol_states>, fault_kinds>;

inline constexpr std::size_t cloud_target = 1000;

// `edges`: how many nodes besides the cloud; the first `inner` stand behind the gateway, which is the last.
[[nodiscard]] std::vector<fault> make_schedule(seeded_random random, std::size_t count, std::size_t edges,
                                               std::size_t inner, sim_time length);

} // namespace skerry::sim
