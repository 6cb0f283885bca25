#pragma once

// What a record is, and what follows from that: one row of rules for each kind. Whoever handles records asks the row,
// never for a list of kinds, so that a new kind is one more row. A kind that a build does not know has a row too: it is
// stored whole, passed on and acknowledged, and says nothing of what is missing.

#include "schemas/model/identity.hpp"

#include <array>
#include <cstdint>
#include <string_view>

namespace skerry {

// Numbers are on disk and on links: never reuse one.
enum class record_kind : std::uint8_t {
  frame = 1,            // schemas/model/frame.hpp
  log_chunk = 2,        // reserved
  event = 3,            // reserved
  alert_transition = 4, // reserved
  watermark = 5,        // Watermark: everything of this host up to this time is in the stream before it
  clock_note = 6,       // ClockNote
  tombstone = 7,        // Tombstone: stands for the sequences [seq, Tombstone.last]
  not_collected = 8,    // NotCollected: a time range in which nothing was collected, and why
};

struct kind_policy {
  std::string_view name;
  bool samples = false;           // the payload is a frame: values of series at one time
  bool names_sets = false;        // the payload names series sets, which must be where the record is
  bool ledger = false;            // it says what is missing: an entry of the loss ledger
  bool kept_whole = false;        // the store keeps the record itself once the log that it came in is sealed
  bool may_be_thinned = false;    // a full spool may keep one record a step
  bool may_be_forced_out = false; // a full spool may put a tombstone in its place
  bool part_of_query = false;     // PromQL reads it
  // What it is written to. The lane follows: `alert` has a lane of its own, all else is live and then backlog.
  stream_id stream = stream_id::telemetry;
};

// By number; the first row is for kinds that this build does not know.
inline constexpr std::array<kind_policy, 9> kind_policies{{
    {.name = "unknown", .kept_whole = true, .may_be_forced_out = true},
    {.name = "frame",
     .samples = true,
     .names_sets = true,
     .may_be_thinned = true,
     .may_be_forced_out = true,
     .part_of_query = true},
    {.name = "log_chunk", .kept_whole = true, .may_be_forced_out = true},
    {.name = "event", .kept_whole = true, .may_be_forced_out = true},
    {.name = "alert_transition", .kept_whole = true, .stream = stream_id::alert},
    {.name = "watermark", .may_be_forced_out = true}, // what it says is kept with its host
    {.name = "clock_note", .kept_whole = true},
    {.name = "tombstone", .ledger = true},
    {.name = "not_collected", .ledger = true},
}};

// The row of a kind; 0 where this build does not know it.
[[nodiscard]] constexpr std::size_t row_of(record_kind kind) noexcept {
  const auto number = static_cast<std::size_t>(kind);
  return number < kind_policies.size() ? number : 0;
}
[[nodiscard]] constexpr bool is_known(record_kind kind) noexcept { return row_of(kind) != 0; }
[[nodiscard]] constexpr const kind_policy& policy_of(record_kind kind) noexcept {
  return kind_policies[row_of(kind)];
}

// Kinds as messages name them: bit n stands for number n, below 64.
using kind_set = std::uint64_t;
[[nodiscard]] constexpr kind_set bit_of(record_kind kind) noexcept {
  const auto number = static_cast<unsigned>(kind);
  return number < 64 ? kind_set{1} << number : 0;
}
// Those whose row says so.
[[nodiscard]] constexpr kind_set kinds_with(bool kind_policy::*column) noexcept {
  kind_set out = 0;
  for (std::size_t number = 1; number < kind_policies.size(); ++number)
    if (kind_policies[number].*column)
      out |= kind_set{1} << number;
  return out;
}
inline constexpr kind_set known_kinds = (kind_set{1} << kind_policies.size()) - 2;

} // namespace skerry
