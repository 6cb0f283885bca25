#include "edge/collect/host/udev.hpp"

#include "edge/collect/host/text.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace skerry::edge::host {

namespace {

std::string read_start(const std::string& path) {
  std::string text;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return text;
  text.resize(udev_file_bytes_max);
  const ssize_t n = ::read(fd, text.data(), text.size());
  ::close(fd);
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return text;
}

} // namespace

const udev_properties::properties& udev_properties::of(std::uint32_t major, std::uint32_t minor) {
  static const properties none;
  const std::string path = fmt::format("{}/b{}:{}", data_.native(), major, minor);
  const std::uint64_t key = std::uint64_t{major} << 32 | minor;
  struct stat seen {};
  if (::stat(path.c_str(), &seen) != 0) {
    known_.erase(key);
    return none;
  }
  if (known_.size() >= udev_devices_max && !known_.contains(key))
    known_.clear();
  entry& e = known_[key];
  const std::int64_t changed_ns = std::int64_t{seen.st_mtim.tv_sec} * 1'000'000'000 + seen.st_mtim.tv_nsec;
  if (e.changed_ns == changed_ns && e.inode == seen.st_ino)
    return e.all;
  e.changed_ns = changed_ns;
  e.inode = seen.st_ino;
  e.all.clear();
  const std::string text = read_start(path);
  std::string_view rest = text;
  std::string_view line;
  while (next_line(rest, line)) {
    const auto equals = line.find('=');
    if (line.starts_with("E:") && equals != std::string_view::npos)
      e.all[std::string(line.substr(2, equals - 2))] = line.substr(equals + 1);
  }
  return e.all;
}

} // namespace skerry::edge::host
