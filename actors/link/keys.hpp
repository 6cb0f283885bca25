#pragma once

// A node's CURVE key pair on disk.
//
// Format, text, three lines: "skerry-key 1", "public " and "secret " with 64 hexadecimal digits each. The
// file has mode 0600, and is not loaded while group or others may read it. It is replaced as a whole
// (temporary file, fsync, rename, fsync of the directory): after a crash it is the old one or the new one.

#include "actors/link/transport.hpp"

#include <filesystem>

namespace skerry::link {

// not_found: no such file; forbidden: its mode lets others read it (the message has the chmod to run);
// malformed, corrupt, unsupported_version: not such a file, or the halves don't belong together; io.
[[nodiscard]] result<curve_keypair> load_keypair(const std::filesystem::path& file);

// Replaces what is there. The directory must exist. io.
[[nodiscard]] result<void> save_keypair(const std::filesystem::path& file, const curve_keypair& keys);

// Loads, or makes and saves a new pair where there is no file. Of two processes that do so at once, both get
// the pair of the first.
[[nodiscard]] result<curve_keypair> load_or_create_keypair(const std::filesystem::path& file);

// Whether the public half is the secret one's.
[[nodiscard]] bool belong_together(const curve_keypair& keys) noexcept;

} // namespace skerry::link
