#include "actors/base/files.hpp"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <utility>

namespace skerry {

namespace {

constexpr std::uint64_t full_disk_bytes = 64 << 10; // with less free, a short write was no broken disk

class descriptor {
public:
  explicit descriptor(int fd) noexcept : fd_(fd) {}
  ~descriptor() {
    if (fd_ >= 0)
      ::close(fd_);
  }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] bool valid() const noexcept { return fd_ >= 0; }
  // Some file systems report a failed write only here.
  [[nodiscard]] bool close() noexcept { return ::close(std::exchange(fd_, -1)) == 0; }

private:
  int fd_;
};

bool write_all(int fd, std::string_view content) {
  while (!content.empty()) {
    const auto n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return false;
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

} // namespace

std::uint64_t free_bytes(const std::filesystem::path& folder) noexcept {
  struct statvfs st {};
  return ::statvfs(folder.c_str(), &st) == 0 ? std::uint64_t{st.f_bavail} * st.f_frsize : 0;
}

int why_not_written(int code, const std::filesystem::path& folder) noexcept {
  return code == EIO && free_bytes(folder) < full_disk_bytes ? ENOSPC : code;
}

error system_error(int code, std::string_view what, const std::filesystem::path& file) {
  auto message = fmt::format("can't {} {}: {}", what, file.string(), std::strerror(code));
  switch (code) {
  case ENOENT: return {errc::not_found, std::move(message)};
  case ENOSPC:
  case EDQUOT: return {errc::exhausted, message + "; free some space on that disk"};
  case EACCES:
  case EPERM: return {errc::io, message + "; check who owns it and its mode"};
  case EROFS: return {errc::io, message + "; it must be on a file system mounted for writing"};
  default: return {errc::io, std::move(message)};
  }
}

result<void> write_file_durably(const std::filesystem::path& file, std::string_view content, unsigned mode) {
  auto beside = file;
  beside += ".tmp";
  ::unlink(beside.c_str()); // left by a crash, perhaps with another mode
  const auto failed = [&](int code, std::string_view what) {
    ::unlink(beside.c_str());
    auto error = system_error(code, what, file);
    if (error.code == errc::not_found)
      error.code = errc::io; // the folder, not the file
    return boost::outcome_v2::failure(std::move(error));
  };
  descriptor fd{::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)};
  if (!fd.valid())
    return failed(errno, "write");
  if (::fchmod(fd.get(), mode) != 0 || !write_all(fd.get(), content) || ::fsync(fd.get()) != 0 || !fd.close())
    return failed(errno, "write");
  if (::rename(beside.c_str(), file.c_str()) != 0)
    return failed(errno, "replace");
  return sync_directory(file.parent_path());
}

result<void> sync_directory(const std::filesystem::path& folder) {
  const auto path = folder.empty() ? std::filesystem::path{"."} : folder;
  const descriptor fd{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!fd.valid() || ::fsync(fd.get()) != 0)
    return boost::outcome_v2::failure(system_error(errno, "sync the folder", path));
  return ok();
}

result<void> close_to_others(const std::filesystem::path& folder) {
  struct stat now {};
  if (::stat(folder.c_str(), &now) == 0 && (now.st_mode & (S_IRWXG | S_IRWXO)) == 0)
    return ok();
  if (::chmod(folder.c_str(), S_IRWXU) != 0)
    return boost::outcome_v2::failure(system_error(errno, "set the mode of", folder));
  return ok();
}

result<std::string> read_file(const std::filesystem::path& file, std::size_t bytes_max) {
  // Not blocking: a FIFO must not hang the start of a node.
  descriptor fd{::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (!fd.valid())
    return boost::outcome_v2::failure(system_error(errno, "open", file));
  std::string out;
  std::array<char, 16 << 10> buffer;
  for (;;) {
    const auto n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return boost::outcome_v2::failure(system_error(errno, "read", file));
    if (n == 0)
      return out;
    out.append(buffer.data(), static_cast<std::size_t>(n));
    if (out.size() > bytes_max)
      return fail(errc::exhausted, fmt::format("{} is larger than {} bytes", file.string(), bytes_max));
  }
}

} // namespace skerry
