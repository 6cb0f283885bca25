#include "cloud/tool/fleet.hpp"
#include "cloud/tool/format.hpp"
#include "cloud/tool/options.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <poll.h>
#include <set>
#include <sys/ioctl.h>
#include <unistd.h>

namespace skerry::cloud {

using nlohmann::json;
using steady = std::chrono::steady_clock;

namespace {

volatile std::sig_atomic_t stop_asked = 0;
void ask_to_stop(int) { stop_asked = 1; }

// Ctrl-C ends the display, not the program's manners. The signals are open only while we wait, so none is
// missed.
class signal_guard {
public:
  signal_guard() {
    sigset_t stopping;
    sigemptyset(&stopping);
    sigaddset(&stopping, SIGINT);
    sigaddset(&stopping, SIGTERM);
    sigprocmask(SIG_BLOCK, &stopping, &before_);
    struct sigaction action {};
    action.sa_handler = ask_to_stop;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
  }
  ~signal_guard() { sigprocmask(SIG_SETMASK, &before_, nullptr); }
  signal_guard(const signal_guard&) = delete;
  signal_guard& operator=(const signal_guard&) = delete;

  void wait(std::chrono::nanoseconds time) const {
    if (time <= std::chrono::nanoseconds::zero())
      return;
    const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
    const timespec limit{seconds.count(), (time - seconds).count()};
    ppoll(nullptr, 0, &limit, &before_);
  }

private:
  sigset_t before_{};
};

struct screen_size {
  std::size_t columns = 80;
  std::size_t lines = 24;
};

screen_size terminal_size() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0)
    return {size.ws_col, size.ws_row};
  return {};
}

// Draws over what it drew before; on anything but a terminal it writes on.
class display {
public:
  void show(const std::string& text) {
    if (terminal_) {
      if (drawn_ > 0)
        fmt::print("\x1b[{}A\x1b[J", drawn_);
      drawn_ = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
    }
    fmt::print("{}", text);
    std::fflush(stdout);
  }
  [[nodiscard]] bool terminal() const noexcept { return terminal_; }

private:
  bool terminal_ = ::isatty(STDOUT_FILENO) == 1;
  std::size_t drawn_ = 0;
};

std::string first_lines(const std::string& text, std::size_t lines) {
  std::size_t at = 0;
  for (; lines > 0; --lines) {
    const auto end = text.find('\n', at);
    if (end == std::string::npos)
      return text;
    at = end + 1;
  }
  return text.substr(0, at);
}

// On what is no terminal a line stands again only when something but its time has changed.
class changed_lines {
public:
  [[nodiscard]] std::string of(const std::string& text) {
    std::string out;
    std::set<std::string, std::less<>> now;
    for (std::size_t at = 0; at < text.size();) {
      const auto end = std::min(text.find('\n', at), text.size() - 1) + 1;
      const auto line = std::string_view{text}.substr(at, end - at);
      const auto said = line.substr(std::min(line.find(' '), line.size()));
      if (!told_.contains(said))
        out += line;
      now.emplace(said);
      at = end;
    }
    told_ = std::move(now);
    return out;
  }

private:
  std::set<std::string, std::less<>> told_; // as of the last time
};

// A moving table must fit the screen, or drawing over it would go wrong.
std::string frame_for_terminal(const endpoint& to, const json& sites) {
  const auto size = terminal_size();
  const auto title =
      fmt::format("skerry {} · {} · {} sites", to.name(), format_time(wall_seconds()), sites.size());
  auto text = title.substr(0, size.columns) + "\n" + status_table(sites).render(size.columns);
  constexpr std::size_t kept_free = 2;
  const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  if (size.lines > kept_free + 2 && lines > size.lines - kept_free) {
    text = first_lines(text, size.lines - kept_free - 1);
    text += fmt::format("… and {} more\n", lines - (size.lines - kept_free - 1));
  }
  return text;
}

int watch(const endpoint& to, const global_options& global, const status_options& options) {
  const signal_guard signals;
  api_client client{to, std::chrono::seconds{5}};
  display out;
  changed_lines changed;
  const auto begun = steady::now();
  int code = exit_ok;
  for (auto next = begun; stop_asked == 0; next += options.interval) {
    const auto sites = client.get("/api/v1/sites");
    if (!sites) { // it may come back: that is what one watches for
      code = sites.error().code == errc::unavailable ? exit_unreachable : exit_failure;
      const auto line = fmt::format("{} {}\n", format_time(wall_seconds()), printable(sites.error().message));
      if (out.terminal())
        out.show(line);
      else
        fmt::print(stderr, "{}", line);
    } else {
      code = exit_ok;
      if (global.json)
        fmt::print("{}\n", sites.value().dump(-1, ' ', false, json::error_handler_t::replace));
      else
        out.show(out.terminal() ? frame_for_terminal(to, sites.value())
                                : changed.of(status_lines(sites.value(), wall_seconds())));
      std::fflush(stdout);
    }
    next = std::max(next, steady::now() - options.interval); // a slow answer does not make a burst
    auto until = next + options.interval;
    if (options.duration.count() > 0) {
      if (steady::now() >= begun + options.duration)
        break;
      until = std::min(until, begun + options.duration);
    }
    signals.wait(until - steady::now());
    if (options.duration.count() > 0 && steady::now() >= begun + options.duration)
      break;
  }
  return code;
}

int once(const endpoint& to, const global_options& global) {
  api_client client{to};
  const auto ready = client.get_text("/-/ready");
  if (!ready)
    return report(ready.error());
  const auto sites = client.get("/api/v1/sites");
  if (!sites)
    return report(sites.error());
  const bool is_ready = ready.value().first == 200;
  if (global.json) {
    fmt::print("{}\n", json{{"ready", is_ready}, {"sites", sites.value()}}.dump(
                           2, ' ', false, json::error_handler_t::replace));
  } else {
    fmt::print("skerry-cloud at {}: {}\n", to.name(),
               is_ready ? "ready"
                        : printable(ready.value().second.substr(0, ready.value().second.find('\n'))));
    if (sites.value().empty())
      fmt::print("No site yet. `skerry invite --site NAME` makes a token that lets an edge node join.\n");
    else
      fmt::print("{}{}", status_table(sites.value()).render(), refused_lines(sites.value()));
  }
  return is_ready ? exit_ok : exit_failure;
}

} // namespace

int run_status(const global_options& global, const status_options& options) {
  const auto to = global.for_reading();
  if (!to)
    return report(to.error());
  return options.watch ? watch(to.value(), global, options) : once(to.value(), global);
}

} // namespace skerry::cloud
