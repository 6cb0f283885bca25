#include "actors/node/data_directory.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <dirent.h>
#include <fcntl.h>
#include <optional>
#include <sodium.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace skerry {

namespace {

constexpr std::size_t format_bytes_max = 4 << 10;
constexpr std::size_t checksum_bytes = 16;

std::string checksum(std::string_view text) {
  std::array<unsigned char, checksum_bytes> hash;
  crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const unsigned char*>(text.data()),
                     text.size(), nullptr, 0);
  std::string out;
  for (const auto byte : hash)
    out += fmt::format("{:02x}", byte);
  return out;
}

struct format_mark {
  std::uint32_t version = 0;
  std::string kind;
};

// "skerry-data <version> <kind> <checksum of what stands before it>"
std::string format_line(std::uint32_t version, std::string_view kind) {
  const auto text = fmt::format("skerry-data {} {} ", version, kind);
  return text + checksum(text) + "\n";
}

std::optional<format_mark> parse_line(std::string_view line) {
  constexpr std::string_view magic = "skerry-data ";
  const auto last = line.rfind(' ');
  if (!line.starts_with(magic) || last == std::string_view::npos
      || line.substr(last + 1) != checksum(line.substr(0, last + 1)))
    return std::nullopt;
  const auto fields = line.substr(magic.size(), last - magic.size());
  format_mark out;
  const auto [end, code] = std::from_chars(fields.data(), fields.data() + fields.size(), out.version);
  if (code != std::errc{} || end == fields.data() + fields.size() || *end != ' ')
    return std::nullopt;
  out.kind = std::string{end + 1, fields.data() + fields.size()};
  return out;
}

// The first copy that is whole: by lines, and by halves where the damage is a line's end.
std::optional<format_mark> find_mark(std::string_view text) {
  if (text.size() < 2)
    return std::nullopt;
  const auto half = text.size() / 2;
  for (const auto begin : {std::size_t{0}, half})
    for (const auto end : {std::min(text.find('\n', begin), text.size()), begin + half - 1})
      if (begin < end)
        if (auto mark = parse_line(text.substr(begin, end - begin)))
          return mark;
  return std::nullopt;
}

error no_folder(const std::filesystem::path& folder) {
  return {
      errc::invalid_argument,
      fmt::format("the data directory {} is not a folder; give another one with --data", folder.string())};
}

result<void> make_folder(const std::filesystem::path& folder) {
  std::error_code ignored;
  if (folder.has_parent_path())
    std::filesystem::create_directories(folder.parent_path(), ignored); // mkdir says why it failed
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    auto error = system_error(errno, "make the data directory", folder);
    error.code = error.code == errc::not_found ? errc::io : error.code;
    error.message += "; make it yourself, or give another one with --data";
    return boost::outcome_v2::failure(std::move(error));
  }
  struct stat now {};
  if (::stat(folder.c_str(), &now) != 0)
    return boost::outcome_v2::failure(system_error(errno, "look at the data directory", folder));
  if (!S_ISDIR(now.st_mode))
    return boost::outcome_v2::failure(no_folder(folder));
  return ok();
}

// True where there is nothing that a first start would not have left there itself.
bool nothing_of_others(const std::filesystem::path& folder) {
  DIR* entries = ::opendir(folder.c_str());
  if (entries == nullptr)
    return true; // what follows says why
  bool nothing = true;
  while (const auto* entry = ::readdir(entries)) {
    const std::string_view name{entry->d_name};
    nothing =
        nothing
        && (name == "." || name == ".." || name == "LOCK" || name == "FORMAT.tmp" || name == "lost+found");
  }
  ::closedir(entries);
  return nothing;
}

std::string holder(const std::filesystem::path& lock_file) {
  const auto text = read_file(lock_file, 64);
  int pid = 0;
  if (!text
      || std::from_chars(text.value().data(), text.value().data() + text.value().size(), pid).ec
             != std::errc{}
      || pid <= 0)
    return "another process";
  auto name = read_file(fmt::format("/proc/{}/comm", pid), 64);
  if (!name)
    return fmt::format("process {}", pid);
  while (!name.value().empty() && name.value().back() == '\n')
    name.value().pop_back();
  return fmt::format("process {} ({})", pid, name.value());
}

result<int> take_lock(const std::filesystem::path& folder) {
  const auto file = folder / "LOCK";
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    auto error = system_error(errno, "write in the data directory", folder);
    error.code = error.code == errc::not_found ? errc::io : error.code;
    return boost::outcome_v2::failure(std::move(error));
  }
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const auto code = errno;
    ::close(fd);
    if (code != EWOULDBLOCK)
      return boost::outcome_v2::failure(system_error(code, "lock the data directory", folder));
    return fail(errc::conflict,
                fmt::format("the data directory {} is in use by {}; stop it, or give this one another "
                            "directory with --data",
                            folder.string(), holder(file)));
  }
  // Only for messages: on a full disk the node starts without.
  const auto pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, pid.data(), pid.size(), 0) < 0)
    spdlog::warn("data directory: can't note the process id in {}", file.string());
  return fd;
}

