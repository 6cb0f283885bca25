#include "edge/spool/age_clock.hpp"

#include "edge/spool/files.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <xxhash.h>

namespace skerry::edge {

namespace {

constexpr std::uint64_t age_clock_bytes_max = 4096;
constexpr std::int64_t save_every_ns = std::chrono::nanoseconds{std::chrono::minutes{10}}.count();
static_assert(save_every_ns < expiry_clock::jump_min.count() / 2);
constexpr std::string_view age_clock_line = "skerry-age-clock 1\n";

std::string with_checksum(const std::string& note) {
  auto text = fmt::format("{}{}\n", age_clock_line, note);
  text += fmt::format("check {:016x}\n", XXH3_64bits(text.data(), text.size()));
  return text;
}

// nullopt: damaged.
std::optional<expiry_clock> parse(std::string_view text, std::chrono::nanoseconds jump_wait) {
  if (!text.starts_with(age_clock_line))
    return std::nullopt;
  const std::string note{
      text.substr(age_clock_line.size(), text.find('\n', age_clock_line.size()) - age_clock_line.size())};
  return with_checksum(note) == text ? expiry_clock::from_note(jump_wait, note) : std::nullopt;
}

double hours(std::chrono::nanoseconds time) {
  return std::chrono::duration<double, std::ratio<3600>>(time).count();
}

} // namespace

void age_clock::load(std::int64_t last_commit_ns) {
  const auto wall_ns = clock_.wall_ns();
  const auto bytes = read_whole_file(file_, age_clock_bytes_max);
  if (bytes)
    time_ = parse(as_text(bytes.value()), jump_wait_);
  if (bytes ? !time_ : bytes.error().code != errc::not_found)
    spdlog::warn("spool: {} is damaged and begun anew from the newest commit", file_.string());
  if (!time_)
    time_.emplace(jump_wait_, last_commit_ns == 0 ? wall_ns : std::min(wall_ns, last_commit_ns));
}

std::int64_t age_clock::now_ns() {
  const auto boot_ns = clock_.monotonic_ns();
  const auto now_ns = time_->now_ns(clock_.wall_ns(), boot_ns);
  const auto ahead_ns = time_->ahead().count();
  const bool told = ahead_ns_.exchange(ahead_ns) != 0;
  waits_.Set(ahead_ns != 0 ? 1 : 0);
  if (ahead_ns != 0 && !told && matters_)
    spdlog::warn(
        "spool: the clock says {:.1f} h more than has passed since this node last ran: nothing is deleted "
        "by that time before it has said so for {:.1f} h of running (spool.clock_jump_wait); set it right if "
        "it is wrong",
        hours(time_->ahead()), hours(jump_wait_));
  else if (ahead_ns == 0 && told && matters_)
    spdlog::info("spool: the clock is believed again; what is too old by it is deleted");
  if (!saved_ns_ || boot_ns - *saved_ns_ >= save_every_ns || told != (ahead_ns != 0))
    save();
  return now_ns;
}

void age_clock::save() {
  if (!time_)
    return;
  const bool tried = saved_ns_.has_value();
  const auto written = replace_file(file_, as_bytes(with_checksum(time_->note())));
  saved_ns_ = clock_.monotonic_ns(); // a full disk is not written to with every look
  if (!written && !tried)
    spdlog::warn("spool: the time that has passed cannot be noted, trying again: {}",
                 written.error().message);
}

} // namespace skerry::edge
