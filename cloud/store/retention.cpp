#include "cloud/store/retention.hpp"

#include "actors/base/files.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <xxhash.h>

namespace skerry::cloud {

namespace {

constexpr std::size_t file_bytes_max = 4096;
constexpr std::string_view first_line = "skerry-retention 1";
constexpr std::int64_t save_every_ns = std::chrono::nanoseconds{std::chrono::minutes{10}}.count();
static_assert(save_every_ns < expiry_clock::jump_min.count() / 2);

std::string with_checksum(std::string text) {
  text += fmt::format("check {:016x}\n", XXH3_64bits(text.data(), text.size()));
  return text;
}

} // namespace

void retention::gone::add(const gone& more) noexcept {
  from_ns = std::min(from_ns, more.from_ns);
  to_ns = std::max(to_ns, more.to_ns);
  samples += more.samples;
}

retention::retention(std::filesystem::path file, std::chrono::nanoseconds keep,
                     std::chrono::nanoseconds jump_wait, store_metrics& metrics)
    : file_(std::move(file)), keep_ns_(keep.count()), jump_wait_(jump_wait), metrics_(metrics) {}

void retention::load() {
  auto text = read_file(file_, file_bytes_max);
  if (!text) {
    if (text.error().code != errc::not_found)
      spdlog::warn("store: {}; what retention deleted before is not known any more", text.error().message);
    return;
  }
  const auto check = text.value().rfind("check ");
  const std::string_view body = std::string_view{text.value()}.substr(0, check);
  gone expired;
  char clock[128] = {};
  const bool sound = check != std::string::npos && with_checksum(std::string{body}) == text.value()
                     && std::sscanf(text.value().c_str(), // NOLINT: every field has a width
                                    "skerry-retention 1\nclock %127[-0-9 ]\nexpired %ld %ld %lu\n", clock,
                                    &expired.from_ns, &expired.to_ns, &expired.samples)
                            == 4;
  const auto parsed = sound ? expiry_clock::from_note(jump_wait_, clock) : std::nullopt;
  if (!parsed) {
    spdlog::warn("store: {} is damaged and begun anew; what retention deleted before is not known any more",
                 file_.string());
    return;
  }
  clock_ = *parsed;
  const std::lock_guard lock{mutex_};
  expired_ = expired;
}

std::int64_t retention::oldest_ns(std::int64_t wall_ns, std::int64_t boot_ns, std::int64_t newest_ns) {
  if (!clock_) // of a store that was made just now, or by an older build
    clock_.emplace(jump_wait_, newest_ns == INT64_MIN ? wall_ns : std::min(wall_ns, newest_ns));
  const auto now_ns = clock_->now_ns(wall_ns, boot_ns);
  const bool ahead = clock_->ahead().count() != 0;
  metrics_.retention_looks.Increment();
  metrics_.retention_waits.Set(ahead ? 1 : 0);
  if (ahead && !told_ && keep_ns_ != 0)
    spdlog::warn("store: the clock says {:.1f} h more than has passed since this node last ran: nothing is "
                 "deleted by that "
                 "time before it has said so for {:.1f} h of running (store.clock_jump_wait); set it right "
                 "if it is wrong",
                 std::chrono::duration<double, std::ratio<3600>>(clock_->ahead()).count(),
                 std::chrono::duration<double, std::ratio<3600>>(jump_wait_).count());
  told_ = ahead;
  if (unsaved_ || saved_ns_ == INT64_MIN || boot_ns - saved_ns_ >= save_every_ns) {
    saved_ns_ = boot_ns;
    save();
  }
  if (keep_ns_ == 0 || newest_ns == INT64_MIN)
    return INT64_MIN;
  std::int64_t oldest = INT64_MIN;
  return __builtin_sub_overflow(std::min(now_ns, newest_ns), keep_ns_, &oldest) ? INT64_MIN : oldest;
}

void retention::note(const gone& more) {
  {
    const std::lock_guard lock{mutex_};
    expired_.add(more);
  }
  save();
}

std::optional<retention::gone> retention::expired() const {
  const std::lock_guard lock{mutex_};
  return expired_.to_ns < expired_.from_ns ? std::nullopt : std::optional{expired_};
}

void retention::save() {
  std::string text;
  {
    const std::lock_guard lock{mutex_};
    text = fmt::format("{}\nclock {}\nexpired {} {} {}\n", first_line, clock_->note(), expired_.from_ns,
                       expired_.to_ns, expired_.samples);
  }
  const auto written = write_file_durably(file_, with_checksum(std::move(text)));
  unsaved_ = !written;
  if (!written && failure_lines_.allow())
    spdlog::warn("store: what retention deletes cannot be noted, trying again: {}", written.error().message);
}

} // namespace skerry::cloud
