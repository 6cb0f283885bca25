// The part of place_reader that reads the write-ahead log.

#include "cloud/store/place_reader.hpp"

#include <algorithm>
#include <optional>

namespace skerry::cloud {

result<void> place_reader::find_columns(const head_hit& hit) {
  columns_.clear();
  const auto known = to_.size();
  for (const auto& section : hit.sections)
    to_.columns_of(hit.source->sets[section.number], site_beside(hit.source->edge, hit.source->site),
                   *section.members, columns_);
  return count_columns(known);
}

std::size_t place_reader::find_frames(const head_hit& hit) {
  // Copied under the lock: the writer may add to them meanwhile.
  return from_.logs[hit.log]->with_index([&](const log_index&) {
    const auto& all = hit.source->frames;
    auto from = all.begin();
    auto end = all.end();
    if (hit.source->ascending) {
      from = std::lower_bound(from, end, bounds_.from_ns,
                              [](const frame_ref& f, std::int64_t x) { return f.time_ns < x; });
      end = std::upper_bound(from, end, bounds_.to_ns,
                             [](std::int64_t x, const frame_ref& f) { return x < f.time_ns; });
    }
    const auto first = static_cast<std::size_t>(from - all.begin()) / window_rows;
    const auto last = (static_cast<std::size_t>(end - all.begin()) + window_rows - 1) / window_rows;
    frames_.assign(all.begin() + static_cast<std::ptrdiff_t>(first * window_rows),
                   all.begin() + static_cast<std::ptrdiff_t>(std::min(last * window_rows, all.size())));
    return first;
  });
}

result<void> place_reader::read_head(const head_hit& hit) {
  BOOST_OUTCOME_TRYV(find_columns(hit));
  const auto& env = *from_.logs[hit.log];
  const bool use_windows = parts_.cache.bytes_max() != 0 && hit.source->width <= window_columns_max;
  const auto first = find_frames(hit);
  std::optional<log_reader> log;
  const auto open_log = [&]() -> result<void> { // after the frames were looked up: it sees them all
    if (!log) {
      BOOST_OUTCOME_TRY(opened, env.read());
      log.emplace(std::move(opened));
    }
    return ok();
  };
  const auto wanted = [&](const frame_ref& f) {
    return bounds_.wants(f.time_ns, f.time_ns) && !(bounds_.newest_only && all_newer(f.time_ns));
  };
  room_ = bounds_.newest_only
              ? 1
              : static_cast<std::size_t>(std::count_if(frames_.begin(), frames_.end(), wanted));
  const auto windows = (frames_.size() + window_rows - 1) / window_rows;
  for (std::size_t i = 0; i < windows; ++i) {
    const auto number = bounds_.newest_only ? windows - 1 - i : i;
    const auto all = std::span<const frame_ref>{frames_}.subspan(
        number * window_rows, std::min(window_rows, frames_.size() - number * window_rows));
    auto part = all;
    while (!part.empty() && !wanted(part.back()))
      part = part.first(part.size() - 1);
    if (part.empty())
      continue;
    BOOST_OUTCOME_TRYV(go_on());
    const cache_key key{cached_kind::log_window,
                        env.cache_owner(),
                        {reinterpret_cast<std::uintptr_t>(hit.source), first + number},
                        0};
    auto window = use_windows ? parts_.cache.find<log_window>(key) : nullptr;
    if (!window && use_windows) {
      window = std::make_shared<log_window>(*hit.source);
      parts_.cache.put(key, window, window->memory_bytes());
    }
    if (window && window->has(all.size())) {
      BOOST_OUTCOME_TRYV(read_window(hit, *window, part.size()));
      continue;
    }
    BOOST_OUTCOME_TRYV(open_log());
    const auto here =
        bounds_.newest_only ? 1 : static_cast<std::size_t>(std::count_if(part.begin(), part.end(), wanted));
    // Filled with all that is there, for who comes next: so half of what that costs must be spent, too.
    if (!window || !window->worth_extending(std::max(part.size(), all.size() / 2), here)) {
      BOOST_OUTCOME_TRY(read, read_frames(hit, part, *log));
      if (window)
        window->note_read_without(read);
      continue;
    }
    BOOST_OUTCOME_TRY(changed, window->extend(all, *log, rows_, {*hit.source, env.id(), parts_.damages}));
    if (changed)
      parts_.cache.put(key, window, window->memory_bytes());
    BOOST_OUTCOME_TRYV(read_window(hit, *window, part.size()));
  }
  return ok();
}

result<void> place_reader::read_window(const head_hit& hit, const log_window& window, std::size_t frames) {
  std::size_t samples = 0;
  auto to = columns_.begin();
  for (const auto& section : hit.sections)
    for (const auto member : *section.members) {
      auto& column = to_[*to++];
      column.make_room(room_);
      const log_window::part what{hit.source->bases[section.number] + member, frames, bounds_.from_ns,
                                  bounds_.to_ns};
      samples += bounds_.newest_only ? window.read_newest(what, column) : window.read(what, column);
    }
  return count(samples);
}

result<std::size_t> place_reader::read_frames(const head_hit& hit, std::span<const frame_ref> frames,
                                              log_reader& log) {
  const frames_of whose{*hit.source, from_.logs[hit.log]->id(), parts_.damages};
  std::size_t read = 0;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const auto& ref = frames[bounds_.newest_only ? frames.size() - 1 - i : i];
    if (!bounds_.wants(ref.time_ns, ref.time_ns) || (bounds_.newest_only && all_newer(ref.time_ns)))
      continue;
    BOOST_OUTCOME_TRYV(go_on());
    ++read;
    BOOST_OUTCOME_TRY(sound, rows_.read(log, ref, whose));
    if (!sound)
      continue;
    const auto& f = rows_.content();
    std::size_t base = 0; // of the section's values in the frame: absent ones have no place there
    std::size_t samples = 0;
    auto to = columns_.begin();
    auto wanted = hit.sections.begin();
    for (std::uint32_t s = 0; wanted != hit.sections.end() && s < f.sections.size(); ++s) {
      const auto& section = f.sections[s];
      if (wanted->number == s) {
        for (const std::size_t member : *wanted->members) {
          auto& column = to_[*to++];
          const auto at_value = section.value_index(member);
          if (!at_value || (bounds_.newest_only && column.newest_ns > ref.time_ns))
            continue;
          column.make_room(room_);
          column.add(ref.time_ns, f.values[base + *at_value]);
          ++samples;
        }
        ++wanted;
      }
      base += section.value_count();
    }
    BOOST_OUTCOME_TRYV(count(samples));
  }
  return read;
}

} // namespace skerry::cloud
