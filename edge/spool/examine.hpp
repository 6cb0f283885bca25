#pragma once

// Examines a segment that may be damaged: verifies it and, if it is not sound, scans it for what can be read. In the
// node this runs in a child process (examiner.hpp), so that whatever a file does to the code that reads it happens
// there; the answer goes through a pipe as parts, each with a checksum:
//
//   part: kind (1 byte), length of the body (4), XXH3 of the body (8), body; little-endian
//   'V'  sound, or what is wrong (text, first part of every answer)
//   'K'  a stream's key    'I'  an index entry    'R'  a record    'S'  a series set     as they stand in the file
//   'E'  the end: nothing is missing
//
// Both ends are the same program: the format has no version. What came before a child died is used. Any thread.

#include "edge/spool/salvage.hpp"

#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>

namespace skerry::edge {

// False from `out`: nobody reads any more. True: the end was written. `always` scans a sound file too.
[[nodiscard]] bool examine_segment(const std::filesystem::path& directory, bool always,
                                   const std::function<bool(bytes_view)>& out);

inline constexpr const char* examine_subcommand = "examine-segment";
// `skerry-edge examine-segment [--always] DIRECTORY`: examines it within limits (memory, processor time, no core dump)
// and writes the answer to standard output. Returns the exit code: 0 all was written.
[[nodiscard]] int examine_segment_main(const std::filesystem::path& directory, bool always);

// All of these stop at the first part that is not sound.
struct segment_verdict {
  bool whole = false;               // its end was there
  std::optional<std::string> wrong; // nullopt: sound, where whole
};
[[nodiscard]] segment_verdict read_verdict(bytes_view answer);
[[nodiscard]] salvaged read_answer(shared_bytes answer, const std::set<stream_key>& known);

} // namespace skerry::edge
