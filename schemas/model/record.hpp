#pragma once

// Records and runs: the one binary form in which telemetry lies in a spool, crosses a link, lies in the cloud's
// write-ahead log. A record is checked by itself; a run is a header with the full identity and then records of one
// stream in ascending, contiguous sequence. docs/formats.md has the layout, the invariants and golden bytes.

#include "schemas/bytes.hpp"
#include "schemas/model/identity.hpp"
#include "schemas/model/record_kind.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skerry {

inline constexpr std::size_t record_header_bytes = 40;
inline constexpr std::size_t run_header_bytes = 72;
inline constexpr std::size_t record_bytes_max = 16 << 20;
inline constexpr std::size_t run_records_max = 1 << 16;
inline constexpr std::uint8_t record_version = 1;
inline constexpr std::uint8_t run_version = 1;

// Bits of a record's flags byte.
inline constexpr std::uint8_t flag_encrypted = 1; // reserved: the payload is sealed
inline constexpr std::uint8_t flag_watermark =
    2; // also a watermark of its host at its time: spares a record of its own

// A decoded view of one record. `host` and `payload` point into the bytes that it was read from.
struct record_view {
  record_kind kind = record_kind::frame; // may be a kind that this build does not know: skip its payload
  std::uint8_t flags = 0;
  sequence seq = 0;
  std::uint32_t tag = 0;    // epoch_tag of its run
  std::int64_t time_ns = 0; // event time; the newest where it has several
  std::string_view host;    // may be empty where a record is about the whole edge
  bytes_view payload;
  bytes_view bytes; // header, host and payload: what is stored and sent
};

// What is to be numbered and committed.
struct pending_record {
  record_kind kind = record_kind::frame;
  std::int64_t time_ns = 0;
  std::string host; // at most host_name_bytes_max
  byte_buffer payload;
  std::uint8_t flags = 0;
};

// Appends one record to `out`.
void encode_record(record_kind kind, const stream_key& key, sequence seq, std::int64_t time_ns,
                   std::string_view host, bytes_view payload, byte_buffer& out, std::uint8_t flags = 0);

// Reads the record at the start of `in` and checks lengths and checksum. malformed: does not hold a record;
// corrupt: the checksum does not match; unsupported_version: a newer record version.
[[nodiscard]] result<record_view> decode_record(bytes_view in);

struct run_header {
  tenant_id tenant = tenant_default;
  stream_key key;
  sequence first = 0;
  std::uint64_t sequence_count = 0; // sequences covered; more than records where tombstones are among them
  std::uint32_t record_count = 0;
  std::uint32_t records_bytes = 0; // what follows the header

  [[nodiscard]] sequence last() const noexcept { return first + sequence_count - 1; }
  bool operator==(const run_header&) const = default;
};

// A run whose header is decoded; `bytes` are header and records as stored and sent.
struct run {
  run_header header;
  shared_bytes bytes;

  [[nodiscard]] bytes_view records() const noexcept { return bytes.view.subspan(run_header_bytes); }
};

// Builds one run in a single buffer: header space first, records after it.
class run_builder {
public:
  // Sequences are given from `first` on, without gaps.
  run_builder(const stream_key& key, sequence first, tenant_id tenant = tenant_default);

  // Numbers and appends. `sequences` is how many the record stands for: 1, more for tombstones.
  sequence append(record_kind kind, std::int64_t time_ns, std::string_view host, bytes_view payload,
                  std::uint64_t sequences = 1, std::uint8_t flags = 0);
  // Appends a record that has its number already. Precondition: it is the next one.
  void append(const record_view& record, std::uint64_t sequences = 1);
  [[nodiscard]] const run_header& header() const noexcept { return header_; }
  [[nodiscard]] bool empty() const noexcept { return header_.record_count == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return buffer_.size(); }
  [[nodiscard]] run finish() &&; // Precondition: not empty.

private:
  run_header header_;
  byte_buffer buffer_;
};

// Decodes and checks the header alone; records are checked as they are read. malformed, corrupt,
// unsupported_version as above.
[[nodiscard]] result<run_header> decode_run_header(bytes_view in);
[[nodiscard]] result<run> decode_run(shared_bytes in);

// How many sequences a record stands for: reads a tombstone's payload, 1 for every other kind.
[[nodiscard]] result<std::uint64_t> sequences_of(const record_view& record);

// Decodes every record of a run and checks all that can be checked without series sets: count, contiguous
// sequences, tags, checksums. Views point into `from`.
[[nodiscard]] result<std::vector<record_view>> decode_records(const run& from);

} // namespace skerry
