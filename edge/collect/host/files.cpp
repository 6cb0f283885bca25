#include "edge/collect/host/files.hpp"

#include "edge/collect/host/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace skerry::edge::host {

namespace {

constexpr std::size_t buffer_bytes_start = 16 << 10;

error system_error(int number, std::string_view doing, std::string_view what) {
  errc code = errc::io;
  if (number == ENOENT || number == ENODEV || number == ENXIO || number == ENOTDIR || number == ESRCH)
    code = errc::not_found;
  else if (number == EOPNOTSUPP || number == EINVAL || number == ENODATA)
    code = errc::unsupported;
  else if (number == EACCES || number == EPERM)
    code = errc::forbidden;
  return {code, fmt::format("cannot {} {}: {}", doing, what, std::strerror(number))};
}

ssize_t read_again(int fd, char* to, std::size_t size, std::size_t offset) {
  ssize_t n;
  do
    n = ::pread(fd, to, size, static_cast<off_t>(offset));
  while (n < 0 && errno == EINTR);
  return n;
}

} // namespace

kept_file::kept_file(kept_file&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

kept_file::~kept_file() { close(); }

void kept_file::close() noexcept {
  if (fd_ >= 0)
    ::close(std::exchange(fd_, -1));
}

result<std::string_view> kept_file::read(std::string& buffer) {
  const bool was_open = fd_ >= 0;
  auto content = read_once(buffer);
  if (!content && was_open && content.error().code != errc::exhausted)
    content = read_once(buffer); // what the old descriptor named may be gone; the path may name something new
  return content;
}

result<std::string_view> kept_file::read_once(std::string& buffer) {
  if (fd_ < 0) {
    fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd_ < 0)
      return system_error(errno, "open", path_.native());
  }
  if (buffer.size() < buffer_bytes_start)
    buffer.resize(buffer_bytes_start);
  std::size_t size = 0;
  for (;;) {
    if (size == buffer.size()) {
      if (size >= proc_file_bytes_max)
        return fail(errc::exhausted,
                    fmt::format("{} is larger than {} bytes", path_.native(), proc_file_bytes_max));
      buffer.resize(std::min(size * 2, proc_file_bytes_max));
    }
    const ssize_t n = read_again(fd_, buffer.data() + size, buffer.size() - size, size);
    if (n < 0) {
      const int number = errno;
      close();
      return system_error(number, "read", path_.native());
    }
    if (n == 0)
      return std::string_view(buffer.data(), size);
    size += static_cast<std::size_t>(n);
  }
}

result<directory> directory::open(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return system_error(errno, "open", path.native());
  return directory(fd);
}

directory::directory(directory&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

directory::~directory() {
  if (fd_ >= 0)
    ::close(fd_);
}

result<directory> directory::sub(const char* name) const {
  const int fd = ::openat(fd_, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return system_error(errno, "open", name);
  return directory(fd);
}

result<std::string_view> directory::read(const char* name, char (&page)[small_file_bytes]) const {
  const int fd = ::openat(fd_, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return system_error(errno, "open", name);
  // One call: a sysfs attribute comes whole, and some drivers answer only the first.
  const ssize_t n = read_again(fd, page, sizeof page, 0);
  const int number = errno;
  ::close(fd);
  if (n < 0)
    return system_error(number, "read", name);
  return trim({page, static_cast<std::size_t>(n)});
}

result<std::vector<std::string>> directory::list(bool with_files) const {
  const int fd = ::openat(fd_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* stream = fd < 0 ? nullptr : ::fdopendir(fd);
  if (stream == nullptr) {
    const int number = errno;
    if (fd >= 0)
      ::close(fd);
    return system_error(number, "list", "directory");
  }
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == ".." || (!with_files && entry->d_type == DT_REG))
      continue;
    if (names.size() >= directory_entries_max) {
      ::closedir(stream);
      return fail(errc::exhausted,
                  fmt::format("a directory has more than {} entries", directory_entries_max));
    }
    names.emplace_back(name);
  }
  ::closedir(stream);
  std::sort(names.begin(), names.end());
  return names;
}

bool directory::contains(const char* name) const noexcept { return ::faccessat(fd_, name, F_OK, 0) == 0; }

} // namespace skerry::edge::host
