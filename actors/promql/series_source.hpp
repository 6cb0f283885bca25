#pragma once

// Where a query's samples come from: the narrow interface between the PromQL engine and a store, an edge's
// spool or a test.

#include "schemas/model/series.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace re2 {
class RE2;
}

namespace skerry::promql {

class query_memory;

enum class match_op : std::uint8_t { equal, not_equal, regex, not_regex };

// One `name op "value"`. Regular expressions are anchored, as in Prometheus. An absent label has the value
// "".
class matcher {
public:
  // invalid_argument: the expression does not compile (the message is RE2's).
  [[nodiscard]] static result<matcher> make(match_op op, std::string name, std::string value);

  [[nodiscard]] bool matches(std::string_view value) const;
  [[nodiscard]] match_op op() const noexcept { return op_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const std::string& value() const noexcept { return value_; }
  // What it takes as it is, and what matching may add to that.
  [[nodiscard]] std::uint64_t memory_bytes() const;
  [[nodiscard]] std::uint64_t matching_bytes() const noexcept { return matching_bytes_; }

private:
  match_op op_ = match_op::equal;
  std::string name_;
  std::string value_;
  std::shared_ptr<const re2::RE2> regex_;
  std::uint64_t matching_bytes_ = 0;
};

struct select_request {
  std::vector<matcher> matchers; // all must match
  std::int64_t from_ms = 0;      // samples with from <= t <= to
  std::int64_t to_ms = 0;
  // Hints: what is not wanted may be left out.
  std::int64_t step_ms = 0; // 0: all samples are wanted; else those in [t - span_ms, t],
  std::int64_t span_ms = 0; // where t is from_ms + span_ms and every step_ms after it
  bool newest_only = false; // of each series only the newest sample is wanted
  std::uint64_t samples_max = 50'000'000;
  const std::atomic<bool>* cancelled = nullptr; // polled; may be null
  query_memory* memory = nullptr;               // counts what the source holds meanwhile; may be null
};

// Whose data something is: what it is sharded, listed and accounted for by. Not a label.
struct host_name {
  std::string_view site;
  std::string_view host;
};

// Times ascending and unique; both spans are as long. Valid during the call only.
struct series_view {
  const labels& all;
  std::span<const std::int64_t> times_ms;
  std::span<const double> values; // stale markers included
  // Where it was read, one host mostly; series that follow each other of the same hosts have the same span. Empty where
  // nobody is accounted for.
  std::span<const host_name> hosts = {};
};

using each_series = std::function<void(const series_view&)>;

// What one request found, in shards: a series is in one of them, with all others of its hosts. How many there are and
// which hosts they hold follows from the data and the request, not from what is free: sums over shards come out the
// same each time. Must not outlive its source.
class selected {
public:
  virtual ~selected() = default;
  [[nodiscard]] virtual std::size_t shards() const = 0;
  // Calls work(shard) once for each, on as many threads as are free, the caller's among them; returns when all are done.
  // `work` must not throw.
  virtual void run(const std::function<void(std::size_t shard)>& work) = 0;
  // As series_source::select(), of one shard. Different shards may be read at once.
  virtual result<void> read(std::size_t shard, const each_series& each) = 0;
};

// What is known of a metric family somewhere.
struct family_metadata {
  std::string name;
  metric_type type = metric_type::unknown;
  std::string help;
  std::string unit;

  auto operator<=>(const family_metadata&) const = default;
};

// All methods may be called from several threads at once.
class series_source {
public:
  virtual ~series_source() = default;

  // Calls `each` once per series (by labels), in no stated order; one with no sample in the range may be left
  // out. exhausted: over samples_max; exhausted, unavailable: over a bound of its memory; cancelled.
  virtual result<void> select(const select_request& request, const each_series& each) = 0;
  // The same for whoever can read shards side by side. By default all is one shard.
  virtual result<std::unique_ptr<selected>> prepare(const select_request& request);
  // Label sets that match and have (or may have) samples in the range; each once.
  virtual result<void> series(const select_request& request,
                              const std::function<void(const labels&)>& each) = 0;
  // Sorted, unique. Without matchers: of everything in the range.
  virtual result<std::vector<std::string>> label_names(const select_request& request) = 0;
  virtual result<std::vector<std::string>> label_values(std::string_view name,
                                                        const select_request& request) = 0;
  // Sorted by name; one entry per distinct (type, help, unit).
  virtual result<std::vector<family_metadata>> metadata() = 0;
};

} // namespace skerry::promql
