#pragma once

// What a receiver does not take, as a sender remembers it: some records, a stream, all of an edge, or everything. It stays
// in the spool and is not sent. After a while one record of it is tried (a probe): if that is acknowledged the rest goes
// again, else the wait doubles. What only has to wait for room or repair is tried within half a minute, what needs a
// person within an hour. Kept over sessions. Not thread-safe; no I/O.

#include "actors/base/backoff.hpp"
#include "actors/base/clock.hpp"
#include "actors/delivery/refused_records.hpp"
#include "actors/link/messages.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace skerry::delivery {

struct set_aside_config {
  std::chrono::nanoseconds soon_min =
      std::chrono::seconds{1}; // between two probes of what is refused for now
  std::chrono::nanoseconds soon_max = std::chrono::seconds{30};
  std::chrono::nanoseconds rare_min = std::chrono::minutes{1}; // of what is refused for what it is
  std::chrono::nanoseconds rare_max = std::chrono::hours{1};
  std::size_t ranges_max = 1024; // of one stream; beyond, all of the stream is set aside
};

// For listings.
struct set_aside_view {
  link::refusal_scope scope = link::refusal_scope::stream;
  stream_key key; // of the scope `edge` only its edge counts, of `everything` nothing
  link::refusal_reason reason = link::refusal_reason::not_now;
  std::string message; // the receiver's words
  std::int64_t since_wall_ns = 0;
  std::uint64_t records = 0; // pending ones
};

class set_asides {
public:
  // What is set aside together. Of `key` only that counts which the scope needs; the rest is as constructed.
  using name = std::pair<link::refusal_scope, stream_key>;

  struct entry {
    link::refusal_reason reason;
    std::string message;
    std::int64_t since_wall_ns;
    backoff wait;
    std::int64_t due_ns = 0; // monotonic: when the next probe may go
    range_set ranges;        // of the scope `batch`
    range_set alone;         // of the scope `batch`: those that were refused when they came alone
    sequence cursor = 1;     // of the scope `batch`: where the next probe begins
    std::optional<std::pair<stream_key, sequence_range>> probe; // under way
  };

  set_asides(const set_aside_config& config, clock_source& clock, random_source& random)
      : config_(config), clock_(clock), random_(random) {}

  [[nodiscard]] static name name_of(const link::refusal& refusal);

  // True: it was not set aside before.
  bool add(const link::refusal& refusal);
  // The receiver's word on whole edges, at the begin of a session: no other edge is refused for what its key may do.
  // Gives those that were not set aside before.
  std::vector<edge_id> only_these_edges(const std::vector<edge_id>& refused);
  // Acknowledged. Gives what is taken again, and forgets it.
  std::vector<std::pair<name, entry>> on_acked(const stream_key& key, const range_set& ranges);
  void on_unanswered(const stream_key& key, sequence_range range);
  void on_session_over(); // probes under way are lost
  void clear() noexcept { entries_.clear(); }

  [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
  // Nothing of this stream is to be sent, save probes.
  [[nodiscard]] bool blocks(const stream_key& key) const;
  // These records are not to be sent; null: none.
  [[nodiscard]] const range_set* ranges(const stream_key& key) const;
  // What waits for a person. Not what came together with it: that may be taken when it comes alone.
  [[nodiscard]] refused_records for_good() const;
  // Something that it is part of waits for a person as well.
  [[nodiscard]] bool within_another(const name& of) const;
  [[nodiscard]] std::map<name, entry>& entries() noexcept { return entries_; }
  [[nodiscard]] const std::map<name, entry>& entries() const noexcept { return entries_; }

private:
  entry& make(const name& of, link::refusal_reason reason, std::string message);
  void wait(entry& of) { of.due_ns = clock_.monotonic_ns() + of.wait.next().count(); }

  set_aside_config config_;
  clock_source& clock_;
  random_source& random_;
  std::map<name, entry> entries_; // a sender adds only what it has pending
};

} // namespace skerry::delivery
