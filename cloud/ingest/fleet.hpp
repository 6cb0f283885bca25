#pragma once

// What the cloud knows of its hosts: when each was heard, how far its data is complete. Shards and ingest write,
// the API reads; all methods may be called from any thread.

#include "schemas/model/host.hpp"
#include "schemas/model/range_set.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace skerry::cloud {

struct host_view {
  std::string site;
  std::string host;
  edge_id edge = edge_id::none;     // the last that it came from; edge_pushed: it never came from one
  std::uint64_t series = 0;         // with a value in the newest frame of each source
  std::uint64_t samples = 0;        // stored since this process started
  std::int64_t first_sample_ns = 0; // event time of the oldest; 0: none yet
  std::int64_t last_sample_ns = 0;
  std::int64_t live_watermark_ns = 0;     // 0: none yet
  std::int64_t complete_watermark_ns = 0; // everything before is held or known as lost

  // Known by what was pushed to the cloud alone: no edge says what there should be.
  [[nodiscard]] bool only_pushed() const noexcept { return edge == edge_pushed; }
};

class fleet {
public:
  // A frame of this host was stored. `source` names what produced it, so that its series are counted once.
  void on_frame(const std::string& site, std::string_view host, edge_id edge, std::uint64_t source,
                std::uint64_t series, std::int64_t time_ns);
  // The watermark of `host` at `time_ns` has sequence `seq` in `key`, and is stored.
  void on_watermark(const std::string& site, std::string_view host, const stream_key& key, sequence seq,
                    std::int64_t time_ns);
  // All sequences of `key` up to `through` are held; `older_epochs_complete`: so is every older epoch of its edge.
  // False: watermarks of this stream still wait for something before them.
  bool on_held(const stream_key& key, sequence through, bool older_epochs_complete);

  // Watermarks of this stream that wait are given up: nobody can say any more what goes before them. Later ones tell.
  void drop_waiting(const stream_key& key);

  using host_name = std::pair<std::string, std::string>;                              // site and host
  [[nodiscard]] std::vector<host_view> hosts() const;                                 // by site and host
  [[nodiscard]] std::vector<host_view> hosts(std::span<const host_name> these) const; // those that are known
  // Drops hosts of which nothing newer than `oldest_ns` was heard.
  void forget_before(std::int64_t oldest_ns);
  // What is to be kept over a restart, one value a host that changed since the last call (an empty one for a host
  // that was dropped); and how it comes back.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> take_changes();
  void restore(std::string_view key, std::string_view value);

private:
  struct source_view {
    std::uint64_t series = 0;
    std::int64_t time_ns = 0;
  };
  struct host_entry {
    host_view view;
    std::map<std::uint64_t, source_view> sources;
    bool changed = false;
  };
  struct open_watermark {
    sequence seq = 0;
    host_entry* host = nullptr;
    std::int64_t time_ns = 0;
  };

  host_entry& entry(const std::string& site, std::string_view host);

  mutable std::mutex mutex_;
  std::map<host_name, host_entry, std::less<>> hosts_;    // entries never move
  std::vector<std::string> dropped_;                      // state keys
  std::map<stream_key, std::deque<open_watermark>> open_; // by ascending arrival; bounded
};

} // namespace skerry::cloud
