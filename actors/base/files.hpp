#pragma once

// Small files, written so that a crash leaves the old content or the new one, never a mixture. Any thread;
// two writers of one path at a time are the caller's mistake.

#include "schemas/error.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace skerry {

// Writes beside the file, syncs, renames, syncs the folder. On success the content is on stable storage.
// exhausted: the disk (or a quota) is full; io: refused otherwise. In both cases the old content stands.
[[nodiscard]] result<void> write_file_durably(const std::filesystem::path& file, std::string_view content,
                                              unsigned mode = 0600);

// What was made, renamed or removed in the folder is so after a power loss as well. io.
[[nodiscard]] result<void> sync_directory(const std::filesystem::path& folder);

// Nobody but the owner may enter the folder from here on. io.
[[nodiscard]] result<void> close_to_others(const std::filesystem::path& folder);

// not_found; exhausted: longer than `bytes_max`; io.
[[nodiscard]] result<std::string> read_file(const std::filesystem::path& file, std::size_t bytes_max);

// What may still be written there by whoever is not root; 0: not known.
[[nodiscard]] std::uint64_t free_bytes(const std::filesystem::path& folder) noexcept;
// LMDB calls a short write EIO, and that is how a full disk begins: ENOSPC where there is no room in the folder.
[[nodiscard]] int why_not_written(int code, const std::filesystem::path& folder) noexcept;

// What the operating system said, as an error: "can't <what> <file>: <why>"; a full disk says what to do.
[[nodiscard]] error system_error(int code, std::string_view what, const std::filesystem::path& file);

} // namespace skerry
