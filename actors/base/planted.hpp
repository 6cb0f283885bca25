#pragma once

// Faults that a test plants into the real code on purpose, to prove that the simulator's world sees them. Production
// leaves the pointer null: one comparison. docs/simulator.md says how to plant one more.

#include <cstdint>

namespace skerry {

enum class planted_fault : std::uint8_t {
  none,
  ack_before_sync,
  held_forgotten_on_restart,
  held_with_first_part, // of a job of several
  epoch_not_renewed,
  tombstone_not_written,
  tombstone_over_arriving_data,
  backlog_before_live,
  merged_range_doubled,
  thinned_while_in_flight,
  tombstone_trimmed_as_data,
  backlog_unbounded,
  drop_unsaid,
  set_dropped_while_referenced,
  watermark_past_hole,
  custody_loss_unnoticed,
  restored_receiver_unnoticed,
  epoch_forgotten_while_named,
  names_never_let_go,
  sealed_by_log_alone,
  refusal_ends_session,
  ranges_unbounded,
  loop_unnoticed,
  pause_by_wall_clock,
  statements_merged,
  most_complete_speaks,
  any_edge_speaks,
  damage_not_written,
  written_off_unasked,
  released_at_durable,
  doubted_clock_destroys,
  usage_forgotten, // of a metered link, with the process
  quota_drops,     // what may not go
  bandwidth_unbounded,
  address_never_left,
  address_left_while_live,
};

// Null: none is planted.
using planted_faults = const planted_fault*;

[[nodiscard]] constexpr bool planted(planted_faults in, planted_fault which) noexcept {
  return in != nullptr && *in == which;
}

} // namespace skerry
