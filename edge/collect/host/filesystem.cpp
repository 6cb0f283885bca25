// Size and free space of the mounted file systems.
//
// statfs(2) on a dead network mount does not return. Each mount is asked through the runner; one that does
// not answer within time_max is reported by node_filesystem_device_error and left alone until its call has
// returned. All mounts together get twice that: with one dead mount all others are still reported, with more
// they are from the next collection on.

#include "edge/collect/host/factories.hpp"
#include "edge/collect/host/name_filter.hpp"
#include "edge/collect/host/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <map>
#include <sys/vfs.h>
#include <unordered_set>

namespace skerry::edge::host {

namespace {

constexpr int times_for_all = 2;           // of time_max, for all mounts together
constexpr std::size_t mounts_max = 16'384; // of one collection; more is a fault of the host

struct mount {
  std::string_view device;
  std::string point;
  std::string_view type;
  bool read_only = false;
};

// The kernel writes blanks and backslashes in paths as "\040".
void unescape(std::string_view text, std::string& to) {
  const auto octal = [](char c) { return c >= '0' && c <= '7'; };
  to.clear();
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && octal(text[i + 1]) && octal(text[i + 2])
        && octal(text[i + 3])) {
      to += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      to += text[i];
    }
  }
}

bool has_option(std::string_view options, std::string_view wanted) noexcept {
  while (!options.empty()) {
    const auto one = options.substr(0, options.find(','));
    if (one == wanted)
      return true;
    options.remove_prefix(std::min(options.size(), one.size() + 1));
  }
  return false;
}

struct answer {
  struct statfs numbers {};
  int error = EIO; // until the call has said otherwise
};

class filesystem_collector final : public collector {
public:
  explicit filesystem_collector(const collector_context& context)
      : runner_(context.runner),
        clock_(context.clock),
        statfs_(context.statfs),
        time_max_(context.config.time_max),
        rootfs_(context.config.rootfs.lexically_normal().native()),
        of_init_(context.config.proc / "1/mounts"),
        of_self_(context.config.proc / "mounts"),
        excluded_points_(context.config.filesystem_mount_points_exclude),
        excluded_types_(context.config.filesystem_fs_types_exclude) {
    while (!rootfs_.empty() && rootfs_.back() == '/')
      rootfs_.pop_back(); // "" stands for "/"
  }

  result<void> collect(family_sink& sink) override {
    auto content = of_init_.read(buffer_);
    if (!content)
      content = of_self_.read(buffer_); // no process 1 to be seen: inside a container, or without the right
    BOOST_OUTCOME_TRY(rest, std::move(content));
    families to;
    seen_.clear();
    const std::int64_t deadline = clock_.monotonic_ns() + times_for_all * time_max_.count();
    std::string_view line;
    mount m;
    std::size_t mounts = 0;
    while (next_line(rest, line)) {
      if (++mounts > mounts_max)
        return fail(errc::exhausted, fmt::format("more than {} mounts", mounts_max));
      if (!parse(line, m))
        return fail(errc::malformed, "a line of /proc/mounts has fewer than 4 words");
      if (excluded_points_.matches(m.point) || excluded_types_.matches(m.type))
        continue;
      if (seen_.insert(fmt::format("{}\n{}\n{}", m.device, m.point, m.type)).second)
        add(sink, to, m, ask(m.point, deadline));
    }
    std::erase_if(stuck_, [](const auto& s) { return s.second->finished.load(); });
    return ok();
  }

private:
  struct families {
    open_family size{"node_filesystem_size_bytes", metric_type::gauge, "Size of the file system."};
    open_family free{"node_filesystem_free_bytes", metric_type::gauge, "Space that nothing uses."};
    open_family available{"node_filesystem_avail_bytes", metric_type::gauge,
                          "Space that users other than root can use."};
    open_family files{"node_filesystem_files", metric_type::gauge, "Inodes that the file system has."};
    open_family files_free{"node_filesystem_files_free", metric_type::gauge, "Inodes that nothing uses."};
    open_family read_only{"node_filesystem_readonly", metric_type::gauge, "1 where it is mounted read-only."};
    open_family device_error{"node_filesystem_device_error", metric_type::gauge,
                             "1 where the file system could not be asked, or did not answer in time."};
  };

  bool parse(std::string_view line, mount& m) const {
    m.device = next_word(line);
    const auto point = next_word(line);
    m.type = next_word(line);
    const auto options = next_word(line);
    if (options.empty())
      return false;
    unescape(point, m.point);
    if (!rootfs_.empty() && m.point.starts_with(rootfs_)) {
      m.point.erase(0, rootfs_.size());
      if (m.point.empty())
        m.point = "/";
    }
    m.read_only = has_option(options, "ro");
    return true;
  }

  // Null: no answer.
  std::shared_ptr<const answer> ask(const std::string& point, std::int64_t deadline) {
    const auto before = stuck_.find(point);
    if (before != stuck_.end()) {
      if (!before->second->finished.load())
        return nullptr;
      stuck_.erase(before);
    }
    const std::int64_t left = deadline - clock_.monotonic_ns();
    if (left <= 0)
      return nullptr;
    auto got = std::make_shared<answer>();
    auto job = std::make_shared<deadline_runner::job>();
    job->work = [got, path = rootfs_ + point, call = statfs_] {
      got->error = call(path.c_str(), &got->numbers) == 0 ? 0 : errno;
    };
    switch (runner_.run(job, std::min(time_max_, std::chrono::nanoseconds(left)))) {
    case deadline_runner::outcome::done: return got;
    case deadline_runner::outcome::late: stuck_.emplace(point, std::move(job)); return nullptr;
    case deadline_runner::outcome::refused: return nullptr;
    }
    return nullptr;
  }

  static void add(family_sink& sink, families& to, const mount& m, const std::shared_ptr<const answer>& got) {
    const label_view labels[] = {{"device", m.device}, {"fstype", m.type}, {"mountpoint", m.point}};
    const bool failed = !got || got->error != 0;
    sink.add(to.device_error, failed ? 1 : 0, labels);
    if (failed)
      return;
    const auto number = [](auto v) { return static_cast<double>(v); };
    const auto& n = got->numbers;
    const double block = number(n.f_bsize);
    sink.add(to.size, number(n.f_blocks) * block, labels);
    sink.add(to.free, number(n.f_bfree) * block, labels);
    sink.add(to.available, number(n.f_bavail) * block, labels);
    sink.add(to.files, number(n.f_files), labels);
    sink.add(to.files_free, number(n.f_ffree), labels);
    sink.add(to.read_only, m.read_only ? 1 : 0, labels);
  }

  deadline_runner& runner_;
  clock_source& clock_;
  collector_context::statfs_function statfs_;
  std::chrono::nanoseconds time_max_;
  std::string rootfs_;
  kept_file of_init_;
  kept_file of_self_;
  name_filter excluded_points_;
  name_filter excluded_types_;
  std::string buffer_;
  std::unordered_set<std::string> seen_;
  std::map<std::string, std::shared_ptr<deadline_runner::job>> stuck_; // by mount point
};

} // namespace

collector_ptr make_filesystem(const collector_context& context) {
  return std::make_unique<filesystem_collector>(context);
}

} // namespace skerry::edge::host