error foreign_folder(const std::filesystem::path& folder) {
  return {
      errc::invalid_argument,
      fmt::format("{} holds files but is no Skerry data directory (there is no FORMAT in it); give an empty "
                  "or a new directory with --data",
                  folder.string())};
}

result<format_mark> judge_mark(const std::filesystem::path& folder, std::string_view text,
                               std::string_view wanted, std::uint32_t newest) {
  const auto file = folder / "FORMAT";
  const auto mark = find_mark(text);
  if (!mark)
    return fail(
        errc::corrupt,
        fmt::format("both copies of the mark in {} are damaged; restore that file from a backup of this "
                    "directory, or give another directory with --data",
                    file.string()));
  if (mark->version > newest)
    return fail(
        errc::unsupported_version,
        fmt::format(
            "{} was written in format {} by a newer build, and this one knows up to {}; install the newer "
            "build again, or give another directory with --data",
            folder.string(), mark->version, newest));
  if (mark->kind != wanted)
    return fail(
        errc::invalid_argument,
        fmt::format("{} is the data directory of skerry-{}, not of skerry-{}; give another one with --data",
                    folder.string(), mark->kind, wanted));
  return *mark;
}

result<std::uint32_t> check_format(const std::filesystem::path& folder, node_kind kind,
                                   std::uint32_t newest) {
  const auto file = folder / "FORMAT";
  const auto wanted = to_string(kind);
  const auto text = read_file(file, format_bytes_max);
  if (!text && text.error().code == errc::not_found) {
    if (!nothing_of_others(folder))
      return boost::outcome_v2::failure(foreign_folder(folder));
    const auto line = format_line(newest, wanted);
    BOOST_OUTCOME_TRYV(write_file_durably(file, line + line));
    return newest;
  }
  if (!text)
    return boost::outcome_v2::failure(text.error());
  BOOST_OUTCOME_TRY(mark, judge_mark(folder, text.value(), wanted, newest));
  const auto line = format_line(mark.version, wanted);
  if (text.value() != line + line) {
    spdlog::warn("data directory: one copy of the mark in {} was damaged; repairing it", file.string());
    if (const auto written = write_file_durably(file, line + line); !written)
      spdlog::warn("data directory: {}", written.error().message); // the good copy still stands
  }
  return mark.version;
}

} // namespace

std::string_view to_string(node_kind kind) noexcept { return kind == node_kind::edge ? "edge" : "cloud"; }

result<void> data_directory::look(const std::filesystem::path& folder, node_kind kind,
                                  std::uint32_t newest_version) {
  struct stat now {};
  if (::stat(folder.c_str(), &now) != 0)
    return ok();
  if (!S_ISDIR(now.st_mode))
    return boost::outcome_v2::failure(no_folder(folder));
  const auto text = read_file(folder / "FORMAT", format_bytes_max);
  if (text) {
    BOOST_OUTCOME_TRYV(judge_mark(folder, text.value(), to_string(kind), newest_version));
  } else if (text.error().code == errc::not_found && !nothing_of_others(folder)) {
    return boost::outcome_v2::failure(foreign_folder(folder));
  }
  return ok();
}

result<data_directory> data_directory::open(const std::filesystem::path& folder, node_kind kind,
                                            std::uint32_t newest_version) {
  try {
    BOOST_OUTCOME_TRYV(make_folder(folder));
    // Before anything is touched: a wrong --data must not change somebody's folder.
    if (::access((folder / "FORMAT").c_str(), F_OK) != 0 && errno == ENOENT && !nothing_of_others(folder))
      return boost::outcome_v2::failure(foreign_folder(folder));
    BOOST_OUTCOME_TRY(lock, take_lock(folder));
    data_directory out{folder, lock, 0};
    BOOST_OUTCOME_TRY(version, check_format(folder, kind, newest_version));
    out.version_ = version;
    struct stat now {};
    if (::stat(folder.c_str(), &now) == 0 && (now.st_mode & 077) != 0) {
      if (::chmod(folder.c_str(), 0700) != 0)
        return boost::outcome_v2::failure(system_error(errno, "make private (mode 0700)", folder));
      spdlog::warn("data directory: others could look into {}; its mode is 0700 now", folder.string());
    }
    return out;
  } catch (const std::exception& e) {
    return fail(errc::io, fmt::format("can't open the data directory {}: {}", folder.string(), e.what()));
  }
}

data_directory::data_directory(data_directory&& other) noexcept
    : path_(std::move(other.path_)), lock_(std::exchange(other.lock_, -1)), version_(other.version_) {}

data_directory& data_directory::operator=(data_directory&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(lock_, other.lock_);
  std::swap(version_, other.version_);
  return *this;
}

data_directory::~data_directory() {
  if (lock_ >= 0)
    ::close(lock_);
}

} // namespace skerry
