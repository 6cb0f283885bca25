#include "disk_recorder.hpp"

#include <array>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <fstream>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

namespace skerry::test {

namespace fs = std::filesystem;
using kind = disk_operation::kind;

namespace {

struct recorder {
  std::mutex mutex; // held over the call that is noted, so that the order is the disk's
  bool on = false;
  std::string root; // ends with '/'
  std::vector<disk_operation> all;
  std::map<std::string, std::uint32_t> files; // by path
  std::uint32_t next_file = 1;
  struct open_file {
    std::uint32_t file = 0; // 0: a directory
    bool synced = false;
    std::string path;
  };
  std::map<int, open_file> open;

  // Relative to the root; nothing: it is elsewhere, or nothing is recorded.
  std::optional<std::string> inside(const std::string& path) const {
    if (!on)
      return std::nullopt;
    const auto plain = fs::path{path}.lexically_normal().string();
    if (plain + "/" == root)
      return "";
    return plain.starts_with(root) ? std::optional{plain.substr(root.size())} : std::nullopt;
  }
  std::uint32_t make_file(const std::string& path) {
    const auto file = next_file++;
    files[path] = file;
    all.push_back({kind::make_file, file, false, 0, {}, path, {}});
    return file;
  }
};

recorder& the() {
  static recorder one;
  return one;
}

template <class Function>
Function* next_of(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

std::string path_at(int directory, const char* path) {
  if (path[0] == '/' || directory == AT_FDCWD)
    return fs::absolute(path).string();
  std::array<char, 4096> base{};
  const auto n =
      ::readlink(("/proc/self/fd/" + std::to_string(directory)).c_str(), base.data(), base.size() - 1);
  return n > 0 ? std::string{base.data()} + "/" + path : std::string{path};
}

void note_open(recorder& r, int fd, const std::string& path, int flags) {
  if (fd < 0)
    return;
  r.open.erase(fd);
  const auto name = r.inside(path);
  if (!name)
    return;
  struct stat what {};
  if (::fstat(fd, &what) != 0)
    return;
  if (S_ISDIR(what.st_mode)) {
    r.open[fd] = {0, false, *name};
    return;
  }
  const auto known = r.files.find(*name);
  const auto file = known != r.files.end() ? known->second : r.make_file(*name);
  if ((flags & O_TRUNC) != 0)
    r.all.push_back({kind::resize, file, false, 0, {}, {}, {}});
  r.open[fd] = {file, (flags & (O_DSYNC | O_SYNC)) != 0, *name};
}

void note_write(recorder& r, int fd, off_t at, const void* data, ssize_t written) {
  if (written <= 0)
    return;
  if (const auto found = r.open.find(fd); r.on && found != r.open.end() && found->second.file != 0)
    r.all.push_back({kind::write,
                     found->second.file,
                     found->second.synced,
                     static_cast<std::uint64_t>(at),
                     std::string{static_cast<const char*>(data), static_cast<std::size_t>(written)},
                     {},
                     {}});
}

void note_sync(recorder& r, int fd) {
  const auto found = r.open.find(fd);
  if (!r.on || found == r.open.end())
    return;
  if (found->second.file == 0)
    r.all.push_back({kind::sync_directory, 0, false, 0, {}, found->second.path, {}});
  else
    r.all.push_back({kind::sync, found->second.file, false, 0, {}, {}, {}});
}

void note_resize(recorder& r, int fd, std::uint64_t size) {
  if (const auto found = r.open.find(fd); r.on && found != r.open.end() && found->second.file != 0)
    r.all.push_back({kind::resize, found->second.file, false, size, {}, {}, {}});
}

void note_remove(recorder& r, const std::string& path) {
  if (const auto name = r.inside(path)) {
    r.files.erase(*name);
    r.all.push_back({kind::remove, 0, false, 0, {}, *name, {}});
  }
}

// Of a name and of everything below it.
template <class Value>
void rename_in(std::map<std::string, Value>& all, const std::string& from, const std::string& to) {
  std::map<std::string, Value> moved;
  for (auto it = all.begin(); it != all.end();) {
    if (it->first == from || it->first.starts_with(from + "/")) {
      moved[to + it->first.substr(from.size())] = std::move(it->second);
      it = all.erase(it);
    } else {
      ++it;
    }
  }
  for (auto& [name, value] : moved)
    all[name] = std::move(value);
}

} // namespace

void disk_recording::start(const fs::path& root) {
  auto& r = the();
  const std::lock_guard lock{r.mutex};
  r.on = true;
  r.root = fs::absolute(root).lexically_normal().string() + "/";
  r.all.clear();
  r.files.clear();
  r.open.clear();
}

void disk_recording::mark(std::uint64_t number) {
  auto& r = the();
  const std::lock_guard lock{r.mutex};
  r.all.push_back({kind::mark, 0, false, number, {}, {}, {}});
}

disk_recording disk_recording::stop() {
  auto& r = the();
  const std::lock_guard lock{r.mutex};
  r.on = false;
  disk_recording out;
  out.all_ = std::move(r.all);
  return out;
}

std::uint64_t disk_recording::mark_before(std::size_t cut) const noexcept {
  while (cut-- > 0)
    if (all_[cut].what == kind::mark)
      return all_[cut].offset;
  return 0;
}

void disk_recording::make_image(std::size_t cut, std::mt19937_64& rng, const fs::path& into) const {
  constexpr std::size_t sector = 512;
  const auto parent_of = [](const std::string& path) { return fs::path{path}.parent_path().string(); };
  // From the end: what is synced after it, and up to where names are safe.
  std::set<std::uint32_t> synced_later;
  std::set<std::string> directories_synced_later;
  std::vector<bool> safe(cut, false);
  std::size_t names_safe = 0;
  for (auto i = cut; i-- > 0;) {
    const auto& op = all_[i];
    switch (op.what) {
    case kind::sync: synced_later.insert(op.file); break;
    case kind::sync_directory: directories_synced_later.insert(op.path); break;
    case kind::write: safe[i] = op.synced || synced_later.contains(op.file); break;
    case kind::resize: safe[i] = synced_later.contains(op.file); break;
    case kind::mark: break;
    default:
      if (directories_synced_later.contains(parent_of(op.what == kind::rename ? op.to : op.path)))
        names_safe = std::max(names_safe, i + 1);
    }
  }
  const auto names_end = names_safe + rng() % (cut - names_safe + 1);

  std::map<std::uint32_t, std::string> contents;
  std::map<std::string, std::uint32_t> files; // by name; directories are 0
  for (std::size_t i = 0; i < cut; ++i) {
    const auto& op = all_[i];
    switch (op.what) {
    case kind::make_directory:
    case kind::make_file:
      if (i < names_end)
        files[op.path] = op.file;
      break;
    case kind::remove:
      if (i < names_end)
        files.erase(op.path);
      break;
    case kind::rename:
      if (i < names_end)
        rename_in(files, op.path, op.to);
      break;
    case kind::resize:
      if (safe[i] || rng() % 2 == 0)
        contents[op.file].resize(op.offset);
      break;
    case kind::write: {
      const auto luck = safe[i] ? 0 : rng() % 3; // all of it, nothing, or some sectors
      if (luck == 1)
        break;
      auto& bytes = contents[op.file];
      for (std::size_t at = 0; at < op.data.size();) {
        const auto here = std::min(op.data.size() - at, sector - (op.offset + at) % sector);
        if (luck == 0 || rng() % 2 == 0) {
          if (bytes.size() < op.offset + at + here)
            bytes.resize(op.offset + at + here);
          std::memcpy(bytes.data() + op.offset + at, op.data.data() + at, here);
        }
        at += here;
      }
      break;
    }
    default: break;
    }
  }
  for (const auto& [name, file] : files) { // parents come before what is in them
    if (file == 0) {
      fs::create_directory(into / name);
      continue;
    }
    std::ofstream out{into / name, std::ios::binary};
    out << contents[file];
  }
}

} // namespace skerry::test

// What replaces the C library's. Noted after the call, under the lock, and only where it succeeded.
using skerry::test::the;

namespace fs = std::filesystem;

extern "C" {

int open(const char* path, int flags, ...) { // NOLINT: declared like that
  static auto* const real = skerry::test::next_of<int(const char*, int, ...)>("open");
  va_list rest;
  va_start(rest, flags);
  const auto mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  const std::lock_guard lock{the().mutex};
  const int fd = real(path, flags, mode);
  skerry::test::note_open(the(), fd, skerry::test::path_at(AT_FDCWD, path), flags);
  return fd;
}

int mkdir(const char* path, mode_t mode) noexcept {
  static auto* const real = skerry::test::next_of<int(const char*, mode_t)>("mkdir");
  const std::lock_guard lock{the().mutex};
  const int rc = real(path, mode);
  if (const auto name = the().inside(fs::absolute(path).string()); rc == 0 && name)
    the().all.push_back({skerry::test::disk_operation::kind::make_directory, 0, false, 0, {}, *name, {}});
  return rc;
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t at) {
  static auto* const real = skerry::test::next_of<ssize_t(int, const void*, size_t, off_t)>("pwrite");
  const std::lock_guard lock{the().mutex};
  const auto n = real(fd, data, size, at);
  skerry::test::note_write(the(), fd, at, data, n);
  return n;
}

ssize_t write(int fd, const void* data, size_t size) {
  static auto* const real = skerry::test::next_of<ssize_t(int, const void*, size_t)>("write");
  if (!the().on)
    return real(fd, data, size);
  const std::lock_guard lock{the().mutex};
  const auto at = ::lseek(fd, 0, SEEK_CUR);
  const auto n = real(fd, data, size);
  skerry::test::note_write(the(), fd, at, data, n);
  return n;
}

ssize_t writev(int fd, const struct iovec* parts, int count) {
  static auto* const real = skerry::test::next_of<ssize_t(int, const struct iovec*, int)>("writev");
  if (!the().on)
    return real(fd, parts, count);
  const std::lock_guard lock{the().mutex};
  auto at = ::lseek(fd, 0, SEEK_CUR);
  const auto n = real(fd, parts, count);
  auto left = n;
  for (int i = 0; i < count && left > 0; ++i) {
    const auto here = std::min<ssize_t>(left, static_cast<ssize_t>(parts[i].iov_len));
    skerry::test::note_write(the(), fd, at, parts[i].iov_base, here);
    at += here;
    left -= here;
  }
  return n;
}

int fsync(int fd) {
  static auto* const real = skerry::test::next_of<int(int)>("fsync");
  const std::lock_guard lock{the().mutex};
  const int rc = real(fd);
  if (rc == 0)
    skerry::test::note_sync(the(), fd);
  return rc;
}

int fdatasync(int fd) {
  static auto* const real = skerry::test::next_of<int(int)>("fdatasync");
  const std::lock_guard lock{the().mutex};
  const int rc = real(fd);
  if (rc == 0)
    skerry::test::note_sync(the(), fd);
  return rc;
}

int ftruncate(int fd, off_t size) noexcept {
  static auto* const real = skerry::test::next_of<int(int, off_t)>("ftruncate");
  const std::lock_guard lock{the().mutex};
  const int rc = real(fd, size);
  if (rc == 0)
    skerry::test::note_resize(the(), fd, static_cast<std::uint64_t>(size));
  return rc;
}

int truncate(const char* path, off_t size) noexcept {
  static auto* const real = skerry::test::next_of<int(const char*, off_t)>("truncate");
  const std::lock_guard lock{the().mutex};
  const int rc = real(path, size);
  if (const auto name = the().inside(fs::absolute(path).string());
      rc == 0 && name && the().files.contains(*name))
    the().all.push_back({skerry::test::disk_operation::kind::resize,
                         the().files[*name],
                         false,
                         static_cast<std::uint64_t>(size),
                         {},
                         {},
                         {}});
  return rc;
}

int posix_fallocate(int fd, off_t from, off_t size) {
  static auto* const real = skerry::test::next_of<int(int, off_t, off_t)>("posix_fallocate");
  const std::lock_guard lock{the().mutex};
  const int rc = real(fd, from, size);
  struct stat what {};
  if (rc == 0 && ::fstat(fd, &what) == 0)
    skerry::test::note_resize(the(), fd, static_cast<std::uint64_t>(what.st_size));
  return rc;
}

int rename(const char* from, const char* to) noexcept {
  static auto* const real = skerry::test::next_of<int(const char*, const char*)>("rename");
  const std::lock_guard lock{the().mutex};
  const int rc = real(from, to);
  const auto before = the().inside(fs::absolute(from).string());
  const auto after = the().inside(fs::absolute(to).string());
  if (rc == 0 && before && after) {
    skerry::test::rename_in(the().files, *before, *after);
    the().all.push_back({skerry::test::disk_operation::kind::rename, 0, false, 0, {}, *before, *after});
  }
  return rc;
}

int unlink(const char* path) noexcept {
  static auto* const real = skerry::test::next_of<int(const char*)>("unlink");
  const std::lock_guard lock{the().mutex};
  const int rc = real(path);
  if (rc == 0)
    skerry::test::note_remove(the(), fs::absolute(path).string());
  return rc;
}

int remove(const char* path) noexcept {
  static auto* const real = skerry::test::next_of<int(const char*)>("remove");
  const std::lock_guard lock{the().mutex};
  const int rc = real(path);
  if (rc == 0)
    skerry::test::note_remove(the(), fs::absolute(path).string());
  return rc;
}

int rmdir(const char* path) noexcept {
  static auto* const real = skerry::test::next_of<int(const char*)>("rmdir");
  const std::lock_guard lock{the().mutex};
  const int rc = real(path);
  if (rc == 0)
    skerry::test::note_remove(the(), fs::absolute(path).string());
  return rc;
}

int unlinkat(int directory, const char* path, int flags) noexcept {
  static auto* const real = skerry::test::next_of<int(int, const char*, int)>("unlinkat");
  const std::lock_guard lock{the().mutex};
  const auto whole = skerry::test::path_at(directory, path);
  const int rc = real(directory, path, flags);
  if (rc == 0)
    skerry::test::note_remove(the(), whole);
  return rc;
}

int close(int fd) {
  static auto* const real = skerry::test::next_of<int(int)>("close");
  const std::lock_guard lock{the().mutex};
  the().open.erase(fd);
  return real(fd);
}
}
