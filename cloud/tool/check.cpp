#include "cloud/tool/check.hpp"

#include "cloud/tool/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <memory>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace skerry::cloud {

namespace {

constexpr std::size_t configuration_bytes_max = 16 << 20;
constexpr std::size_t output_bytes_max = 4 << 20; // of a check; what is beyond is not shown
constexpr int exec_failed = 127; // what posix_spawn's child ends with when there is nothing to run

// Keys that only one of the two nodes has.
constexpr std::array<std::string_view, 6> edge_keys{"collect", "spool",          "uplink",
                                                    "host",    "scrape_configs", "global"};
constexpr std::array<std::string_view, 6> cloud_keys{"retention", "name",  "ingest",
                                                     "delivery",  "store", "query"};

std::string_view top_level_key(std::string_view line) {
  if (line.empty() || line.front() == ' ' || line.front() == '#' || line.front() == '-')
    return {};
  const auto colon = line.find(':');
  if (colon == std::string_view::npos)
    return {};
  auto key = line.substr(0, colon);
  if (key.size() > 2 && (key.front() == '"' || key.front() == '\'') && key.back() == key.front())
    key = key.substr(1, key.size() - 2);
  return key;
}

std::filesystem::path program_for(node_kind kind) {
  const std::filesystem::path name = kind == node_kind::edge ? "skerry-edge" : "skerry-cloud";
  std::error_code ignored;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", ignored);
  const auto beside = self.parent_path() / name;
  return ::access(beside.c_str(), X_OK) == 0 ? beside : name; // else whatever PATH has
}

// What a node's own check of a file ended with, and what it printed.
struct verdict {
  int code = exit_failure;
  std::string said;
  [[nodiscard]] std::size_t mistakes() const {
    return static_cast<std::size_t>(std::count(said.begin(), said.end(), '\n'));
  }
  [[nodiscard]] std::size_t suggestions() const {
    std::size_t out = 0;
    for (auto at = said.find("did you mean"); at != std::string::npos; at = said.find("did you mean", at + 1))
      ++out;
    return out;
  }
};

verdict run_check(node_kind kind, const std::filesystem::path& file) {
  verdict out;
  const auto program = program_for(kind).string();
  auto config = file.string();
  const std::unique_ptr<std::FILE, decltype(&std::fclose)> output{std::tmpfile(), &std::fclose};
  if (!output) {
    out.said = fmt::format("skerry: cannot make a temporary file: {}\n", std::strerror(errno));
    return out;
  }
  std::array<std::string, 5> arguments{program, "run", "--check-config", "--config", config};
  std::array<char*, 6> argv{};
  std::transform(arguments.begin(), arguments.end(), argv.begin(), [](std::string& a) { return a.data(); });
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ::fileno(output.get()), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, ::fileno(output.get()), STDERR_FILENO);
  pid_t child = 0;
  std::fflush(nullptr);
  const auto failed = ::posix_spawnp(&child, program.c_str(), &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  int state = 0;
  if (failed == 0)
    while (::waitpid(child, &state, 0) < 0 && errno == EINTR) {
    }
  if (failed != 0 || (WIFEXITED(state) && WEXITSTATUS(state) == exec_failed)) {
    out.said = fmt::format("skerry: cannot run {}: {}; install it beside skerry or in PATH\n", program,
                           std::strerror(failed != 0 ? failed : ENOENT));
    return out;
  }
  if (!WIFEXITED(state)) {
    out.said =
        fmt::format("skerry: {} ended by signal {} while it read {}\n", program, WTERMSIG(state), config);
    return out;
  }
  out.code = WEXITSTATUS(state) == 0 ? exit_ok : exit_failure;
  std::rewind(output.get());
  std::array<char, 4096> part{};
  while (out.said.size() < output_bytes_max) {
    const auto count = std::fread(part.data(), 1, part.size(), output.get());
    if (count == 0)
      break;
    out.said.append(part.data(), count);
  }
  return out;
}

int show(const verdict& from) {
  fmt::print(from.code == exit_ok ? stdout : stderr, "{}", from.said);
  return from.code;
}

// The file does not say what it is for: it is read as both, and the mistakes of what it resembles more are shown.
int check_as_both(const std::filesystem::path& file) {
  const auto edge = run_check(node_kind::edge, file);
  const auto cloud = run_check(node_kind::cloud, file);
  if (edge.code == exit_ok && cloud.code == exit_ok) {
    fmt::print("{}: the configuration is valid, for an edge node and for a cloud node\n", file.string());
    return exit_ok;
  }
  if (edge.code == exit_ok || cloud.code == exit_ok)
    return show(edge.code == exit_ok ? edge : cloud);
  const auto rank = [](const verdict& of) {
    return std::pair{of.mistakes(), of.mistakes() - std::min(of.mistakes(), of.suggestions())};
  };
  if (rank(edge) != rank(cloud)) {
    const bool is_edge = rank(edge) < rank(cloud);
    fmt::print(stderr, "{}: read as the configuration of {} node (--kind says otherwise):\n", file.string(),
               is_edge ? "an edge" : "a cloud");
    return show(is_edge ? edge : cloud);
  }
  fmt::print(stderr,
             "{}: as the configuration of an edge node:\n{}as that of a cloud node (--kind says which):\n{}",
             file.string(), edge.said, cloud.said);
  return exit_failure;
}

} // namespace

std::optional<node_kind> guess_kind(std::string_view configuration) {
  std::size_t edge = 0;
  std::size_t cloud = 0;
  while (!configuration.empty()) {
    const auto end = std::min(configuration.find('\n'), configuration.size());
    const auto key = top_level_key(configuration.substr(0, end));
    edge += static_cast<std::size_t>(std::count(edge_keys.begin(), edge_keys.end(), key));
    cloud += static_cast<std::size_t>(std::count(cloud_keys.begin(), cloud_keys.end(), key));
    configuration.remove_prefix(std::min(end + 1, configuration.size()));
  }
  if (edge == cloud)
    return std::nullopt;
  return edge > cloud ? node_kind::edge : node_kind::cloud;
}

int run_check_config(const check_options& options) {
  int code = exit_ok;
  for (const auto& file : options.files) {
    auto kind = options.kind == "edge"    ? std::optional{node_kind::edge}
                : options.kind == "cloud" ? std::optional{node_kind::cloud}
                                          : std::nullopt;
    if (!kind) {
      std::ifstream in{file, std::ios::binary};
      if (!in) {
        fmt::print(stderr, "skerry: cannot read {}: does it exist, and may you read it?\n", file.string());
        code = exit_failure;
        continue;
      }
      std::string text(configuration_bytes_max, '\0');
      in.read(text.data(), static_cast<std::streamsize>(text.size()));
      text.resize(static_cast<std::size_t>(std::max<std::streamsize>(in.gcount(), 0)));
      kind = guess_kind(text);
    }
    const auto name = file.filename().string(); // the keys say nothing: its name may
    if (!kind && name.find("edge") != std::string::npos)
      kind = node_kind::edge;
    if (!kind && name.find("cloud") != std::string::npos)
      kind = node_kind::cloud;
    code = std::max(code, kind ? show(run_check(*kind, file)) : check_as_both(file));
  }
  return code;
}

} // namespace skerry::cloud
