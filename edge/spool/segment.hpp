#pragma once

// One segment of the spool: its layout in LMDB, and reading it. README.md beside has the format.
//
// A segment is `<number>/data.mdb` with three databases and a head entry in the main one:
//   runs  (tenant, edge, epoch, stream, first sequence) -> a run as commit() made it, at most about 1 MiB
//   sets  (tenant, edge, hash) -> a header with checksum, then the set compressed by zstd
//   index 'S' + stream -> what this segment holds of the stream; 'R' + stream -> what of it was released by
//   then
// It is written by one process opening and then only read and deleted. Any thread may read.

#include "edge/spool/lmdb_file.hpp"
#include "edge/spool/set_filter.hpp"
#include "schemas/model/range_set.hpp"
#include "schemas/model/record.hpp"
#include "schemas/model/series.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

namespace skerry::edge {

// Where a record that is stored names its stream: docs/formats.md#record
inline constexpr std::size_t record_stream_offset = 29;

inline constexpr std::size_t run_cut_bytes = 1 << 20; // a longer run is stored as several
inline constexpr std::string_view runs_database = "runs";
inline constexpr std::string_view sets_database = "sets";
inline constexpr std::string_view index_database = "index";
inline constexpr std::string_view head_key = "head";

struct set_name {
  edge_id edge = edge_id::none;
  set_hash hash;
  auto operator<=>(const set_name&) const = default;
};

// What a segment holds of one stream.
struct segment_stream {
  range_set stored;
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;  // of runs, with their headers
  std::int64_t from_ns = 0; // event times [from, to]
  std::int64_t to_ns = 0;
  std::int64_t last_commit_ns = 0; // wall time
  std::uint64_t last_digest = 0;   // checksum of the record with the highest sequence
};

struct released_entry {
  sequence last = 0;
  range_set released;
};

struct segment_head {
  std::uint64_t number = 0;
  std::uint64_t transaction = 0;
  std::uint64_t streams = 0; // 'S' entries
  std::uint64_t runs = 0;
  std::uint64_t sets = 0;
  epoch_id writer;
};

struct segment_index {
  segment_head head;
  std::map<stream_key, segment_stream> streams;
  std::map<stream_key, released_entry> released;
};

[[nodiscard]] byte_buffer encode_run_key(const stream_key& key, sequence first);
[[nodiscard]] byte_buffer encode_set_key(const set_name& name);
[[nodiscard]] byte_buffer encode_stream_key(char kind, const stream_key& key);
[[nodiscard]] byte_buffer encode_head(const segment_head& head);
[[nodiscard]] byte_buffer encode_index_entry(const stream_key& key, const segment_stream& stream);
[[nodiscard]] byte_buffer encode_index_entry(const stream_key& key, const released_entry& released);
void put_stream_key(const stream_key& key,
                    byte_writer& out); // with its tenant, 37 bytes, big-endian: sorts as stream_key does
[[nodiscard]] result<stream_key> take_stream_key(byte_reader& in);

struct index_entry { // one of the two
  stream_key key;
  std::optional<segment_stream> stream;
  std::optional<released_entry> released;
};
// Reads an entry at the start of `in`; checks magic and checksum.
[[nodiscard]] result<index_entry> decode_index_entry(bytes_view in, std::size_t& bytes);

// A stored set carries its name, so that it can be found in a damaged file.
[[nodiscard]] byte_buffer encode_set_value(const set_name& name, bytes_view encoded);
struct set_value {
  set_name name;
  std::size_t bytes = 0; // header and compressed part
  std::uint32_t encoded_bytes = 0;
  bytes_view compressed;
};
[[nodiscard]] result<set_value> decode_set_value(bytes_view in);
[[nodiscard]] result<shared_bytes> expand_set(const set_value& value); // and checks the hash
inline constexpr std::size_t set_header_bytes = 48;

// The sets that a record names; none for what is not a frame or does not decode.
void for_each_set(record_kind kind, bytes_view payload, const std::function<void(const set_hash&)>& visit);
[[nodiscard]] std::uint64_t checksum_of(bytes_view record) noexcept; // as its header says

// Reads one segment's file.
class segment_reader {
public:
  [[nodiscard]] static result<segment_reader> open(const std::filesystem::path& directory);

  [[nodiscard]] result<segment_index> load_index() const;
  // The stored run that has `seq`, or the next one of the stream; nullopt: none. The header is checked,
  // records not.
  [[nodiscard]] result<std::optional<run>> find_run(const stream_key& key, sequence seq) const;
  [[nodiscard]] result<std::optional<byte_buffer>> find_set(const set_name& name) const;
  // Of the keys that encode_set_key() makes. Walks over all of them.
  [[nodiscard]] result<set_filter> make_set_filter(std::uint64_t seed) const;
  // Every page, entry, record and set. nullopt: sound; else what is wrong first.
  [[nodiscard]] std::optional<std::string> verify() const;
  // No transaction was ever committed: a leftover of a crash.
  [[nodiscard]] bool never_written() const;

private:
  explicit segment_reader(lmdb_file file) noexcept : file_(std::move(file)) {}
  [[nodiscard]] result<lmdb_snapshot> newest() const;
  [[nodiscard]] result<void> check(const segment_index& index, const lmdb_snapshot& in) const;

  lmdb_file file_;
};

[[nodiscard]] inline std::filesystem::path data_file(const std::filesystem::path& segment) {
  return segment / "data.mdb";
}

} // namespace skerry::edge
