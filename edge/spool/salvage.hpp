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

// A record names its stream by a 32-bit tag; the full key stands in run headers, in the index, and in
// `known`.
[[nodiscard]] result<salvaged> salvage_file(const std::filesystem::path& file, std::uint64_t bytes_max,
                                            const std::set<stream_key>& known);

} // namespace skerry::edge
