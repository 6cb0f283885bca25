#include "actors/base/lmdb_lock.hpp"

#include "actors/base/files.hpp"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace skerry {

namespace {

// Of LMDB 0.9: a cache line a reader, and less than a page before them. What is larger than it would make is taken as it
// is.
constexpr off_t reader_bytes = 64;
constexpr off_t page_bytes = 4096;

} // namespace

result<void> allocate_lmdb_lock(const std::filesystem::path& directory, unsigned readers) {
  const auto file = directory / "lock.mdb";
  std::error_code ec;
  const bool is_new = !std::filesystem::exists(file, ec);
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0)
    return boost::outcome_v2::failure(system_error(errno, "open", file));
  const auto bytes = (readers * reader_bytes + 2 * page_bytes - 1) / page_bytes * page_bytes;
  int code = 0;
  do
    code = ::posix_fallocate(fd, 0, bytes);
  while (code == EINTR);
  ::close(fd);
  if (code == 0)
    return ok();
  if (is_new)
    std::filesystem::remove(file, ec);
  return boost::outcome_v2::failure(system_error(code, "make room for", file));
}

} // namespace skerry
