#include "cloud/store/directory.hpp"

#include "actors/base/files.hpp"
#include "schemas/bytes.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <sys/file.h>
#include <unistd.h>
#include <xxhash.h>

namespace skerry::cloud {

namespace fs = std::filesystem;

namespace {

std::string format_line(unsigned version) {
  const auto text = fmt::format("skerry-store {}", version);
  return fmt::format("{} {:016x}\n", text, XXH3_64bits(text.data(), text.size()));
}

errc code_of(int reason) noexcept {
  return reason == ENOSPC || reason == EDQUOT ? errc::exhausted : errc::io;
}

} // namespace

result<directory_lock> directory_lock::take(const fs::path& directory) {
  BOOST_OUTCOME_TRYV(make_directory(directory));
  const auto path = directory / "LOCK";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0)
    return fail(code_of(errno), fmt::format("cannot open {}: {}; the store's directory must be writable",
                                            path.string(), std::strerror(errno)));
  directory_lock lock{fd};
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK)
      return fail(errc::conflict,
                  fmt::format("another process uses the store in {}; stop it, or give this one "
                              "another directory",
                              directory.string()));
    return fail(errc::io, fmt::format("cannot lock {}: {}", path.string(), std::strerror(errno)));
  }
  return lock;
}

directory_lock::~directory_lock() {
  if (fd_ >= 0)
    ::close(fd_);
}

result<void> check_format(const fs::path& directory) {
  const auto path = directory / "FORMAT";
  std::string line;
  if (std::ifstream in{path}; in)
    std::getline(in, line);
  else
    return write_file_durably(path, format_line(store_format));
  line += '\n';
  unsigned version = 0;
  if (std::sscanf(line.c_str(), "skerry-store %u ", &version) == 1 && line == format_line(version)) {
    if (version > store_format)
      return fail(
          errc::unsupported_version,
          fmt::format(
              "the store in {} has format {}, this build knows up to {}; start it with the build that "
              "wrote it or a newer one",
              directory.string(), version, store_format));
    if (version < store_format)
      return fail(errc::unsupported_version,
                  fmt::format("the store in {} has format {} of builds before the first release, this build "
                              "knows {}; move the directory away and start with a new one",
                              directory.string(), version, store_format));
    return ok();
  }
  spdlog::warn("store: {} is damaged and written anew", path.string());
  return write_file_durably(path, format_line(store_format));
}

result<void> make_directory(const fs::path& directory) {
  std::error_code ec;
  if (fs::is_directory(directory, ec))
    return ok();
  const auto parent = directory.parent_path();
  if (!parent.empty() && parent != directory) {
    BOOST_OUTCOME_TRYV(make_directory(parent));
  }
  fs::create_directory(directory, ec);
  if (ec)
    return fail(code_of(ec.value()), fmt::format("cannot make {}: {}; check space and permissions",
                                                 directory.string(), ec.message()));
  return sync_directory(parent);
}

result<std::vector<std::string>> list_directory(const fs::path& directory) {
  std::error_code ec;
  std::vector<std::string> names;
  for (fs::directory_iterator it{directory, ec}, end; !ec && it != end; it.increment(ec))
    names.push_back(it->path().filename().string());
  if (ec)
    return fail(errc::io, fmt::format("cannot list {}: {}", directory.string(), ec.message()));
  std::sort(names.begin(), names.end());
  return names;
}

void remove_directory(const fs::path& directory) {
  std::error_code ec;
  auto path = directory;
  if (!path.filename().string().ends_with(deleted_suffix)) {
    path += deleted_suffix;
    fs::remove_all(path, ec);
    fs::rename(directory, path, ec);
    if (ec)
      path = directory;
    else if (const auto synced = sync_directory(path.parent_path()); !synced)
      spdlog::warn("store: {}", synced.error().message);
  }
  fs::remove_all(path, ec);
  if (ec)
    spdlog::warn("store: cannot delete {}: {}", path.string(), ec.message());
}

fs::path set_aside(const fs::path& path, const fs::path& damaged) {
  std::error_code ec;
  fs::create_directories(damaged, ec);
  for (int n = 1;; ++n) {
    const auto to =
        damaged
        / fmt::format("{}-{}.{}", path.parent_path().filename().string(), path.filename().string(), n);
    if (fs::exists(to, ec))
      continue;
    fs::rename(path, to, ec);
    if (!ec && sync_directory(damaged))
      return to;
    spdlog::error("store: cannot move {} to {}: {}", path.string(), to.string(), ec.message());
    return {};
  }
}

std::uint64_t disk_bytes(const fs::path& directory) {
  std::uint64_t bytes = 0;
  std::error_code ec;
  for (fs::recursive_directory_iterator it{directory, ec}, end; !ec && it != end; it.increment(ec)) {
    std::error_code ignored;
    if (it->is_regular_file(ignored))
      bytes += it->file_size(ignored);
  }
  return bytes;
}

} // namespace skerry::cloud
