#pragma once

// What the spool knows beside its segments: boot counter and epoch, whether the last stop was orderly, and
// what was released or lost of each stream. `<directory>/STATE`: two slots of a preallocated file, written in
// turn, so that an update needs no free space, one fdatasync, and leaves the other slot whole whatever
// happens meanwhile.
//
// The writer's thread, or under its mutex.

#include "edge/spool/files.hpp"
#include "schemas/model/range_set.hpp"

#include <cstdint>
#include <filesystem>
#include <map>

namespace skerry::edge {

struct stream_memory {
  sequence last = 0;
  range_set released;
  range_set lost;
};

struct spool_state {
  epoch_id epoch; // of the newest opening
  bool clean = false;
  std::int64_t last_commit_ns = 0;
  std::uint64_t next_segment = 1;
  std::map<stream_key, stream_memory> streams;
};

class state_file {
public:
  struct loaded {
    spool_state state;
    bool found = false;   // false: a new spool, or both slots are damaged
    bool damaged = false; // a slot that was written does not decode (torn by a crash, or a flipped bit)
  };
  explicit state_file(std::filesystem::path path) : path_(std::move(path)) {}
  [[nodiscard]] result<loaded> load();
  [[nodiscard]] result<void> store(const spool_state& state); // synced on return

private:
  std::filesystem::path path_;
  std::uint64_t generation_ = 0;
  std::uint64_t slot_bytes_ = 0; // 0: no usable file yet
};

// `<directory>/FORMAT`: "skerry-spool VERSION CHECKSUM\n". The checksum tells a newer version from a flipped
// bit.
inline constexpr std::uint32_t spool_format_version = 1;
[[nodiscard]] std::string format_text(std::uint32_t version);
// unsupported_version: newer. A missing or damaged file is written anew; `healed` is set for the latter.
[[nodiscard]] result<void> check_format(const std::filesystem::path& directory, bool& healed);

} // namespace skerry::edge
