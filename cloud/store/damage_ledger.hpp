#pragma once

// What of the store's own data was found damaged, and so is missing in answers: whose, and of which time. Whoever leaves
// something out notes it here; queries, the loss ledger and completeness say it from then on. A row goes when its time is
// past retention, not when the damaged file does.
//
// Kept in the file `<store>/damage`, in memory, and written by flush(). All methods may be called from any thread; only
// flush() waits for the disk.

#include "actors/base/planted.hpp"
#include "schemas/bytes.hpp"
#include "schemas/error.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace skerry::cloud {

struct store_metrics;

struct damage {
  std::string site; // with an empty host: of all its hosts; empty as well: of every host there is
  std::string host;
  std::int64_t from_ns = 0; // event time [from, to]; from 0: the start is not known
  std::int64_t to_ns = 0;
  std::uint64_t samples = 0; // 0: not known
  std::uint64_t thing = 0;   // tells what is damaged from all else that is of the same host: damaged_thing()

  [[nodiscard]] bool of_everyone() const noexcept { return site.empty() && host.empty(); }
};

// A number for a damaged thing, from what it is and where it lies: the same whenever it is found.
[[nodiscard]] std::uint64_t damaged_thing(std::string_view what, std::initializer_list<std::uint64_t> where);

// Where its rows are kept. Calls wait for the disk.
struct damage_file {
  std::string name; // for people
  std::function<result<std::string>()>
      read; // not_found: nothing was ever written; exhausted: too much is there
  std::function<result<void>(std::string_view)>
      write; // in the place of what was there; on stable storage on return
};

class damage_ledger {
public:
  // Beyond, rows of one host become one over all their time; then those of one site, then all.
  static constexpr std::size_t rows_max_default = 4096;

  damage_ledger(const std::filesystem::path& file, store_metrics& metrics,
                std::size_t rows_max = rows_max_default);
  // `planted`: by the simulator alone.
  damage_ledger(damage_file file, store_metrics& metrics, std::size_t rows_max, planted_faults planted);

  // Reads what was found before. Where both copies in the file are damaged, everything up to `now_ns` may be missing, and
  // a row says so. unsupported_version: written by a newer build; io.
  [[nodiscard]] result<void> load(std::int64_t now_ns);
  // True where it was not known: then it is counted under `what` and logged, once for all. Answers say it from here on;
  // `changed` is called.
  bool note(damage found, const char* what, std::string_view why);
  // What was noted is on stable storage on return. exhausted, io: it is still known, and flush() is to be called again.
  [[nodiscard]] result<void> flush();
  void forget_before(std::int64_t time_ns);
  // Those that overlap [from, to].
  void each(std::int64_t from_ns, std::int64_t to_ns, const std::function<void(const damage&)>& each) const;
  [[nodiscard]] std::size_t size() const;

  std::function<void()> changed; // something is to be flushed; set before there are threads, called on any

private:
  struct row {
    damage what;
    bool merged = false; // of several things: any that it covers is known
  };

  [[nodiscard]] bool knows(const damage& found) const; // the lock is held
  void add(damage found, bool merged);
  void fold();
  void show() const;
  [[nodiscard]] byte_buffer encode() const;
  [[nodiscard]] result<bool> decode(bytes_view copy); // false: damaged

  const damage_file file_;
  store_metrics& metrics_;
  const std::size_t rows_max_;
  const planted_faults planted_;
  std::mutex writing_;
  mutable std::mutex mutex_;
  std::map<std::uint64_t, row> rows_;
  std::uint64_t version_ = 0; // of rows_
  std::uint64_t written_ = 0; // the version that the file has
};

} // namespace skerry::cloud
