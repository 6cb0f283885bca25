#pragma once

// A spool on a simulated disk: the contract of edge/spool/spool.hpp without files. `spool_disk` is what survives the
// process; it can be copied (an image, a clone), filled up, made slow, to fail, to flip bits and to lie about syncs.
// Single-threaded.

#include "actors/node/planted.hpp"
#include "edge/spool/spool.hpp"
#include "simulator/world/oracle.hpp"

#include <deque>
#include <map>
#include <optional>

namespace skerry::sim {

// The state of a disk's hardware.
struct disk_health {
  bool full = false;
  bool failing = false; // operations return errors now and then
  bool lying = false;   // a sync returns before the data is safe
  sim_time sync_min = 200 * microsecond;
  sim_time sync_max = 8 * millisecond;
};

struct spool_image {
  struct stored_record {
    shared_bytes bytes;
    std::uint64_t sequences = 1;
    bool flipped = false;
    std::vector<set_hash> sets; // that it names
  };
  struct stream {
    std::map<sequence, stored_record> records;
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
  std::map<stream_key, stream> streams;
  std::map<set_name, stored_set> sets;
  std::map<edge_id, edge_id> origins; // of this node's registry: edges behind an edge, and behind which
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
};

class memory_spool final : public edge::spool {
public:
  memory_spool(spool_disk& disk, edge_id edge, std::uint32_t node, clock_source& clock, seeded_random random,
               oracle& truth, planted_faults planted);

  // How much of a transaction that a crash interrupts reaches the disk: all of it, a torn part, nothing.
  enum class interrupted : std::uint8_t { no, all, torn };
  void interrupt(interrupted how) noexcept { interrupted_ = how; }

  const epoch_id& epoch() const noexcept override { return disk_.now.epoch; }
  const edge::open_report& report() const noexcept override { return report_; }
  result<run> commit(stream_id stream, std::span<const pending_record> records,
                     std::span<const series_set_ptr> sets) override;
  result<void> adopt(std::span<const run> runs, std::span<const adopted_set> sets) override;
  // Limits are not modelled: nothing can be forced out.
  std::optional<oldest_part> oldest() override { return std::nullopt; }
  result<void> replace(std::span<const run>) override { return fail(errc::not_found, "nothing is held"); }
  result<void> release(const stream_key& key, const range_set& ranges) override;
  result<std::optional<run>> read(const stream_key& key, sequence from, std::size_t bytes_max) const override;
  result<std::optional<series_set_ptr>> find_set(edge_id edge, const set_hash& hash) const override;
  std::vector<edge::stream_state> streams() const override;
  edge::spool_usage usage() const override { return {}; }
  result<void> close() override;

private:
  [[nodiscard]] result<void> writable(std::size_t bytes);
  void salvage() const; // what is flipped becomes lost
  void put(spool_image::stream& to, const record_view& record, std::uint64_t sequences);
  void synced();

  spool_disk& disk_;
  edge_id edge_;
  clock_source& clock_;
  mutable seeded_random random_;
  oracle& truth_;
  edge::open_report report_;
  interrupted interrupted_ = interrupted::no;
};

// What a crash of the machine does to what was not synced, as `random` has it.
void lose_unsynced(spool_disk& disk, edge_id own, seeded_random& random, oracle& truth);
// The disk is an older copy of itself from now on.
void restore_image(spool_disk& disk, const spool_image& image, edge_id own, oracle& truth);
// Some held records or sets are damaged; how many.
std::size_t flip_bits(spool_disk& disk, seeded_random& random);

} // namespace skerry::sim
