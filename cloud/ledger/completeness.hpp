#pragma once

// What is known of a host's data over time: held, on its way, lost, never collected, or not heard of. Plain logic over
// what the ledger and the watermarks say; no I/O.

#include "schemas/model/payload.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::cloud {

// One entry of the ledger that says that something is missing, or several of one kind.
struct loss_entry {
  std::string site;
  std::string host; // empty: every host of the edge; without an edge: of the site, or all if it names none
  stream_key origin;
  sequence first = 0; // 0 where no records are concerned: what was never collected has no numbers
  sequence last = 0;
  std::uint64_t records = 0; // within these sequences, that are missing
  std::uint64_t entries = 1;
  bool collected = false;   // a tombstone: there were records; else nothing was collected
  std::int64_t from_ns = 0; // event time [from, to]; from 0: not known
  std::int64_t to_ns = 0;
  std::uint64_t samples = 0; // 0: not known
  std::uint64_t bytes = 0;
  loss_cause cause = loss_cause::unknown;
  std::string detail;
  std::string retracted; // when and why an operator took it back; empty: it stands
};

enum class coverage : std::uint8_t {
  complete,      // everything that was collected is held
  pending,       // collected, and not all of it is here yet
  lost,          // collected, and gone: the cause says why
  not_collected, // the node was off, the collector failed, …
  unknown,       // not heard of
};
[[nodiscard]] std::string_view to_string(coverage what) noexcept;

struct coverage_range {
  std::int64_t from_ns = 0; // [from, to]
  std::int64_t to_ns = 0;
  coverage what = coverage::unknown;
  loss_cause cause = loss_cause::unknown; // of lost and not_collected

  bool operator==(const coverage_range&) const = default;
};

// What is known of one host besides the ledger, from one edge that speaks for it. 0: never.
struct host_facts {
  std::int64_t first_sample_ns = 0;
  std::int64_t live_watermark_ns = 0;
  std::int64_t complete_watermark_ns = 0;
  std::int64_t interval_ns = 0; // between two of its watermarks, at least
  bool ended = false;           // it speaks no longer: that it is silent means nothing
};

// Whether what was not collected lies between two collections of the host, which then missed none of them. Its watermarks
// are at multiples of its interval; false where that is not known.
[[nodiscard]] bool cost_nothing(const coverage_range& range, const host_facts& host) noexcept;

// [from, to] cut into ranges, ascending, without gaps or overlaps. Of what several edges say the worst holds; before an
// edge's first sample it says nothing but what its entries do. Where entries overlap, lost goes before not collected, and
// among equals the entry that comes first.
[[nodiscard]] std::vector<coverage_range> coverage_of(std::span<const host_facts> statements,
                                                      std::span<const loss_entry> entries,
                                                      std::int64_t from_ns, std::int64_t to_ns);

} // namespace skerry::cloud
