#pragma once

// What the cloud knows of its hosts: when each was heard, how far its data is complete. One writer, the hosts actor
// (hosts.hpp), from what shards and ingest tell; the API reads. Any thread may call any method: readers wait for the
// writer and it for them, for a moment, and neither shards nor ingest wait for anybody here.

#include "actors/base/planted.hpp"
#include "cloud/ingest/committed_effects.hpp"
#include "cloud/ingest/host_admission.hpp"
#include "schemas/model/host.hpp"
#include "schemas/model/range_set.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace skerry::cloud {

// What one edge says of one host: of what it brought itself, and of nothing else.
struct host_statement {
  edge_id edge = edge_id::none; // edge_pushed: what was pushed to the cloud itself
  std::int64_t first_sample_ns = 0;
  std::int64_t live_watermark_ns = 0;
  std::int64_t complete_watermark_ns = 0;
  bool ended = false; // it speaks for the host no longer: its key was revoked, or it goes on without the host
};

// A host is as complete as the least complete of the edges that speak for it: within a site any key may name any host.
struct host_view {
  std::string site;
  std::string host;
  edge_id edge = edge_id::none; // the last that it came from; edge_pushed: it never came from one
  std::uint64_t series = 0;     // with a value in the newest frames of each source
  std::uint64_t samples = 0;    // stored since this process started
  // When samples of it were seen first and last, by the clock of the node that collected or took them, never by times
  // that a target or a sender claims. 0: not yet.
  std::int64_t first_sample_ns = 0;
  std::int64_t last_sample_ns = 0;
  std::int64_t live_watermark_ns = 0; // the newest of all; 0: none yet
  std::int64_t complete_watermark_ns =
      0; // everything before is held or known as lost, of every edge that speaks for it
  std::vector<host_statement> statements; // by edge
  std::int64_t interval_ns = 0; // between two watermarks, at least; 0: not known since this process started

  // Known by what was pushed to the cloud alone: no edge says what there should be.
  [[nodiscard]] bool only_pushed() const noexcept { return edge == edge_pushed; }
};

class host_table {
public:
  // Tells `places` of each host that it knows, and of each that goes.
  explicit host_table(std::shared_ptr<host_admission> places = std::make_shared<host_admission>(),
                      planted_faults planted = nullptr)
      : places_(std::move(places)), planted_(planted) {}

  // What a shard has stored; what ingest says of streams. In whatever order they come, the same is known in the end.
  void apply(const committed_effects& what);
  void apply(const stream_news_list& news);

  // A frame of this host was stored.
  void on_frame(const std::string& site, std::string_view host, const frame_seen& frame);
  // The watermark of `host` at `time_ns` has sequence `seq` in `key`, and is stored.
  void on_watermark(const std::string& site, std::string_view host, const stream_key& key, sequence seq,
                    std::int64_t time_ns);
  // All sequences of `key` up to `through` are held; `older_epochs_complete`: so is every older epoch of its edge.
  void on_held(const stream_key& key, sequence through, bool older_epochs_complete);
  // Watermarks of this stream are given up, those that wait and those that come: nobody can say any more what goes before
  // them. Until on_held() says something of it again.
  void disown(const stream_key& key);
  // Nothing is said of this stream any more.
  void let_go(const stream_key& key);

  // The key of `edge` was revoked at `at_ns`, wall clock: with what it says of later times it speaks again.
  void end(edge_id edge, std::int64_t at_ns);

  using host_name = std::pair<std::string, std::string>; // site and host
  // By site and host. Taken a part at a time: the writer waits for no more.
  [[nodiscard]] std::vector<host_view> hosts() const;
  [[nodiscard]] std::vector<host_view> hosts(std::span<const host_name> these) const; // those that are known
  // Stored since this process started, of each edge; of what is pushed: of each site.
  [[nodiscard]] std::map<std::pair<edge_id, std::string>, std::uint64_t> samples() const;
  // Drops hosts of which nothing newer than `oldest_ns` was heard; those whose watermarks wait stay.
  void forget_before(std::int64_t oldest_ns);
  // What is to be kept over a restart, one value a host that changed since the last call (an empty one for a host
  // that was dropped); and how it comes back.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> take_changes();
  void restore(std::string_view key, std::string_view value);

private:
  // What of one series set is there now: what its newest whole frame had; all of it, where samples with times of their
  // own came of late.
  struct set_view {
    std::int64_t whole_ns = INT64_MIN;
    std::int64_t parts_ns = INT64_MIN;
    std::uint32_t series = 0;
    std::uint32_t all = 0;
    std::uint32_t counted = 0; // in the host's
  };
  struct spoken {
    host_statement what;
    std::int64_t seen_ns = 0;  // of its newest sample or watermark
    std::uint64_t samples = 0; // since this process started
  };
  struct host_entry {
    host_view view;              // without what its statements say
    std::vector<spoken> by_edge; // ascending; one, nearly always
    std::map<std::uint64_t, set_view> sets;
    std::int64_t swept_ns = 0; // when sets that are not heard of any more were last looked for
    bool changed = false;
  };
  static void begin_at(host_entry& of, spoken& by, std::int64_t seen_ns);
  static void count(host_entry& of, set_view& set, std::int64_t now_ns);
  static void sweep(host_entry& of, std::int64_t now_ns);
  struct open_watermark {
    sequence seq = 0;
    host_entry* host = nullptr;
    std::int64_t time_ns = 0;
  };
  // What ingest said of a stream, and watermarks that it does not cover yet.
  struct open_stream {
    std::deque<open_watermark> waiting; // by arrival; bounded
    sequence through = 0;
    bool older_complete = false;
    bool disowned = false;
  };

  // The lock is held in all of these.
  host_entry& entry(const std::string& site, std::string_view host);
  void take(host_entry& to, const frame_seen& frame);
  void take(host_entry& to, const stream_key& key, sequence seq, std::int64_t time_ns);
  void complete(const open_watermark& mark, edge_id edge);
  void held(const stream_key& key, sequence through, bool older_epochs_complete);
  spoken& speaker(host_entry& of, edge_id edge);
  [[nodiscard]] host_view told(const host_entry& of) const;
  [[nodiscard]] bool ended(const host_statement& one) const;

  const std::shared_ptr<host_admission> places_;
  const planted_faults planted_; // by the simulator alone
  mutable std::mutex mutex_;
  std::map<host_name, host_entry> hosts_;            // entries never move
  std::unordered_map<edge_id, std::int64_t> newest_; // the newest watermark of each edge
  std::map<edge_id, std::int64_t> revoked_;          // when
  std::vector<std::string> dropped_;                 // state keys
  std::map<stream_key, open_stream> open_;           // until ingest lets it go
};

} // namespace skerry::cloud
