#pragma once

// The folder in which a node keeps everything: private (0700), locked while the node runs, and marked with
// what wrote it. Holds:
//   LOCK    locked with flock by the process that runs; its pid, for messages
//   FORMAT  the format's version and the kind of node, each line with its own checksum and written twice, so
//   that
//           one damaged byte does not keep a node from starting
// Opening it again in the same process is refused like any second process. Main thread.

#include "actors/base/files.hpp"
#include "schemas/error.hpp"

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace skerry {

enum class node_kind : std::uint8_t { edge, cloud };
[[nodiscard]] std::string_view to_string(node_kind kind) noexcept;

// Raised when an older build could not read what a newer one writes. Older versions are read.
inline constexpr std::uint32_t data_format_version = 1;

class data_directory {
public:
  // Makes the folder where it is missing. Every message names the folder and what to do.
  //   conflict             another process has it
  //   unsupported_version  a newer build wrote it
  //   invalid_argument     it belongs to the other kind of node, holds other files, or is no folder
  //   corrupt              FORMAT is damaged beyond its second copy
  //   exhausted, io        the disk is full; it can't be made or written
  [[nodiscard]] static result<data_directory> open(const std::filesystem::path& folder, node_kind kind,
                                                   std::uint32_t newest_version = data_format_version);

  // What opening would refuse, as far as it can be seen without changing anything; ok where it is not there yet, or not to
  // be read by who asks.
  [[nodiscard]] static result<void> look(const std::filesystem::path& folder, node_kind kind,
                                         std::uint32_t newest_version = data_format_version);

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  [[nodiscard]] std::uint32_t version() const noexcept { return version_; }

  data_directory(data_directory&& other) noexcept;
  data_directory& operator=(data_directory&& other) noexcept;
  ~data_directory(); // lets go of the lock

private:
  data_directory(std::filesystem::path path, int lock, std::uint32_t version) noexcept
      : path_(std::move(path)), lock_(lock), version_(version) {}
  std::filesystem::path path_;
  int lock_ = -1;
  std::uint32_t version_ = 0;
};

} // namespace skerry
