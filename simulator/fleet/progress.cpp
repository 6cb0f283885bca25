#include "simulator/fleet/progress.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <sys/ioctl.h>
#include <unistd.h>

namespace skerry::sim {

namespace {

constexpr double terminal_every_s = 0.25;
constexpr double plain_every_s = 10;
constexpr std::array<std::string_view, 6> phase_names{"joining", "opening",  "connecting",
                                                      "running", "draining", "stopping"};

std::string short_number(std::uint64_t n) {
  if (n < 100'000)
    return fmt::format("{}", n);
  if (n < 100'000'000)
    return fmt::format("{:.1f}k", static_cast<double>(n) / 1e3);
  return fmt::format("{:.1f}M", static_cast<double>(n) / 1e6);
}

} // namespace

std::string to_line(const fleet_progress& now) {
  using stage = fleet_progress::stage;
  auto out = fmt::format("{:<10} {:>5.0f} s", phase_names[static_cast<std::size_t>(now.now)], now.elapsed_s);
  if (now.now == stage::joining || now.now == stage::opening)
    return out + fmt::format("  {} of {} edges", now.done, now.edges);
  out += fmt::format("  edges {}/{} live, agents {}", now.live, now.edges, now.agents);
  if (now.now >= stage::running)
    out += fmt::format("  sent {} acked {} pending {}{}", short_number(now.samples.committed),
                       short_number(now.samples.acked), short_number(now.samples.pending()),
                       now.samples.dropped == 0 ? "" : " dropped " + short_number(now.samples.dropped));
  if (!now.faults.empty())
    out += "  [" + now.faults + "]";
  return out;
}

progress_display::progress_display(std::FILE* to) : to_(to), terminal_(::isatty(::fileno(to)) != 0) {}

void progress_display::show(const fleet_progress& now) {
  const bool next = now.now != last_;
  const auto every = terminal_ ? terminal_every_s : plain_every_s;
  if (!next && now.elapsed_s < last_s_ + every)
    return;
  last_ = now.now;
  last_s_ = now.elapsed_s;
  auto line = to_line(now);
  if (terminal_) {
    winsize size{};
    // A line that wraps could not be written over.
    if (::ioctl(::fileno(to_), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
      line.resize(std::min<std::size_t>(line.size(), size.ws_col - 1u));
    fmt::print(to_, "\r{}\x1b[K", line);
  } else {
    fmt::print(to_, "{}\n", line);
  }
  std::fflush(to_);
  shown_ = true;
}

void progress_display::finish() {
  if (terminal_ && shown_)
    fmt::print(to_, "\r\x1b[K");
  std::fflush(to_);
}

} // namespace skerry::sim
