#include "edge/spool/examiner.hpp"

#include "edge/spool/examine.hpp"
#include "edge/spool/files.hpp"
#include "edge/spool/segment.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace skerry::edge {

namespace {

using std::chrono::steady_clock;
constexpr std::chrono::milliseconds look_every{100}; // whether the node stops meanwhile
constexpr std::chrono::milliseconds reap_every{5};
constexpr std::chrono::milliseconds reap_for{2'000};
constexpr int pipe_bytes = 1 << 20;
constexpr std::uint64_t answer_bytes_besides =
    1 << 20; // an answer holds no more than the file, with part headers

// 0: started.
int spawn(const std::vector<std::string>& arguments, int output, pid_t& child) {
  std::vector<char*> argv;
  for (const auto& one : arguments)
    argv.push_back(const_cast<char*>(one.c_str())); // posix_spawn does not change them
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
  ::posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
  // What tells the node to stop may be sent to all its processes: the node ends its child itself, and knows then that
  // it was not the file that did it.
  sigset_t blocked;
  ::sigemptyset(&blocked);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT})
    ::sigaddset(&blocked, signal);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setsigmask(&attributes, &blocked);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  const int failed = ::posix_spawn(&child, argv.front(), &files, &attributes, argv.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&files);
  return failed;
}

} // namespace

segment_examiner::segment_examiner(examiner_config config, const std::atomic<bool>& stopping)
    : config_(std::move(config)), stopping_(stopping) {}

segment_examiner::~segment_examiner() {
  for (const auto child : unreaped_)
    ::waitpid(child, nullptr, WNOHANG);
}

segment_examiner::outcome segment_examiner::examine(const std::filesystem::path& directory, bool always) {
  outcome out;
  std::erase_if(unreaped_, [](pid_t child) { return ::waitpid(child, nullptr, WNOHANG) != 0; });
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    out.what = fmt::format("no pipe: {}", std::strerror(errno));
    return out;
  }
  const unique_fd from{ends[0]};
  static_cast<void>(::fcntl(from.get(), F_SETPIPE_SZ, pipe_bytes)); // only faster
  pid_t child = 0;
  {
    const unique_fd to{ends[1]};
    auto arguments = config_.command;
    if (always)
      arguments.emplace_back("--always");
    arguments.push_back(directory.string());
    if (const int failed = spawn(arguments, to.get(), child); failed != 0) {
      out.what = fmt::format("{} cannot be started: {}", arguments.front(), std::strerror(failed));
      return out;
    }
  }
  const auto file = file_bytes(data_file(directory));
  const auto deadline =
      steady_clock::now() + config_.time + examine_time_per_mib * static_cast<std::int64_t>((file >> 20) + 1);
  const auto answer_bytes_max = 2 * file + answer_bytes_besides;
  out.how = ending::answered;
  for (std::array<std::byte, 64 << 10> part;;) {
    if (stopping_) {
      out.how = ending::stopped;
      break;
    }
    if (steady_clock::now() >= deadline) {
      out.how = ending::timed_out;
      out.what = "the process that examined it took too long";
      break;
    }
    pollfd readable{from.get(), POLLIN, 0};
    if (::poll(&readable, 1, static_cast<int>(look_every.count())) <= 0)
      continue;
    const auto n = ::read(from.get(), part.data(), part.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      break;
    if (out.answer.size() > part.size() && out.answer.capacity() < file)
      out.answer.reserve(file + file / 4); // it holds records then: once, not doubled again and again
    out.answer.insert(out.answer.end(), part.data(), part.data() + n);
    if (out.answer.size() > answer_bytes_max) {
      out.how = ending::crashed;
      out.what = "the process that examined it wrote more than the file can hold";
      break;
    }
  }
  if (out.how != ending::answered)
    ::kill(child, SIGKILL);
  reap(child, out);
  return out;
}

void segment_examiner::reap(pid_t child, outcome& out) {
  int state = 0;
  pid_t ended = 0;
  bool killed = out.how != ending::answered;
  for (auto until = steady_clock::now() + reap_for;;) {
    ended = ::waitpid(child, &state, WNOHANG);
    if (ended != 0 && !(ended < 0 && errno == EINTR))
      break;
    if (steady_clock::now() >= until) {
      if (killed) {
        unreaped_.push_back(child);
        return;
      }
      ::kill(child, SIGKILL); // its answer is at its end, it is not
      killed = true;
      until = steady_clock::now() + reap_for;
    }
    std::this_thread::sleep_for(reap_every);
  }
  if (out.how != ending::answered || read_verdict(out.answer).whole)
    return;
  out.how = ending::crashed;
  if (ended > 0 && WIFSIGNALED(state))
    out.what = fmt::format("the process that examined it was ended by signal {}", WTERMSIG(state));
  else
    out.what = fmt::format("the process that examined it ended with code {} before it was done",
                           ended > 0 && WIFEXITED(state) ? WEXITSTATUS(state) : -1);
}

} // namespace skerry::edge
