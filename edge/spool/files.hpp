#pragma once

// The few operating system calls that the spool needs around LMDB: locking a directory, files that are
// replaced or overwritten durably, errors with their words. No state, any thread, except where an object owns
// a descriptor.

#include "schemas/bytes.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace skerry::edge {

class unique_fd {
public:
  unique_fd() = default;
  explicit unique_fd(int fd) noexcept : fd_(fd) {}
  unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  unique_fd& operator=(unique_fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~unique_fd();
  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] bool valid() const noexcept { return fd_ >= 0; }

private:
  int fd_ = -1;
};

// exhausted for a full disk, quota or file size limit; io for the rest. The message has path and the system's
// words.
[[nodiscard]] error os_error(std::string_view what, const std::filesystem::path& path, int code);

[[nodiscard]] result<unique_fd> open_file(const std::filesystem::path& path, int flags);
// not_found where there is none; malformed over `bytes_max`.
[[nodiscard]] result<byte_buffer> read_whole_file(const std::filesystem::path& path, std::uint64_t bytes_max);
// Written beside, synced, renamed over: after a crash the old or the new content stands there.
[[nodiscard]] result<void> replace_file(const std::filesystem::path& path, bytes_view content);
// Creates it (0700) and its parents; tightens the mode of one that exists.
[[nodiscard]] result<void> make_private_directory(const std::filesystem::path& path);
// Exactly `bytes` allocated blocks, so that giving them up frees as much.
[[nodiscard]] result<void> allocate_file(const std::filesystem::path& path, std::uint64_t bytes);
[[nodiscard]] std::uint64_t file_bytes(const std::filesystem::path& path) noexcept; // 0: none

// Held for as long as the object lives; conflict when another process (or object) has it.
[[nodiscard]] result<unique_fd> lock_directory(const std::filesystem::path& directory);

} // namespace skerry::edge
