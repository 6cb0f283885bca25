#pragma once

// A spool on a simulated disk: the contract of edge/spool/spool.hpp without files. `spool_disk` is what survives the
// process; it can be copied (an image, a clone), filled up, made slow, to fail, to flip bits and to lie about syncs.
// Single-threaded.

#include "actors/base/planted.hpp"
#include "edge/spool/clock_stamp.hpp"
#include "edge/spool/spool.hpp"
#include "edge/uplink/usage.hpp"
#include "schemas/model/payload.hpp"
#include "simulator/world/oracle.hpp"

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <optional>

namespace skerry::sim {

// The state of a disk's hardware.
struct disk_health {
  static constexpr std::uint64_t unlimited = std::uint64_t{1} << 40;
  std::uint64_t room =
      unlimited;        // bytes that others leave to the spool (or, of the cloud: 0 when it is full)
  bool failing = false; // operations return errors now and then
  bool lying = false;   // a sync returns before the data is safe
  sim_time sync_min = 200 * microsecond;
  sim_time sync_max = 8 * millisecond;
};

// As of edge::spool_config.
struct spool_sizes {
  std::size_t drained_epochs_kept = 4; // of each edge and stream, in streams()
  std::uint64_t bytes_max = disk_health::unlimited;
  std::uint64_t segment_bytes = 2000;
  std::uint64_t reserve_bytes = 2000;
  std::uint64_t replace_bytes = 0;
  sim_time kept_for = 0; // what was released stays so long, where there is room; 0: it goes at once
};

struct spool_image {
  struct stored_record {
    shared_bytes bytes;
    std::uint64_t sequences = 1;
    bool flipped = false;
    std::vector<set_hash> sets; // that it names
    std::uint64_t segment = 0;  // that it lies in
    sim_time released_at = 0;   // of one that is kept
    bool taken_back = false;    // released once, and held again until the process ends
  };
  // Its bytes come back when none of its records is left, kept ones included.
  struct segment {
    std::uint64_t bytes = 0;
    std::uint64_t records = 0;
  };
  struct stream {
    std::map<sequence, stored_record> records;
    std::map<sequence, stored_record> kept; // released, and still here
    range_set held, released, lost;
    sequence last = 0;
  };
  struct stored_set {
    series_set_ptr set;
    bool flipped = false;
  };
  using set_name = std::pair<edge_id, set_hash>;

  epoch_id epoch;
  bool clean = true;
  std::int64_t last_commit_ns = 0;
  sim_time committed_at = 0; // then
  edge::clock_stamp stamp;   // of the clock that it was by
  std::map<stream_key, stream> streams;
  std::map<set_name, stored_set> sets;
  std::map<std::uint64_t, segment> segments; // by number
  std::uint64_t next_segment = 1;
  std::uint64_t active_segment = 0; // 0: the next record begins one
  std::uint64_t bytes = 0;          // of all segments
  // What is kept of these.
  [[nodiscard]] range_set kept_of(const stream_key& key, const range_set& of) const;
  std::map<edge_id, edge_id> origins; // of this node's registry: edges behind an edge, and behind which
  edge::kept_usage usage;             // in this node's usage file
};

struct spool_disk {
  spool_image now;
  disk_health health;
  // While it lies: what it was before each sync, newest last. A crash goes back to one of them.
  std::deque<spool_image> unsafe;
  // Released and not synced yet: a crash may forget these.
  struct release {
    stream_key key;
    sequence_range range;
    std::vector<std::pair<sequence, spool_image::stored_record>> records;
  };
  std::vector<release> unsynced_releases;
  std::map<stream_key, range_set> passed_on; // of streams that drained and were forgotten since
  std::uint64_t bytes_peak = 0;
};

class memory_spool final : public edge::spool {
public:
  memory_spool(spool_disk& disk, edge_id edge, std::uint32_t node, clock_source& clock, seeded_random random,
               oracle& truth, planted_faults planted, spool_sizes sizes = {});

  // How much of a transaction that a crash interrupts reaches the disk: all of it, a torn part, nothing.
  enum class interrupted : std::uint8_t { no, all, torn };
  void interrupt(interrupted how) noexcept { interrupted_ = how; }

  const epoch_id& epoch() const noexcept override { return disk_.now.epoch; }
  const edge::open_report& report() const noexcept override { return report_; }
  result<run> commit(stream_id stream, std::span<const pending_record> records,
                     std::span<const series_set_ptr> sets) override;
  result<void> adopt(std::span<const run> runs, std::span<const adopted_set> sets) override;
  std::optional<oldest_part> oldest(std::uint64_t after = 0) override;
  range_set in_closed_parts(const stream_key& key) const override;
  result<void> replace(std::span<const run> with) override;
  result<void> release(const stream_key& key, const range_set& ranges) override;
  range_set take_back(const stream_key& key, const range_set& ranges) const override;
  void trim_kept(bool all) override;
  result<std::optional<run>> read(const stream_key& key, sequence from, std::size_t bytes_max) const override;
  result<std::optional<series_set_ptr>> find_set(edge_id edge, const set_hash& hash) const override;
  std::vector<edge::stream_state> streams() const override;
  edge::spool_usage usage() const override { return {}; }
  std::int64_t age_time_ns() override { return clock_.wall_ns(); }
  result<void> close() override;

  [[nodiscard]] std::uint64_t free_disk() const noexcept {
    return disk_.health.room - std::min(disk_.health.room, disk_.now.bytes);
  }
  // Called before records of a stream are replaced by a tombstone: so many records, and so many tombstones.
  std::function<void(const stream_key&, sequence_range, const tombstone&, std::uint64_t, std::uint64_t)>
      on_forced_out;

private:
  [[nodiscard]] result<void> writable(std::size_t bytes, std::uint64_t beyond_limit = 0);
  void after_segment_gone();
  bool drop_kept(bool all); // the oldest, or all; false: there was none
  void salvage() const;     // what is flipped becomes lost
  void put(spool_image::stream& to, const record_view& record, std::uint64_t sequences);
  void synced();
  void load_last_commit();
  void check_replaced(const stream_key& key, const record_view& by, sequence_range range,
                      const std::vector<std::pair<sequence, spool_image::stored_record>>& before);

  spool_disk& disk_;
  edge_id edge_;
  clock_source& clock_;
  mutable seeded_random random_;
  oracle& truth_;
  spool_sizes sizes_;
  std::uint32_t node_;
  edge::open_report report_;
  bool ended_ = false; // the transaction that was interrupted is over
  interrupted interrupted_ = interrupted::no;
};

// What a crash of the machine does to what was not synced, as `random` has it.
void lose_unsynced(spool_disk& disk, edge_id own, seeded_random& random, oracle& truth);
// The disk is an older copy of itself from now on.
void restore_image(spool_disk& disk, const spool_image& image, edge_id own, oracle& truth);
// Some held records or sets are damaged; how many.
std::size_t flip_bits(spool_disk& disk, seeded_random& random);

} // namespace skerry::sim
