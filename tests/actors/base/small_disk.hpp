#pragma once

// A file system of its own, small, in memory, for a test in a process of its own: what fills it harms nobody, and what
// dies of it does not take the tests along.

#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <optional>
#include <sched.h>
#include <string>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

namespace skerry::test {

// Takes all but `pages` of what is free there. False: it could not.
inline bool leave_free(const std::filesystem::path& disk, std::size_t pages, int attempts = 100) {
  std::error_code ec;
  std::filesystem::remove(disk / "filler", ec);
  const auto space = std::filesystem::space(disk, ec);
  const auto bytes = space.available - std::min<std::uintmax_t>(space.available, pages * 4096);
  const int fd = ::open((disk / "filler").c_str(), O_CREAT | O_WRONLY, 0600);
  const bool taken = fd >= 0 && (bytes == 0 || ::posix_fallocate(fd, 0, static_cast<off_t>(bytes)) == 0);
  ::close(fd);
  return taken
         || (attempts > 0
             && leave_free(disk, pages, attempts - 1)); // somebody else may have taken some meanwhile
}

// The wait status of a process that ran `work` there and exited with what it gave; nothing where that is not permitted.
inline std::optional<int> on_small_disk(std::size_t kib,
                                        const std::function<int(const std::filesystem::path&)>& work) {
  constexpr int not_permitted = 77;
  std::string folder = (std::filesystem::temp_directory_path() / "skerry-disk-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr)
    return std::nullopt;
  const auto child = ::fork();
  if (child == 0) {
    const auto size = "mode=0700,size=" + std::to_string(kib) + "k";
    if ((::unshare(CLONE_NEWNS) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
        || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0
        || ::mount("skerry-test", folder.c_str(), "tmpfs", 0, size.c_str()) != 0)
      ::_exit(not_permitted);
    ::_exit(work(folder));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  std::error_code ec;
  std::filesystem::remove(folder, ec);
  if (child < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == not_permitted))
    return std::nullopt;
  return status;
}

} // namespace skerry::test
