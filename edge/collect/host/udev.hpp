#pragma once

// What udev knows of a block device (model, serial, file system …), from its data files; read again when one
// changes.

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace skerry::edge::host {

inline constexpr std::size_t udev_devices_max = 16'384; // remembered; beyond, all are forgotten and read anew
inline constexpr std::size_t udev_file_bytes_max = 64 << 10; // what is beyond is not read

class udev_properties {
public:
  using properties = std::map<std::string, std::string, std::less<>>;

  explicit udev_properties(std::filesystem::path data) : data_(std::move(data)) {}
  // Empty where udev knows nothing; valid until the next call.
  [[nodiscard]] const properties& of(std::uint32_t major, std::uint32_t minor);

private:
  struct entry {
    std::int64_t changed_ns = -1;
    std::uint64_t inode = 0;
    properties all;
  };
  std::filesystem::path data_;
  std::map<std::uint64_t, entry> known_;
};

} // namespace skerry::edge::host
