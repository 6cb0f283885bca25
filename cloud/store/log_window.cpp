#include "cloud/store/log_window.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace skerry::cloud {

result<bool> frame_rows::read(log_reader& log, const frame_ref& at, const frames_of& whose) {
  const auto decoded = [&]() -> result<void> {
    BOOST_OUTCOME_TRY(record, log.record(at.record));
    return decode_frame(record.payload, decoder_, frame_);
  }();
  if (decoded)
    return true;
  if (!is_damage(decoded.error()))
    return decoded.error();
  whose.damages.note(lost_frame(whose.log_id, whose.source, at), "frame", decoded.error().message);
  return false;
}

log_window::log_window(const head_source& source) {
  for (const auto& set : source.sets)
    widths_.push_back(set->count());
  present_.resize(source.width);
}

bool log_window::has(std::size_t frames) const {
  const std::lock_guard lock{mutex_};
  return rows_ >= std::min(frames, window_rows);
}

void log_window::note_read_without(std::size_t frames) {
  const std::lock_guard lock{mutex_};
  read_without_ += frames;
}

bool log_window::worth_extending(std::size_t frames, std::size_t wanted) const {
  const std::lock_guard lock{mutex_};
  return rows_ + read_without_ + wanted >= frames;
}

result<bool> log_window::extend(std::span<const frame_ref> frames, log_reader& log, frame_rows& scratch,
                                const frames_of& whose) {
  const std::lock_guard lock{mutex_};
  if (rows_ >= frames.size())
    return false;
  read_without_ = 0;
  if (rows_ == 0 && frames.size() >= window_rows) { // the memory comes back at once, when it is packed
    values_ = std::move(scratch.rows_);
    values_.clear();
  }
  values_.reserve(std::min(frames.size(), window_rows) * present_.size());
  for (; rows_ < std::min(frames.size(), window_rows); ++rows_) {
    times_ns_[rows_] = frames[rows_].time_ns;
    ascending_ = ascending_ && (rows_ == 0 || times_ns_[rows_ - 1] <= times_ns_[rows_]);
    values_.resize((rows_ + 1) * present_.size());
    BOOST_OUTCOME_TRY(sound, scratch.read(log, frames[rows_], whose));
    if (sound)
      add(scratch.content());
  }
  if (rows_ == window_rows)
    pack(scratch);
  return true;
}

void log_window::add(const frame& from) {
  std::size_t column = 0;
  std::size_t next = 0;
  auto* const to = values_.data() + rows_ * present_.size();
  const auto row = std::uint32_t{1} << rows_;
  for (std::size_t s = 0; s < widths_.size() && s < from.sections.size(); ++s) {
    const auto& present = from.sections[s].present;
    const auto known = std::min<std::size_t>(widths_[s], from.sections[s].series_count);
    for (std::size_t i = 0; i < known; ++i) {
      if (!present.empty() && (present[i / 64] >> (i % 64) & 1) == 0)
        continue;
      to[column + i] = from.values[next++];
      present_[column + i] |= row;
    }
    column += widths_[s];
  }
}

void log_window::pack(frame_rows& scratch) {
  auto& out = scratch.columns_;
  out.clear();
  const auto width = present_.size();
  offsets_.resize(width);
  for (std::size_t c = 0; c < width; ++c) {
    const auto value = [&](std::size_t row) { return values_[row * width + c]; };
    const auto at = static_cast<std::uint32_t>(out.size());
    const auto bits = present_[c];
    const auto first = value(bits == 0 ? 0 : static_cast<std::size_t>(std::countr_zero(bits)));
    bool constant = true;
    for (std::size_t r = 0; r < rows_ && constant; ++r)
      constant = (bits >> r & 1) == 0
                 || std::bit_cast<std::uint64_t>(value(r)) == std::bit_cast<std::uint64_t>(first);
    offsets_[c] = constant ? at | constant_bit : at;
    if (constant)
      out.push_back(first);
    else
      for (std::size_t r = 0; r < rows_; ++r)
        out.push_back(value(r));
  }
  scratch.rows_ = std::exchange(values_, std::vector<double>(out.begin(), out.end()));
}

std::size_t log_window::read(const part& what, series_column& to) const {
  const std::lock_guard lock{mutex_};
  const auto values = values_of(what.column);
  const auto before = to.times.size();
  for (std::size_t r = 0; r < std::min(what.frames, rows_); ++r)
    if (values.in(what, r, times_ns_[r])) {
      to.times.push_back(times_ns_[r]);
      to.values.push_back(values.at(r));
    }
  return to.times.size() - before;
}

std::size_t log_window::read_newest(const part& what, series_column& to) const {
  const std::lock_guard lock{mutex_};
  const auto values = values_of(what.column);
  auto newest = rows_;
  for (auto r = std::min(what.frames, rows_); r-- > 0;)
    if (values.in(what, r, times_ns_[r]) && (newest == rows_ || times_ns_[r] > times_ns_[newest])) {
      newest = r;
      if (ascending_)
        break;
    }
  if (newest == rows_)
    return 0;
  std::size_t samples = 0;
  for (std::size_t r = 0; r <= newest; ++r)
    if (times_ns_[r] == times_ns_[newest] && values.in(what, r, times_ns_[r])) {
      to.add(times_ns_[r], values.at(r));
      ++samples;
    }
  return samples;
}

std::size_t log_window::memory_bytes() const {
  const std::lock_guard lock{mutex_};
  return sizeof *this + values_.capacity() * sizeof(double)
         + (present_.capacity() + offsets_.capacity()) * sizeof(std::uint32_t)
         + widths_.capacity() * sizeof(std::size_t);
}

} // namespace skerry::cloud
