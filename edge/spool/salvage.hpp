#pragma once

// Finds what can still be read in the file of a damaged segment: every record, series set and index entry
// lies contiguous in it, starts with a magic number and carries a checksum, so the file is scanned byte by
// byte and nothing that LMDB keeps around them is believed. Memory: the file, at most about segment_bytes.
// Any thread.

#include "edge/spool/segment.hpp"

#include <map>
#include <set>
#include <vector>

namespace skerry::edge {

struct salvaged {
  shared_bytes file; // what the views below point into
  struct record {
    bytes_view bytes;
    std::uint64_t sequences = 1;
  };
  std::map<stream_key, std::map<sequence, record>> records;
  std::map<set_name, bytes_view> sets; // headers and compressed parts; each expands to what its hash names
  // What the index entries say was stored: the newest entry of each stream that could be found.
  std::map<stream_key, segment_stream> promised;
  std::map<stream_key, released_entry> released;
  std::uint64_t records_unnamed = 0; // sound, but the run header that says whose they are is gone
};

// Where a scan puts what it finds: names first (streams of run headers, index entries), then content. Every view
// carries a checksum that was right; a record may come several times, from older copies of a page.
class findings {
public:
  virtual ~findings() = default;
  virtual void stream(const stream_key& key) = 0;
  virtual void index_part(bytes_view entry) = 0;
  virtual void record(bytes_view record) = 0;
  virtual void set(bytes_view value) = 0; // it expands to what its hash names
};

// What the disk does not give back reads as zeros. not_found, malformed (over `bytes_max`), io: nothing was scanned.
[[nodiscard]] result<shared_bytes> scan_file(const std::filesystem::path& file, std::uint64_t bytes_max,
                                             findings& to);

// Puts findings together. A record names its stream by a 32-bit tag; the full key stands in run headers, in the
// index, and in `known`.
class salvage_collector final : public findings {
public:
  explicit salvage_collector(const std::set<stream_key>& known);
  void stream(const stream_key& key) override;
  void index_part(bytes_view entry) override;
  void record(bytes_view record) override;
  void set(bytes_view value) override;
  // `file`: what the views that were given point into.
  [[nodiscard]] salvaged take(shared_bytes file) &&;

private:
  salvaged out_;
  std::map<std::pair<std::uint32_t, stream_id>, std::set<stream_key>> names_;
};

} // namespace skerry::edge
