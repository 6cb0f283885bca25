#pragma once

// From which time on stored data changed since somebody looked: what a cache of answers must know. Appends change from
// their oldest sample on, deletions from the beginning of time. Bounded: who looked too long ago hears that everything
// changed. Thread-safe.

#include <cstdint>
#include <deque>
#include <mutex>

namespace skerry::cloud {

class data_changes {
public:
  // Once the change can be read, before anyone is told of it.
  void note(std::int64_t from_ns);
  void note_all() { note(INT64_MIN); }
  // Take it before reading, keep it with what was read.
  [[nodiscard]] std::uint64_t version() const;
  // Samples at and after this time (ns) may have been added, replaced or removed since `version`; INT64_MAX: none were.
  [[nodiscard]] std::int64_t changed_since(std::uint64_t version) const;

private:
  struct change {
    std::uint64_t version;
    std::int64_t from_ns;
  };
  mutable std::mutex mutex_;
  std::uint64_t version_ = 1;
  std::uint64_t forgotten_ = 0; // the newest that is not in changes_ and was not overtaken by one that is
  std::deque<change> changes_;  // both ascending: a change is gone once a later one goes back as far
};

} // namespace skerry::cloud
