#pragma once

// The store's directory: LOCK (one process), FORMAT (version), log/, partitions/, damaged/.

#include "schemas/error.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace skerry::cloud {

inline constexpr unsigned store_format = 3;
inline constexpr std::string_view deleted_suffix = ".deleted"; // being removed; finished at the next start

// Holds the lock while it lives.
class directory_lock {
public:
  // conflict: another process has it; io: the directory cannot be written.
  [[nodiscard]] static result<directory_lock> take(const std::filesystem::path& directory);
  ~directory_lock();
  directory_lock(directory_lock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  directory_lock& operator=(directory_lock&&) = delete;

private:
  explicit directory_lock(int fd) noexcept : fd_(fd) {}
  int fd_ = -1;
};

// Writes FORMAT when it is absent or damaged. unsupported_version: another one.
[[nodiscard]] result<void> check_format(const std::filesystem::path& directory);

// With its parents; there after a power loss too.
[[nodiscard]] result<void> make_directory(const std::filesystem::path& directory);
[[nodiscard]] result<std::vector<std::string>>
list_directory(const std::filesystem::path& directory); // sorted names
// Renames first, so that a crash leaves nothing half deleted under its old name.
void remove_directory(const std::filesystem::path& directory);
// Moves into `damaged` under a name that is free. Returns where it lies now; empty when it could not be
// moved.
std::filesystem::path set_aside(const std::filesystem::path& path, const std::filesystem::path& damaged);
[[nodiscard]] std::uint64_t disk_bytes(const std::filesystem::path& directory);

} // namespace skerry::cloud
