#pragma once

// Reading /proc and /sys: files that stay open and are read again from their start, and small files that are
// opened for each reading because their devices come and go. Nothing throws but std::bad_alloc.

#include "schemas/error.hpp"

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::edge::host {

inline constexpr std::size_t proc_file_bytes_max =
    8 << 20; // /proc/stat of a machine with thousands of interrupts: 1 MB
inline constexpr std::size_t small_file_bytes = 4096; // sysfs hands out one page at most
inline constexpr std::size_t directory_entries_max = 1 << 20;

// Kept open between readings; opened anew when reading fails. Not thread-safe.
class kept_file {
public:
  explicit kept_file(std::filesystem::path path) : path_(std::move(path)) {}
  kept_file(kept_file&& other) noexcept;
  kept_file& operator=(kept_file&&) = delete;
  ~kept_file();

  // The whole content, in `buffer`, valid until it is used again.
  // not_found: no such file; exhausted: larger than proc_file_bytes_max; unsupported: the kernel has it
  // turned off; io: everything else.
  [[nodiscard]] result<std::string_view> read(std::string& buffer);

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

private:
  [[nodiscard]] result<std::string_view> read_once(std::string& buffer);
  void close() noexcept;

  std::filesystem::path path_;
  int fd_ = -1;
};

// A directory that relative paths start from; `name` may be "a/b". Errors as kept_file::read.
class directory {
public:
  [[nodiscard]] static result<directory> open(const std::filesystem::path& path);
  directory(directory&& other) noexcept;
  directory& operator=(directory&&) = delete;
  ~directory();

  [[nodiscard]] result<directory> sub(const char* name) const;
  // Into the caller's page, trimmed of white space; valid while `page` is not written again.
  [[nodiscard]] result<std::string_view> read(const char* name, char (&page)[small_file_bytes]) const;
  // Names in byte order, without "." and ".."; regular files left out unless asked for.
  [[nodiscard]] result<std::vector<std::string>> list(bool with_files = false) const;
  [[nodiscard]] bool contains(const char* name) const noexcept;

private:
  explicit directory(int fd) noexcept : fd_(fd) {}
  int fd_;
};

} // namespace skerry::edge::host
