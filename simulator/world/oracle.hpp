#pragma once

// What must be true, and what is: every record that a spool numbered, where its copies were destroyed by a fault of the
// world, and what a receiver claims. The first thing that must not be is kept as the run's violation. Single-threaded.

#include "schemas/model/range_set.hpp"
#include "schemas/model/record.hpp"
#include "simulator/world/scheduler.hpp"

#include <fmt/format.h>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace skerry::sim {

struct record_truth {
  std::int64_t time_ns = 0;
  std::uint32_t host = 0; // index into oracle::hosts; 0: none
  bool watermark = false;
  bool returned = false; // its commit returned to who asked
  bool damaged = false;  // a copy was destroyed where somebody can name it: a tombstone may stand for it
  bool beyond_knowing = false; // a copy was destroyed together with all that this node knew of it
  bool ahead = false;          // the cloud put one there, because its time is too far ahead
  bool forced_out = false;     // the limits of a spool put a tombstone in its place
  bool never_sent = false;     // and that spool's node had not sent it to anybody
  std::uint64_t sent_by = 0;   // bits of nodes
};

struct stream_truth {
  std::uint32_t node = 0;
  std::vector<record_truth> records; // of sequence 1, 2, …
  std::vector<std::pair<stream_key, sequence>>
      older; // that the disk knew when this epoch began, and their ends
  std::vector<std::pair<std::int64_t, std::int64_t>> not_collected; // times that a record names so
  std::vector<sim_time> silent; // how long at a time nothing was collected: before it began, and in pauses
};

// A record says that nothing was collected for longer than nothing was.
struct false_claim {
  edge_id edge = edge_id::none;
  std::uint32_t host = 0; // 0: all of that edge
  std::int64_t from_ns = 0;
  std::int64_t to_ns = 0;
};

class oracle {
public:
  explicit oracle(const scheduler& time) : time_(time) {}

  // What a run ends with. Only the first counts.
  template <class... T>
  void violated(fmt::format_string<T...> text, T&&... values) {
    if (!violation_.empty())
      return;
    rule_ = fmt::string_view{text}.data();
    violation_ = fmt::format("at {:.6f} s: {}", static_cast<double>(time_.now()) / second,
                             fmt::format(text, std::forward<T>(values)...));
  }
  [[nodiscard]] const std::string& violation() const noexcept { return violation_; }
  [[nodiscard]] const std::string& rule() const noexcept { return rule_; } // the same for what is alike

  stream_truth& begin_stream(const stream_key& key, std::uint32_t node);
  // `returned` false: it may be on the disk, and nobody was told.
  void on_numbered(const stream_key& key, sequence first, const std::vector<record_view>& records,
                   bool returned);
  void on_damaged(const stream_key& key, const range_set& ranges);
  void on_forgotten(const stream_key& key, const range_set& ranges);
  void on_ahead(const stream_key& key, sequence_range range);
  void on_sent(const stream_key& key, sequence_range range, std::uint32_t node);
  void on_forced_out(const stream_key& key, sequence_range range, std::uint32_t node);
  // For so long nothing was collected, whatever the clocks showed.
  void on_silent(const stream_key& key, sim_time how_long) { streams_[key].silent.push_back(how_long); }

  [[nodiscard]] std::uint32_t host_index(std::string_view name);
  // A frame of that host and time is numbered in this stream, or a record there says that it was not.
  [[nodiscard]] bool is_told(const stream_key& key, std::string_view host, std::int64_t time_ns);
  [[nodiscard]] const std::vector<false_claim>& false_claims() const noexcept { return false_claims_; }
  [[nodiscard]] sim_time now() const noexcept { return time_.now(); }
  [[nodiscard]] const record_truth* find(const stream_key& key, sequence seq) const;
  [[nodiscard]] std::map<stream_key, stream_truth>& streams() noexcept { return streams_; }
  // Watermark records of a host by their time: clones may have written several.
  [[nodiscard]] const std::vector<record_identity>* watermarks(std::uint32_t host,
                                                               std::int64_t time_ns) const;
  // The same, by the edge whose they are.
  [[nodiscard]] const std::map<edge_id, std::vector<std::pair<std::int64_t, record_identity>>>&
  speakers(std::uint32_t host) {
    return speakers_[host];
  }
  // Some disk went back to an older state: what it held then may not be known as held any more.
  void on_rollback() noexcept { rolled_back_ = true; }
  [[nodiscard]] bool rolled_back() const noexcept { return rolled_back_; }
  // Two disks hold, or held, the same records of the same epochs of this edge, or one held them before and does again.
  void on_copied(edge_id edge) { copied_.insert(edge); }
  [[nodiscard]] bool copied(edge_id edge) const { return copied_.contains(edge); }
  [[nodiscard]] bool anything_copied() const noexcept { return rolled_back_ || !copied_.empty(); }
  [[nodiscard]] std::uint64_t forced_out() const noexcept { return forced_out_; } // records
  [[nodiscard]] std::uint64_t commits() const noexcept { return commits_; }

private:
  const scheduler& time_;
  std::string violation_;
  std::string rule_;
  std::map<stream_key, stream_truth> streams_;
  std::map<std::string, std::uint32_t, std::less<>> hosts_;
  std::map<std::pair<std::uint32_t, std::int64_t>, std::vector<record_identity>> watermarks_;
  std::map<std::uint32_t, std::map<edge_id, std::vector<std::pair<std::int64_t, record_identity>>>> speakers_;
  record_truth* known(const stream_key& key, sequence seq);
  void check_claim(const stream_key& key, const record_view& record);

  std::vector<false_claim> false_claims_;
  std::uint64_t commits_ = 0;
  std::uint64_t forced_out_ = 0;
  bool rolled_back_ = false;
  std::set<edge_id> copied_;
};

} // namespace skerry::sim
