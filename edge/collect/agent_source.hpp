#pragma once

// Something of a host that is collected time and again: the machine's own collectors, a scraped target, and whatever
// else comes (probes, files, listeners). An agent_core says when; a source does it.

#include "edge/collect/due_watch.hpp"
#include "edge/gateway/collection.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace skerry::edge {

// Due times are whole milliseconds of the wall clock. One thread at a time.
class agent_source {
public:
  virtual ~agent_source() = default;

  [[nodiscard]] virtual std::chrono::nanoseconds interval() const = 0;
  // When it is due for the first time; 0: at once.
  [[nodiscard]] virtual std::int64_t first_due(std::int64_t now_ns) const = 0;
  // The time that samples bear of what was due then and begins now: the due time where it is hardly late.
  [[nodiscard]] virtual std::int64_t sample_time(std::int64_t due_ns, std::int64_t now_ns) const = 0;
  // When it is due again after now, if the last that was begun bears `time_ns`.
  [[nodiscard]] virtual std::int64_t next_due(std::int64_t now_ns, std::int64_t time_ns) const = 0;
  // Begins, for samples of `time_ns`. What it gives is complete; nullopt: it is under way, and its owner calls
  // agent_core::on_collected when it is done. It is not called again before that.
  [[nodiscard]] virtual std::optional<collection> collect(std::int64_t time_ns,
                                                          std::int64_t monotonic_ns) = 0;
  // Of those that are due in one turn: what others cost does not make it late.
  [[nodiscard]] virtual bool goes_first() const { return false; }
  // One was due and the one before is still under way.
  virtual void note_skipped() {}
  // Whether the last that was collected found what it looks at. The time until it does again is reported as not collected.
  [[nodiscard]] virtual bool answers() const { return true; }
  [[nodiscard]] virtual std::string describe() const = 0;      // in such reports
  [[nodiscard]] virtual due_watch* watch() { return nullptr; } // is told when it is due; may be null
};

} // namespace skerry::edge
