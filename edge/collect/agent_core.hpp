#pragma once

// What the agent actor does, without CAF: which source of a host is due, up to when the host is complete (watermarks),
// and what was due and did not happen (records of what was not collected).
//
// What a turn costs does not grow with the sources that are not due: a host may have all of a node's. One thread at a
// time.

#include "actors/base/clock.hpp"
#include "edge/collect/agent_source.hpp"
#include "edge/collect/pause_watch.hpp"
#include "schemas/model/payload.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace skerry::edge {

class agent_core {
public:
  struct outputs {
    std::function<void(collection)> send; // to the gateway
    std::function<void(std::uint64_t)> missed =
        {}; // collections that were due and did not happen; may be empty
  };

  // `clock` outlives the core.
  agent_core(std::string host, clock_source& clock, outputs out)
      : host_(std::move(host)), clock_(clock), out_(std::move(out)) {}

  // Nothing of it counts as missing before now. Does not collect: run_due() does.
  void add(std::shared_ptr<agent_source> source);
  // What it has under way is nobody's any more.
  void remove(const agent_source& source);
  [[nodiscard]] bool has(const agent_source& source) const { return sources_.contains(&source); }

  // Collects what is due. How long until it should be called again; sooner does no harm.
  [[nodiscard]] std::chrono::nanoseconds run_due();
  // What was under way is done. Of a source that was removed: nothing.
  void on_collected(const agent_source& source, collection made);

private:
  struct entry {
    std::shared_ptr<agent_source> source;
    std::int64_t due_ns = 0;
    std::int64_t sample_ns = 0; // of what is under way, or was last
    bool under_way = false;
    std::int64_t complete_ns = 0;      // collected up to here
    std::int64_t silent_since_ns = 0;  // it has not answered since; 0: it answers
    std::int64_t skipped_since_ns = 0; // the first that was due since while one was under way; 0: none
    std::uint64_t skipped = 0;
  };
  struct earlier {
    bool operator()(const entry* a, const entry* b) const noexcept {
      return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a < b;
    }
  };

  [[nodiscard]] std::int64_t complete_through() const;
  void watch(const entry& of, std::int64_t due_ns) const;
  void set_due(entry& of, std::int64_t due_ns);
  void set_complete(entry& of, std::int64_t time_ns);
  [[nodiscard]] pending_record gap_of(std::int64_t from_ns, std::int64_t to_ns, loss_cause cause,
                                      std::string detail) const;
  void send(collection from);
  void note_gaps(entry& from, collection& to);
  void collect(entry& from, std::int64_t now_ns);
  void finish(entry& from, collection made);
  void follow_clock();
  void note_pause(std::int64_t now_ns);

  std::string host_;
  clock_source& clock_;
  outputs out_;
  std::unordered_map<const agent_source*, entry> sources_;
  std::set<entry*, earlier> due_;
  std::vector<entry*> first_;            // that go first; few
  std::multiset<std::int64_t> complete_; // of all sources
  std::int64_t watermark_ns_ = 0;
  std::int64_t looked_ns_ = 0; // wall clock of the last turn
  pause_watch pauses_;
};

} // namespace skerry::edge
