#pragma once

// Writes one new segment through LMDB: the only place where the library is used. It opens no file that it did
// not create itself, so it never meets a damaged page of an earlier life.
//
// One commit at a time, on any thread; nothing of LMDB outlives a call except the environment. Default sync:
// when commit() returns, data and meta page are on stable storage. exhausted: no room in the map or on the
// disk; io: the rest. After a failed commit the segment must be sealed: its free pages hold what was not
// committed.

#include "edge/spool/segment.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

namespace skerry::edge {

// One transaction. What it points to must outlive the commit.
struct segment_transaction {
  struct entry {
    byte_buffer key;
    bytes_view value;
  };
  std::vector<byte_buffer> removed_runs; // their records are in one of `runs`
  std::vector<entry> runs;
  std::vector<entry> sets;
  std::vector<std::pair<byte_buffer, byte_buffer>> index;
  std::uint64_t new_streams = 0; // 'S' entries that were not there before

  [[nodiscard]] std::uint64_t pages(std::size_t page_bytes) const noexcept; // at most so many are used
};

class segment_writer {
public:
  // Creates `directory` and the file in it; both and the parent directory are synced.
  [[nodiscard]] static result<std::unique_ptr<segment_writer>> create(const std::filesystem::path& directory,
                                                                      std::uint64_t number,
                                                                      const epoch_id& writer,
                                                                      std::uint64_t map_bytes);
  virtual ~segment_writer() = default; // closes the file

  [[nodiscard]] virtual result<void> commit(const segment_transaction& batch) = 0;
  [[nodiscard]] virtual bool has_room_for(const segment_transaction& batch) const noexcept = 0;
  [[nodiscard]] virtual std::uint64_t committed_bytes() const noexcept = 0; // up to the last used page
  [[nodiscard]] virtual std::uint64_t commits() const noexcept = 0;
};

[[nodiscard]] std::size_t system_page_bytes() noexcept;
inline constexpr double map_use_max = 0.9; // of the map: LMDB needs room even to delete

} // namespace skerry::edge
