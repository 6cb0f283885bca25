#pragma once

// Decides what is too old to be kept, and says what went. Old is what lies further than the retention behind the newest
// stored sample and behind a time that does not jump with the wall clock (expiry_clock): neither a clock that stands
// ahead nor a store that nobody writes to any more loses anything by itself. What was deleted is added up in a small file,
// so that whoever asks about that time is told. The sealing thread's, but for expired(), which any thread may call.

#include "actors/base/expiry_clock.hpp"
#include "actors/base/log_limiter.hpp"
#include "cloud/store/engine.hpp"
#include "cloud/store/store_metrics.hpp"

#include <filesystem>
#include <mutex>
#include <optional>

namespace skerry::cloud {

class retention {
public:
  // All that was deleted since the store was made: between these times, not everything between them.
  struct gone {
    std::int64_t from_ns = INT64_MAX;
    std::int64_t to_ns = INT64_MIN; // inclusive
    std::uint64_t samples = 0;
    void add(const gone& more) noexcept;
  };

  // `keep` 0: everything is kept.
  retention(std::filesystem::path file, std::chrono::nanoseconds keep, std::chrono::nanoseconds jump_wait,
            store_metrics& metrics);
  // Reads the file; one that is damaged is begun anew, with a warning.
  void load();
  // Whether it knows what the time was when this store was last open; if not, look before anything new is stored.
  [[nodiscard]] bool knows_time() const noexcept { return clock_.has_value(); }
  // What ends before is past retention; INT64_MIN: nothing is. `newest_ns`: the newest sample stored; INT64_MIN: none.
  // Ask once a minute.
  [[nodiscard]] std::int64_t oldest_ns(std::int64_t wall_ns, std::int64_t boot_ns, std::int64_t newest_ns);
  // Call before it is deleted. Where the file cannot be written, that is logged and tried again: a full disk must not keep
  // the store from making room.
  void note(const gone& more);
  [[nodiscard]] std::optional<gone> expired() const;

private:
  void save();

  const std::filesystem::path file_;
  const std::int64_t keep_ns_;
  const std::chrono::nanoseconds jump_wait_;
  store_metrics& metrics_;
  std::optional<expiry_clock> clock_; // made with the first look
  std::int64_t saved_ns_ = INT64_MIN; // by the boot clock
  bool unsaved_ = false;
  log_limiter failure_lines_{1, std::chrono::minutes{10}};
  bool told_ = false;        // that the wall clock is ahead
  mutable std::mutex mutex_; // of what follows
  gone expired_;
};

} // namespace skerry::cloud
