#include "actors/link/keys.hpp"

#include "actors/base/files.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

namespace skerry::link {

namespace {

constexpr std::string_view version_prefix = "skerry-key ";
constexpr std::string_view version = "1";
constexpr std::size_t file_bytes_max = 4096;

class file_descriptor {
public:
  explicit file_descriptor(int fd) noexcept : fd_(fd) {}
  ~file_descriptor() {
    if (fd_ >= 0)
      ::close(fd_);
  }
  file_descriptor(const file_descriptor&) = delete;
  file_descriptor& operator=(const file_descriptor&) = delete;
  [[nodiscard]] int get() const noexcept { return fd_; }

private:
  int fd_;
};

auto io_error(std::string_view what, const std::filesystem::path& file) {
  return fail(errc::io, fmt::format("key file {}: can't {}: {}", file.string(), what, std::strerror(errno)));
}

std::optional<curve_key> parse_hex(std::string_view text) {
  curve_key out;
  std::size_t bytes = 0;
  const char* end = nullptr;
  if (sodium_hex2bin(out.bytes.data(), out.bytes.size(), text.data(), text.size(), nullptr, &bytes, &end) != 0
      || bytes != out.bytes.size() || end != text.data() + text.size())
    return std::nullopt;
  return out;
}

// The rest of the line that starts with `word`, and `from` moved past it.
std::optional<std::string_view> take_line(std::string_view& from, std::string_view word) {
  const auto end = from.find('\n');
  const auto line = from.substr(0, end);
  if (!line.starts_with(word))
    return std::nullopt;
  from = end == std::string_view::npos ? std::string_view{} : from.substr(end + 1);
  return line.substr(word.size());
}

result<curve_keypair> parse(std::string_view text, const std::filesystem::path& file) {
  const auto malformed = [&] {
    return fail(
        errc::malformed,
        fmt::format(
            "key file {}: not a key file of Skerry; restore it, or move it away and join again (skerry "
            "invite --edge ID)",
            file.string()));
  };
  const auto found = take_line(text, version_prefix);
  if (!found)
    return malformed();
  if (*found != version)
    return fail(
        errc::unsupported_version,
        fmt::format(
            "key file {}: its format is '{}' and this build knows {}; run the newer version of Skerry",
            file.string(), found->substr(0, 20), version));
  const auto public_text = take_line(text, "public ");
  const auto secret_text = take_line(text, "secret ");
  if (!public_text || !secret_text)
    return malformed();
  const auto public_key = parse_hex(*public_text);
  const auto secret_key = parse_hex(*secret_text);
  if (!public_key || !secret_key)
    return malformed();
  const curve_keypair keys{*public_key, *secret_key};
  if (!belong_together(keys))
    return fail(errc::corrupt,
                fmt::format("key file {}: its public and secret keys do not belong together; restore it, or "
                            "move it away and join again (skerry invite --edge ID)",
                            file.string()));
  return keys;
}

// A file beside `file` with the pair in it, synced; its name is left in `name`.
result<void> write_beside(const std::filesystem::path& file, const curve_keypair& keys, std::string& name) {
  auto text = fmt::format("{}{}\npublic {}\nsecret {}\n", version_prefix, version, to_hex(keys.public_key),
                          to_hex(keys.secret_key));
  name = file.string() + ".XXXXXX";
  const file_descriptor out{::mkostemp(name.data(), O_CLOEXEC)}; // mode 0600
  if (out.get() < 0)
    return io_error("create it", file);
  const auto written = ::write(out.get(), text.data(), text.size());
  const bool done = written == static_cast<ssize_t>(text.size()) && ::fsync(out.get()) == 0;
  sodium_memzero(text.data(), text.size());
  if (!done) {
    const auto error = io_error("write it", file);
    (void)::unlink(name.c_str());
    return error;
  }
  return ok();
}

} // namespace

bool belong_together(const curve_keypair& keys) noexcept {
  curve_key derived;
  return crypto_scalarmult_base(derived.bytes.data(), keys.secret_key.bytes.data()) == 0
         && derived == keys.public_key;
}

result<curve_keypair> load_keypair(const std::filesystem::path& file) {
  const file_descriptor in{::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (in.get() < 0) {
    if (errno == ENOENT)
      return fail(
          errc::not_found,
          fmt::format("key file {}: there is none; restore it, or join again (skerry invite --edge ID)",
                      file.string()));
    return io_error("open it", file);
  }
  struct stat status {};
  if (::fstat(in.get(), &status) != 0)
    return io_error("look at it", file);
  if (!S_ISREG(status.st_mode))
    return fail(errc::malformed, fmt::format("key file {}: not a regular file", file.string()));
  if ((status.st_mode & 077) != 0)
    return fail(errc::forbidden,
                fmt::format("key file {}: others may read it (mode {:04o}); run: chmod 600 {}", file.string(),
                            static_cast<unsigned>(status.st_mode & 07777), file.string()));
  std::string text(file_bytes_max, '\0');
  const auto got = ::read(in.get(), text.data(), text.size());
  if (got < 0)
    return io_error("read it", file);
  auto keys = parse(std::string_view{text}.substr(0, static_cast<std::size_t>(got)), file);
  sodium_memzero(text.data(), text.size());
  return keys;
}

result<void> save_keypair(const std::filesystem::path& file, const curve_keypair& keys) {
  std::string name;
  BOOST_OUTCOME_TRYV(write_beside(file, keys, name));
  if (::rename(name.c_str(), file.c_str()) != 0) {
    const auto error = io_error("replace it", file);
    (void)::unlink(name.c_str());
    return error;
  }
  return sync_directory(file.parent_path());
}

result<curve_keypair> load_or_create_keypair(const std::filesystem::path& file) {
  auto loaded = load_keypair(file);
  if (loaded || loaded.error().code != errc::not_found)
    return loaded;
  const auto keys = make_keypair();
  std::string name;
  BOOST_OUTCOME_TRYV(write_beside(file, keys, name));
  // link() never replaces: the pair of whoever was first stays.
  const int linked = ::link(name.c_str(), file.c_str());
  const int code = errno;
  (void)::unlink(name.c_str());
  if (linked != 0) {
    if (code == EEXIST)
      return load_keypair(file);
    errno = code;
    return io_error("create it", file);
  }
  BOOST_OUTCOME_TRYV(sync_directory(file.parent_path()));
  return keys;
}

} // namespace skerry::link
