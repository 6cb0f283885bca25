#include "actors/base/expiry_clock.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace skerry {

namespace {

constexpr std::int64_t drift_max_ns = 1'000'000'000; // between two calls, of an oscillator

std::int64_t saturating_add(std::int64_t a, std::int64_t b) noexcept {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum))
    return b > 0 ? INT64_MAX : INT64_MIN;
  return sum;
}

} // namespace

std::optional<expiry_clock> expiry_clock::from_note(std::chrono::nanoseconds jump_wait,
                                                    std::string_view note) {
  std::int64_t numbers[3] = {};
  for (auto& number : numbers) {
    const auto [end, ec] = std::from_chars(note.data(), note.data() + note.size(), number);
    if (ec != std::errc{})
      return std::nullopt;
    note.remove_prefix(static_cast<std::size_t>(end - note.data()));
    if (note.starts_with(' '))
      note.remove_prefix(1);
  }
  if (!note.empty() || numbers[2] < 0)
    return std::nullopt;
  expiry_clock clock{jump_wait, numbers[0]};
  if (numbers[1] > numbers[0])
    clock.claimed_ns_ = numbers[1];
  clock.waited_ns_ = numbers[2];
  return clock;
}

std::string expiry_clock::note() const {
  return fmt::format("{} {} {}", passed_ns_, claimed_ns_.value_or(passed_ns_), waited_ns_);
}

std::int64_t expiry_clock::now_ns(std::int64_t wall_ns, std::int64_t boot_ns) noexcept {
  const auto step = std::max<std::int64_t>(0, boot_ns - boot_ns_.value_or(boot_ns));
  boot_ns_ = boot_ns;
  // Back is followed at once: what is younger stays longer.
  passed_ns_ = std::min(saturating_add(passed_ns_, step), wall_ns);
  if (claimed_ns_) {
    waited_ns_ = saturating_add(waited_ns_, step);
    claimed_ns_ = std::min(saturating_add(*claimed_ns_, step), wall_ns);
    if (waited_ns_ >= jump_wait_ns_)
      passed_ns_ = std::max(passed_ns_, *claimed_ns_);
  }
  ahead_ns_ = 0;
  if (wall_ns <= saturating_add(passed_ns_, jump_min.count())) {
    claimed_ns_.reset();
    waited_ns_ = 0;
    if (wall_ns <= saturating_add(passed_ns_, drift_max_ns))
      passed_ns_ = wall_ns;
    return wall_ns;
  }
  if (!claimed_ns_ || waited_ns_ >= jump_wait_ns_) { // a jump, or one more after what is believed by now
    claimed_ns_ = wall_ns;
    waited_ns_ = 0;
    if (jump_wait_ns_ == 0)
      return passed_ns_ = wall_ns;
  }
  if (__builtin_sub_overflow(wall_ns, passed_ns_, &ahead_ns_))
    ahead_ns_ = INT64_MAX;
  return passed_ns_;
}

} // namespace skerry
