#include "edge/spool/commit_clock.hpp"

#include "edge/spool/files.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <charconv>
#include <string>
#include <utility>
#include <xxhash.h>

namespace skerry::edge {

namespace {

constexpr std::uint64_t commit_clock_bytes_max = 4096;
constexpr std::string_view commit_clock_line = "skerry-commit-clock 1\n";

std::string to_text(const clock_stamp& stamp) {
  auto text = fmt::format("{}{:02x} {} {}\n", commit_clock_line, fmt::join(stamp.boot, ""), stamp.offset_ns,
                          stamp.since_ns);
  text += fmt::format("check {:016x}\n", XXH3_64bits(text.data(), text.size()));
  return text;
}

// nullopt: damaged.
std::optional<clock_stamp> parse(std::string_view text) {
  clock_stamp out;
  if (!text.starts_with(commit_clock_line))
    return std::nullopt;
  auto at = text.data() + commit_clock_line.size();
  const auto end = text.data() + text.size();
  for (auto& byte : out.boot) {
    if (end - at < 2 || std::from_chars(at, at + 2, byte, 16).ec != std::errc{})
      return std::nullopt;
    at += 2;
  }
  for (auto* number : {&out.offset_ns, &out.since_ns}) {
    if (at == end || *at++ != ' ')
      return std::nullopt;
    const auto read = std::from_chars(at, end, *number);
    if (read.ec != std::errc{})
      return std::nullopt;
    at = read.ptr;
  }
  return to_text(out) == text ? std::optional{out} : std::nullopt;
}

} // namespace

std::int64_t commit_clock::load(std::span<const std::int64_t> commits) {
  std::optional<clock_stamp> before;
  if (const auto bytes = read_whole_file(file_, commit_clock_bytes_max))
    before = parse(as_text(bytes.value()));
  else if (bytes.error().code != errc::not_found)
    spdlog::warn("spool: {} cannot be read: {}", file_.string(), bytes.error().message);
  const auto now = clock_stamp::of(clock_, boot_);
  const auto newest_ns =
      before.value_or(clock_stamp{}).newest_by(now, commits); // without one, as of another boot
  last_ns_ = commits.empty() ? now.since_ns : newest_ns - now.offset_ns;
  return newest_ns;
}

void commit_clock::note() {
  auto now = clock_stamp::of(clock_, boot_);
  now.since_ns = last_ns_;
  if (written_ && written_->holds(now))
    return;
  if (const auto written = replace_file(file_, as_bytes(to_text(now)))) {
    written_ = now;
    told_ = false;
  } else if (!std::exchange(told_, true)) {
    spdlog::warn("spool: how the clock is set cannot be noted, trying again: {}", written.error().message);
  }
}

} // namespace skerry::edge
