#pragma once

// A store engine on a simulated disk: the contract of cloud/store/engine.hpp for writing, state and series sets;
// queries give nothing. `engine_disk` is what survives the process. Single-threaded.

#include "actors/base/planted.hpp"
#include "cloud/store/engine.hpp"
#include "simulator/world/mailbox.hpp"
#include "simulator/world/memory_scrubber.hpp"
#include "simulator/world/memory_sealer.hpp"
#include "simulator/world/memory_spool.hpp"
#include "simulator/world/oracle.hpp"

#include <deque>
#include <map>
#include <set>
#include <string>

namespace skerry::sim {

struct engine_image {
  struct stream {
    std::vector<std::uint8_t> data;                 // how often record 1, 2, … is stored
    range_set stones;                               // what tombstones stand for
    std::map<sequence, tombstone> tombstones;       // by the first that they stand for
    std::map<sequence, cloud::ledger_entry> ledger; // tombstones, and what was not collected
    [[nodiscard]] bool has_data(sequence seq) const { return seq <= data.size() && data[seq - 1] != 0; }
    [[nodiscard]] bool has(sequence seq) const { return has_data(seq) || stones.contains(seq); }
  };
  std::map<stream_key, stream> streams;
  std::map<std::string, std::string, std::less<>> state;
  std::set<std::string, std::less<>> forgotten; // keys of streams of which nothing is known any more
  std::map<std::pair<edge_id, set_hash>, series_set_ptr> sets;
  [[nodiscard]] bool has_forgotten(const stream_key& key) const;
  std::map<edge_id, edge_id> origins; // of the registry beside it
  sealing_image sealing;
  std::string damage_file; // of the damage_ledger; empty: there is none
  std::set<std::pair<std::string, edge_id>>
      spoken; // of which host what edge has brought something: kept for sure
};

// Whether an entry of the ledger is about [from, to].
[[nodiscard]] bool concerns(const cloud::ledger_entry& entry, std::int64_t from_ns, std::int64_t to_ns);

struct engine_disk {
  engine_image now;
  disk_health health;
  std::deque<engine_image> unsafe; // as of spool_disk
  void before_sync();              // that succeeds
};

class memory_engine final : public cloud::engine {
public:
  memory_engine(engine_disk& disk, scheduler& time, seeded_random& random, oracle& truth,
                const clock_source& clock, planted_faults planted);

  // The process dies: of what is being committed, the disk may have all or nothing, as `random` has it.
  void crash(bool torn);

  void append(cloud::append_request request, std::function<void(result<void>)> done) override;
  void put_state(std::vector<cloud::state_update> updates, std::function<void(result<void>)> done) override;
  result<void> scan_state(std::string_view prefix,
                          const std::function<void(std::string_view, std::string_view)>& each) override;
  series_set_ptr find_set(edge_id edge, const set_hash& hash) override;
  std::optional<std::size_t> series_in_set(edge_id edge, const set_hash& hash) override;
  // Of tombstones, of what was not collected, and of damage.
  result<void> ledger(std::int64_t from_ns, std::int64_t to_ns,
                      const std::function<void(const cloud::ledger_entry&)>& each) override;
  void own_damage(std::int64_t from_ns, std::int64_t to_ns,
                  const std::function<void(const cloud::ledger_entry&)>& each) override;
  cloud::engine_usage usage() const override { return {}; }
  result<void> select(const promql::select_request&,
                      const std::function<void(const promql::series_view&)>&) override {
    return ok();
  }
  result<void> series(const promql::select_request&, const std::function<void(const labels&)>&) override {
    return ok();
  }
  result<std::vector<std::string>> label_names(const promql::select_request&) override {
    return std::vector<std::string>{};
  }
  result<std::vector<std::string>> label_values(std::string_view, const promql::select_request&) override {
    return std::vector<std::string>{};
  }
  result<std::vector<promql::family_metadata>> metadata() override {
    return std::vector<promql::family_metadata>{};
  }

  // Before it is queued: what the shard has made of its part.
  std::function<void(const cloud::append_request&)> on_append;
  [[nodiscard]] bool committing() const noexcept { return !group_.empty(); }
  [[nodiscard]] const memory_scrubber& scrubber() const noexcept { return scrubber_; }

private:
  struct queued_request {
    cloud::append_request request;
    std::function<void(result<void>)> done;
  };

  void begin_group();
  void end_group();
  void apply(const cloud::append_request& request);

  engine_disk& disk_;
  scheduler& time_;
  seeded_random& random_;
  oracle& truth_;
  memory_sealer sealer_;
  memory_scrubber scrubber_;
  std::deque<queued_request> queue_;
  std::vector<queued_request> group_; // being committed
  bool gathering_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

bool lose_unsynced(engine_disk& disk, seeded_random& random, oracle& truth); // true: it lost something
void restore_image(engine_disk& disk, const engine_image& image, oracle& truth);

} // namespace skerry::sim
