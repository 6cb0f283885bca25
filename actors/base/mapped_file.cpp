#include "actors/base/mapped_file.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace skerry {

result<mapped_file> mapped_file::open(const std::filesystem::path& file) {
  mapped_file mapped;
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT)
      return mapped;
    return fail(errc::io, fmt::format("cannot read {}: {}", file.string(), std::strerror(errno)));
  }
  struct stat info {};
  const bool known = ::fstat(fd, &info) == 0;
  if (known && info.st_size > 0) {
    const auto bytes = static_cast<std::size_t>(info.st_size);
    void* at = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED)
      mapped.bytes_ = {static_cast<const std::byte*>(at), bytes};
  }
  const int reason = errno;
  ::close(fd);
  if (!known || (info.st_size > 0 && mapped.bytes_.empty()))
    return fail(errc::io, fmt::format("cannot map {}: {}", file.string(), std::strerror(reason)));
  return mapped;
}

mapped_file::~mapped_file() {
  if (!bytes_.empty())
    ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

} // namespace skerry
