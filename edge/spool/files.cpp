#include "edge/spool/files.hpp"

#include "actors/base/files.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace skerry::edge {

namespace fs = std::filesystem;

unique_fd::~unique_fd() {
  if (fd_ >= 0)
    ::close(fd_);
}

error os_error(std::string_view what, const fs::path& path, int code) {
  const auto words = std::generic_category().message(code);
  if (code == ENOSPC || code == EDQUOT || code == EFBIG)
    return {errc::exhausted,
            fmt::format("{} {}: {}; free space on that file system", what, path.string(), words)};
  return {errc::io, fmt::format("{} {}: {}; check owner, mode and the disk", what, path.string(), words)};
}

result<unique_fd> open_file(const fs::path& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
  if (fd < 0)
    return os_error("cannot open", path, errno);
  return unique_fd{fd};
}

result<byte_buffer> read_whole_file(const fs::path& path, std::uint64_t bytes_max) {
  const unique_fd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!fd.valid()) {
    if (errno == ENOENT)
      return fail(errc::not_found, fmt::format("there is no {}", path.string()));
    return os_error("cannot open", path, errno);
  }
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0)
    return os_error("cannot examine", path, errno);
  if (static_cast<std::uint64_t>(st.st_size) > bytes_max)
    return fail(errc::malformed,
                fmt::format("{} has {} bytes, over the limit of {}", path.string(), st.st_size, bytes_max));
  byte_buffer out(static_cast<std::size_t>(st.st_size));
  std::size_t at = 0;
  while (at < out.size()) {
    const auto n = ::pread(fd.get(), out.data() + at, out.size() - at, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return os_error("cannot read", path, errno);
    if (n == 0)
      break;
    at += static_cast<std::size_t>(n);
  }
  out.resize(at);
  return out;
}

result<void> replace_file(const fs::path& path, bytes_view content) {
  auto beside = path;
  beside += ".new";
  const auto give_up = [&](std::string_view what) {
    auto e = os_error(what, beside, errno);
    ::unlink(beside.c_str());
    return e;
  };
  {
    BOOST_OUTCOME_TRY(fd, open_file(beside, O_WRONLY | O_CREAT | O_TRUNC));
    while (!content.empty()) {
      const auto n = ::write(fd.get(), content.data(), content.size());
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return give_up("cannot write");
      content = content.subspan(static_cast<std::size_t>(n));
    }
    if (::fsync(fd.get()) != 0)
      return give_up("cannot sync");
  }
  if (::rename(beside.c_str(), path.c_str()) != 0)
    return give_up("cannot rename");
  return sync_directory(path.parent_path());
}

result<void> make_private_directory(const fs::path& path) {
  std::error_code code;
  if (path.has_parent_path())
    fs::create_directories(path.parent_path(), code); // a failure shows in mkdir below
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return os_error("cannot create the directory", path, errno);
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0)
    return os_error("cannot examine the directory", path, errno);
  if (!S_ISDIR(st.st_mode))
    return fail(errc::io,
                fmt::format("{} is not a directory; move it away or configure another one", path.string()));
  if ((st.st_mode & 077) != 0 && ::chmod(path.c_str(), 0700) != 0)
    return os_error("cannot make private (mode 0700) the directory", path, errno);
  return ok();
}

result<void> allocate_file(const fs::path& path, std::uint64_t bytes) {
  BOOST_OUTCOME_TRY(fd, open_file(path, O_WRONLY | O_CREAT));
  if (const int code = ::posix_fallocate(fd.get(), 0, static_cast<off_t>(bytes)); code != 0) {
    ::unlink(path.c_str());
    return os_error("cannot allocate", path, code);
  }
  return ok();
}

std::uint64_t file_bytes(const fs::path& path) noexcept {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 ? static_cast<std::uint64_t>(st.st_size) : 0;
}

result<unique_fd> lock_directory(const fs::path& directory) {
  const auto path = directory / "LOCK";
  BOOST_OUTCOME_TRY(fd, open_file(path, O_RDWR | O_CREAT));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0)
    return fd;
  if (errno != EWOULDBLOCK)
    return os_error("cannot lock", path, errno);
  return fail(
      errc::conflict,
      fmt::format("the spool directory {} is in use by another process; stop that one, or give this one "
                  "a data directory of its own (`fuser {}` names the process)",
                  directory.string(), path.string()));
}

} // namespace skerry::edge
