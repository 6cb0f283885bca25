// The distribution, from os-release; read again when the file changes.

#include "edge/collect/host/factories.hpp"
#include "edge/collect/host/text.hpp"

#include <array>
#include <sys/stat.h>

namespace skerry::edge::host {

namespace {

struct field {
  std::string_view key; // in os-release
  std::string_view label;
};
constexpr field fields[] = {
    {"BUILD_ID", "build_id"},
    {"ID", "id"},
    {"ID_LIKE", "id_like"},
    {"IMAGE_ID", "image_id"},
    {"IMAGE_VERSION", "image_version"},
    {"NAME", "name"},
    {"PRETTY_NAME", "pretty_name"},
    {"VARIANT", "variant"},
    {"VARIANT_ID", "variant_id"},
    {"VERSION", "version"},
    {"VERSION_CODENAME", "version_codename"},
    {"VERSION_ID", "version_id"},
};
constexpr std::size_t id = 1;
constexpr std::size_t id_like = 2;
constexpr std::size_t os_name = 5;
constexpr std::size_t version_id = 11;

// A shell word: quotes off, backslashes inside double quotes undone.
std::string unquote(std::string_view text) {
  text = trim(text);
  if (text.size() < 2 || (text.front() != '"' && text.front() != '\'') || text.back() != text.front())
    return std::string(text);
  const bool escapes = text.front() == '"';
  text = text.substr(1, text.size() - 2);
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (escapes && text[i] == '\\' && i + 1 < text.size())
      ++i;
    plain += text[i];
  }
  return plain;
}

// "11.3.1" → 11.3
std::optional<double> major_minor(std::string_view version) noexcept {
  const auto end = version.find_first_not_of("0123456789");
  std::size_t length = end == std::string_view::npos ? version.size() : end;
  if (length < version.size() && version[length] == '.') {
    const auto minor_end = version.find_first_not_of("0123456789", length + 1);
    length = minor_end == std::string_view::npos ? version.size() : minor_end;
  }
  auto number = version.substr(0, length);
  if (number.ends_with('.'))
    number.remove_suffix(1);
  return parse_number<double>(number);
}

class os_collector final : public collector {
public:
  explicit os_collector(const collector_context& context)
      : files_{context.config.rootfs / "etc/os-release", context.config.rootfs / "usr/lib/os-release"} {}

  result<void> collect(family_sink& sink) override {
    BOOST_OUTCOME_TRYV(refresh());
    label_view labels[std::size(fields)];
    for (std::size_t i = 0; i < std::size(fields); ++i)
      labels[i] = {fields[i].label, values_[i]};
    open_family info{"node_os_info", metric_type::gauge, "1, with what os-release says of the distribution."};
    sink.add(info, 1, labels);
    if (const auto version = major_minor(values_[version_id]); version && *version > 0) {
      open_family number{"node_os_version", metric_type::gauge, "The distribution's version, as a number."};
      sink.add(number, *version,
               {{"id", values_[id]}, {"id_like", values_[id_like]}, {"name", values_[os_name]}});
    }
    return ok();
  }

private:
  result<void> refresh() {
    for (const auto& file : files_) {
      struct stat seen {};
      if (::stat(file.c_str(), &seen) != 0)
        continue;
      if (seen.st_ino == inode_ && seen.st_mtim.tv_sec == changed_.tv_sec
          && seen.st_mtim.tv_nsec == changed_.tv_nsec)
        return ok();
      std::string buffer;
      kept_file opened(file);
      BOOST_OUTCOME_TRY(rest, opened.read(buffer));
      inode_ = seen.st_ino;
      changed_ = seen.st_mtim;
      values_.fill({});
      std::string_view line;
      while (next_line(rest, line)) {
        const auto equals = line.find('=');
        if (equals == std::string_view::npos)
          continue;
        for (std::size_t i = 0; i < std::size(fields); ++i)
          if (trim(line.substr(0, equals)) == fields[i].key)
            values_[i] = unquote(line.substr(equals + 1));
      }
      return ok();
    }
    return fail(errc::not_found, "no os-release");
  }

  std::filesystem::path files_[2];
  ino_t inode_ = 0;
  timespec changed_{};
  std::array<std::string, std::size(fields)> values_;
};

} // namespace

collector_ptr make_os(const collector_context& context) { return std::make_unique<os_collector>(context); }

} // namespace skerry::edge::host
