#pragma once

// Payloads of the small record kinds: plain structs, encoded as Cap'n Proto messages (schemas/records.capnp).

#include "schemas/bytes.hpp"
#include "schemas/model/identity.hpp"
#include "schemas/model/record_kind.hpp"

#include <array>
#include <cstdint>
#include <string>

namespace skerry {

// Why a range is missing. Numbers are on disk and on links: never reuse one.
enum class loss_cause : std::uint16_t {
  unknown = 0,
  spool_bytes = 1,       // dropped: the spool reached its size limit
  spool_age = 2,         // dropped: older than the spool keeps
  spool_disk = 3,        // dropped: the disk had no room
  thinned = 4,           // kept one sample per step
  corrupt = 5,           // damaged on disk and not recoverable
  custody = 6,           // a hop acknowledged and then lost it
  clock_ahead = 7,       // further in the future than ingest.future_max
  retention = 8,         // deleted by the store: older than it keeps
  host_limit = 9,        // of a host beyond ingest.hosts_max or ingest.site_hosts_max
  node_off = 20,         // the edge process was not running
  uncommitted = 21,      // collected, and lost with the process before its commit
  collector_failed = 22, // a collector failed
  target_down = 23,      // a target did not answer
};
[[nodiscard]] std::string_view to_string(loss_cause cause) noexcept;

struct watermark {
  std::int64_t interval_ns = 0;                // until the next one is due; 0: unknown
  kind_set kinds = bit_of(record_kind::frame); // of which it speaks; of others it says nothing
};

// Relates one boot's monotonic clock to wall time: wall = monotonic + offset.
struct clock_note {
  std::array<std::uint8_t, 16> boot_id{};
  std::int64_t monotonic_ns = 0;
  std::int64_t offset_ns = 0;
};

// Its record's sequence is the first that it stands for.
struct tombstone {
  sequence last = 0;
  std::int64_t from_ns = 0; // time range [from, to]; from 0: the start is not known
  std::int64_t to_ns = 0;
  std::uint64_t samples = 0;
  std::uint64_t bytes = 0;
  loss_cause cause = loss_cause::unknown;
};

// What of a tombstone that begins at `first` stands for `part`: counts are shared out evenly over its sequences.
[[nodiscard]] tombstone part_of(tombstone whole, sequence first, sequence part_first,
                                sequence part_last) noexcept;

struct not_collected {
  std::int64_t from_ns = 0; // time range [from, to]
  std::int64_t to_ns = 0;
  loss_cause cause = loss_cause::unknown;
  std::string detail; // for people, at most 1 KiB
};

void encode_payload(const watermark& from, byte_buffer& out);
void encode_payload(const clock_note& from, byte_buffer& out);
void encode_payload(const tombstone& from, byte_buffer& out);
void encode_payload(const not_collected& from, byte_buffer& out);
// malformed: not such a message, or a bound exceeded.
[[nodiscard]] result<watermark> decode_watermark(bytes_view from);
[[nodiscard]] result<clock_note> decode_clock_note(bytes_view from);
[[nodiscard]] result<tombstone> decode_tombstone(bytes_view from);
[[nodiscard]] result<not_collected> decode_not_collected(bytes_view from);

} // namespace skerry
