#pragma once

// LMDB writes to its file of locks through a map, and makes that file sparse: where the disk is full, touching it ends the
// process. So its blocks are taken before LMDB opens an environment.

#include "schemas/error.hpp"

#include <filesystem>

namespace skerry {

inline constexpr unsigned lmdb_readers_default = 126; // of an environment that says nothing else

// Makes `directory`/lock.mdb, or what of it is not there yet, for that many readers. The environment must not be open in
// this process. exhausted: the disk (or a quota) is full, and a file that was not there before is not there; io.
[[nodiscard]] result<void> allocate_lmdb_lock(const std::filesystem::path& directory, unsigned readers);

} // namespace skerry
