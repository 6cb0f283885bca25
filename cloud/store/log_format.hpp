#pragma once

// Entries of the write-ahead log. A value of a log environment is a chunk: entries one after the other. Each
// has its own magic, lengths and checksum, so that a damaged file can be searched for them.
//
// An entry is a header (40 bytes), a head that its checksum covers, and a body. An append's head is the
// envelope that its records need, its body is the records as they came: each checks itself.

#include "schemas/model/host.hpp"
#include "schemas/model/range_set.hpp"
#include "schemas/model/record.hpp"
#include "schemas/model/series.hpp"

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace skerry::cloud {

inline constexpr std::size_t entry_header_bytes = 40;
inline constexpr std::uint32_t entry_magic = 0x654c6b53; // "SkLe"
inline constexpr std::uint8_t entry_version = 1;
inline constexpr std::size_t entry_head_bytes_max = 64 << 20;

enum class entry_kind : std::uint8_t {
  start = 1,  // the copy of all state that a log begins with ends here: nothing in it
  append = 2, // envelope; records
  set = 3,    // a series set of an edge
  reset = 4,  // forget all state: what follows is a full copy
  state = 5,  // key and value pairs; an empty value deletes
  more = 6,   // key and value pairs; the value goes behind what is there
};

struct entry_view {
  entry_kind kind = entry_kind::start;
  std::uint64_t log = 0;    // random number of the log that it was written to
  std::uint64_t serial = 0; // ascending within the log
  bytes_view head;
  bytes_view body;
  std::size_t bytes = 0; // all of it
};

// Appends header and head; the body, of `body_bytes`, follows by the caller.
void encode_entry(entry_kind kind, std::uint64_t log, std::uint64_t serial, bytes_view head,
                  std::size_t body_bytes, byte_buffer& out);
// Reads the entry at the start of `in`. malformed: none starts here; corrupt: the checksum does not match;
// unsupported_version. A body that is cut off is corrupt as well.
[[nodiscard]] result<entry_view> decode_entry(bytes_view in);

struct envelope {
  std::uint64_t fence = 1;
  tenant_id tenant = tenant_default;
  shard_id shard = 0;
  std::string site;
  stream_key origin;
  range_set ranges;
  // What its records are about, [oldest, newest] in whole seconds, and the same of the log's appends up to this one: they
  // bound what is missing where a record, or an entry before, is damaged.
  struct span {
    std::int64_t oldest_ns = INT64_MAX;
    std::int64_t newest_ns = INT64_MIN;

    [[nodiscard]] bool known() const noexcept { return oldest_ns <= newest_ns; }
    void add(const span& other) noexcept {
      oldest_ns = std::min(oldest_ns, other.oldest_ns);
      newest_ns = std::max(newest_ns, other.newest_ns);
    }
  };
  span records;
  span log;
};
// What a record is about: its time, and of a tombstone or a gap all the time that it tells of. A start that is not known
// is 0.
[[nodiscard]] envelope::span span_of(const record_view& record);
void encode_envelope(const envelope& from, byte_buffer& out);
[[nodiscard]] result<envelope> decode_envelope(bytes_view head);

struct set_entry {
  edge_id edge = edge_id::none;
  set_hash hash;
  std::uint64_t plain_bytes = 0;
  bytes_view packed; // zstd
};
void encode_set_entry(edge_id edge, const series_set& set, byte_buffer& out);
[[nodiscard]] result<set_entry> decode_set_entry(bytes_view head);

// A set as it lies in logs and partitions; corrupt where the content does not have the hash.
void pack_set(bytes_view encoded, byte_buffer& out);
[[nodiscard]] result<series_set_ptr> unpack_set(const set_hash& hash, std::uint64_t plain_bytes,
                                                bytes_view packed);

using state_pair = std::pair<std::string_view, std::string_view>;
void encode_state(std::span<const state_pair> pairs, byte_buffer& out);
[[nodiscard]] result<void> decode_state(bytes_view head, const std::function<void(const state_pair&)>& each);

// Calls `each` with every sound record of a body and its offset there, and `bad` with what lies between. Returns how many
// bytes are damaged.
using each_bad = std::function<void(bytes_view bytes, std::size_t offset)>;
std::size_t for_each_record(bytes_view body, const std::function<void(const record_view&, std::size_t)>& each,
                            const each_bad& bad = {});
// The same for the entries of a chunk or of a whole raw file.
std::size_t for_each_entry(bytes_view chunk, const std::function<void(const entry_view&, std::size_t)>& each,
                           const each_bad& bad = {});

} // namespace skerry::cloud
