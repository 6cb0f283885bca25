// How many processes and threads there are, by state. A process with one thread is read once, not twice: that
// is every kernel thread and most daemons. Bounded by tasks_max and, as /proc gets slow with many tasks, by
// time_max.

#include "edge/collect/host/factories.hpp"
#include "edge/collect/host/files.hpp"
#include "edge/collect/host/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <unistd.h>

namespace skerry::edge::host {

namespace {

constexpr std::size_t tasks_between_clocks = 64; // the deadline is looked at this often

struct close_directory {
  void operator()(DIR* d) const noexcept { ::closedir(d); }
};
using directory_stream = std::unique_ptr<DIR, close_directory>;

directory_stream open_stream(int at, const char* name) noexcept {
  const int fd = ::openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return nullptr;
  directory_stream stream(::fdopendir(fd));
  if (!stream)
    ::close(fd);
  return stream;
}

bool is_number(const char* name) noexcept { return *name >= '0' && *name <= '9'; }

struct task {
  char state = 0;
  std::uint64_t threads = 0;
};

class processes_collector final : public collector {
public:
  explicit processes_collector(const collector_context& context)
      : clock_(context.clock),
        proc_(context.config.proc),
        tasks_max_(context.config.tasks_max),
        time_max_ns_(context.config.time_max.count()),
        threads_max_(context.config.proc / "sys/kernel/threads-max"),
        pid_max_(context.config.proc / "sys/kernel/pid_max") {}

  result<void> collect(family_sink& sink) override {
    processes_ = 0;
    threads_ = 0;
    looked_at_ = 0;
    states_.fill(0);
    thread_states_.fill(0);
    BOOST_OUTCOME_TRYV(count());
    sink.single("node_processes_threads", metric_type::gauge, "Threads of all processes.", number(threads_));
    BOOST_OUTCOME_TRY(threads_max, limit(threads_max_));
    sink.single("node_processes_max_threads", metric_type::gauge, "Threads that the host allows.",
                threads_max);
    open_family by_state{"node_processes_state", metric_type::gauge,
                         "Processes in each state, as ps(1) names them."};
    add(sink, by_state, "state", states_);
    open_family by_thread_state{"node_processes_threads_state", metric_type::gauge, "Threads in each state."};
    add(sink, by_thread_state, "thread_state", thread_states_);
    BOOST_OUTCOME_TRY(pid_max, limit(pid_max_));
    sink.single("node_processes_pids", metric_type::gauge, "Processes.", number(processes_));
    sink.single("node_processes_max_processes", metric_type::gauge, "Process ids that the host allows.",
                pid_max);
    return ok();
  }

private:
  using counts = std::array<std::uint64_t, 128>; // by state letter

  static double number(std::uint64_t v) noexcept { return static_cast<double>(v); }

  static void add(family_sink& sink, open_family& family, std::string_view label, const counts& all) {
    for (std::size_t c = 0; c < all.size(); ++c) {
      const char letter = static_cast<char>(c);
      if (all[c] > 0)
        sink.add(family, number(all[c]), {{label, {&letter, 1}}});
    }
  }

  result<double> limit(kept_file& file) {
    BOOST_OUTCOME_TRY(content, file.read(buffer_));
    const auto value = parse_number<std::uint64_t>(trim(content));
    if (!value)
      return fail(errc::malformed, fmt::format("{} is not a number", file.path().native()));
    return number(*value);
  }

  result<void> count() {
    const auto all = open_stream(AT_FDCWD, proc_.c_str());
    if (!all)
      return fail(errc::io, fmt::format("cannot list {}", proc_.native()));
    const std::int64_t deadline = clock_.monotonic_ns() + time_max_ns_;
    char path[NAME_MAX + 8];
    while (const dirent* entry = ::readdir(all.get())) {
      if (!is_number(entry->d_name))
        continue;
      BOOST_OUTCOME_TRYV(within_bounds(deadline));
      task process;
      append(path, entry->d_name, "/stat");
      if (!read_task(::dirfd(all.get()), path, process))
        continue; // has ended
      ++processes_;
      threads_ += process.threads;
      ++states_[slot_of(process.state)];
      if (process.threads <= 1) {
        ++thread_states_[slot_of(process.state)];
        continue;
      }
      append(path, entry->d_name, "/task");
      BOOST_OUTCOME_TRYV(count_threads(::dirfd(all.get()), path, deadline));
    }
    return ok();
  }

  result<void> count_threads(int proc, const char* path, std::int64_t deadline) {
    const auto tasks = open_stream(proc, path);
    if (!tasks)
      return ok(); // has ended
    char name[NAME_MAX + 8];
    while (const dirent* entry = ::readdir(tasks.get())) {
      if (!is_number(entry->d_name))
        continue;
      BOOST_OUTCOME_TRYV(within_bounds(deadline));
      task thread;
      append(name, entry->d_name, "/stat");
      if (read_task(::dirfd(tasks.get()), name, thread))
        ++thread_states_[slot_of(thread.state)];
    }
    return ok();
  }

  result<void> within_bounds(std::int64_t deadline) {
    if (++looked_at_ > tasks_max_)
      return fail(errc::exhausted,
                  fmt::format("more than tasks_max = {} processes and threads; raise it, or disable "
                              "the collector \"processes\"",
                              tasks_max_));
    if (looked_at_ % tasks_between_clocks == 0 && clock_.monotonic_ns() > deadline)
      return fail(errc::timeout, "too many processes and threads to look at within time_max");
    return ok();
  }

  static std::size_t slot_of(char state) noexcept { return static_cast<unsigned char>(state) & 127u; }

  template <std::size_t N>
  static void append(char (&to)[N], const char* name, std::string_view suffix) noexcept {
    const std::string_view front(name);
    const std::size_t length = std::min(front.size(), N - suffix.size() - 1);
    std::copy_n(front.data(), length, to);
    std::copy_n(suffix.data(), suffix.size(), to + length);
    to[length + suffix.size()] = '\0';
  }

  // "12 (a name) S 1 …", where the name may hold anything; the number of threads is the 18th word after the
  // name.
  static bool read_task(int at, const char* path, task& to) noexcept {
    const int fd = ::openat(at, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
      return false;
    char text[1024];
    const ssize_t n = ::read(fd, text, sizeof text);
    ::close(fd);
    if (n <= 0)
      return false;
    std::string_view rest(text, static_cast<std::size_t>(n));
    const auto name_end = rest.rfind(')');
    if (name_end == std::string_view::npos)
      return false;
    rest.remove_prefix(name_end + 1);
    const auto state = next_word(rest);
    for (int skipped = 0; skipped < 16; ++skipped)
      static_cast<void>(next_word(rest));
    const auto threads = parse_number<std::uint64_t>(next_word(rest));
    if (state.size() != 1 || !threads)
      return false;
    to = {state[0], *threads};
    return true;
  }

  clock_source& clock_;
  std::filesystem::path proc_;
  std::size_t tasks_max_;
  std::int64_t time_max_ns_;
  kept_file threads_max_;
  kept_file pid_max_;
  std::string buffer_;
  std::uint64_t processes_ = 0;
  std::uint64_t threads_ = 0;
  std::size_t looked_at_ = 0;
  counts states_{};
  counts thread_states_{};
};

} // namespace

collector_ptr make_processes(const collector_context& context) {
  return std::make_unique<processes_collector>(context);
}

} // namespace skerry::edge::host
