#pragma once

// The cloud of the world: the real ingest, shards and table of hosts over a simulated engine. The adapters here do what
// cloud/ingest does with actors.

#include "cloud/ingest/clock_trust.hpp"
#include "cloud/ingest/held_clock.hpp"
#include "cloud/ingest/ingest_core.hpp"
#include "cloud/ledger/ledger.hpp"
#include "cloud/sites/host_table.hpp"
#include "simulator/world/cluster_journal.hpp"
#include "simulator/world/edge_node.hpp"
#include "simulator/world/memory_engine.hpp"

#include <unordered_map>

namespace skerry::sim {

class cloud_node final : public node, public link_server {
public:
  cloud_node(environment& env, std::string name);
  ~cloud_node() override;

  void add_downstream(edge_node& from) { downstream_.push_back(&from); }

  void start() override;
  void crash(crash_kind how) override;
  [[nodiscard]] bool running() const override { return process_ != nullptr; }
  [[nodiscard]] bool syncing() const override;
  [[nodiscard]] disk_health& health() override { return disk.health; }
  void take_image() override { image_ = disk.now; }
  void restore() override;
  [[nodiscard]] const engine_image& image() const noexcept { return image_; }

  answer dial(edge_id user) override;
  void on_client_message(const link::peer_id& from, edge_id user, link::message message) override;
  [[nodiscard]] std::uint64_t life() const override { return running() ? lives_ : 0; }
  // The node is lost, and another one of the cluster takes its place, once it is started. One that is no cluster is killed.
  void take_over();
  void lose_journal(sim_time until) { journal_away_until_ = until; } // nothing becomes safe before
  [[nodiscard]] std::uint64_t doubted_parts() const;                 // of all lives
  [[nodiscard]] std::uint64_t ahead_records() const;
  void revoke(edge_id user);
  void readmit(edge_id user) { authority.revoked.erase(user); }

  [[nodiscard]] std::vector<cloud::host_view> hosts() const;
  // What the cloud says of all hosts' data in that time. Precondition: running().
  [[nodiscard]] std::vector<cloud::host_coverage> coverage(std::int64_t from_ns, std::int64_t to_ns) const;
  // What an answer says that reads of that host about this moment; what the ledger says of the cloud's own disk.
  [[nodiscard]] std::vector<std::string> warnings(const std::string& site, const std::string& host,
                                                  std::int64_t time_ns) const;
  [[nodiscard]] std::vector<cloud::loss_entry> own_damage() const;
  [[nodiscard]] std::uint64_t scrubbed() const; // passes of this process
  [[nodiscard]] const delivery::receiver* receiver() const;

  engine_disk disk;
  sim_authority authority;

private:
  struct process;
  void check_acknowledged(const std::vector<link::stream_held>& claimed);
  [[nodiscard]] bool journal_away() const;
  void check_ahead(const cloud::append_request& request, std::int64_t wall_ns);
  void check_completeness();
  void check_speakers(const cloud::host_view& host);
  [[nodiscard]] std::size_t stored_marks(const std::string& host, edge_id edge);
  [[nodiscard]] bool speaks(const std::string& host, edge_id edge);
  [[nodiscard]] std::string missing_before(const record_identity& mark) const;

  std::vector<edge_node*> downstream_;
  std::unique_ptr<process> process_;
  seeded_random random_;
  engine_image image_;
  cluster_journal journal_;
  sim_time journal_away_until_ = 0;
  std::uint64_t lives_ = 0;
  std::uint64_t doubted_before_ = 0; // in lives before this one
  std::uint64_t ahead_before_ = 0;
  std::map<edge_id, std::int64_t> said_; // by edges to this process: their wall clock minus simulated time
  std::int64_t latest_ns_ = 0;           // that its clock ever showed
  std::map<std::pair<std::string, std::string>, std::int64_t>
      claimed_; // complete watermarks that were checked
  std::map<std::pair<std::string, edge_id>, std::int64_t>
      whole_; // of a host and an edge: the newest watermark that has everything before it
  // Of a host and an edge: watermarks that were stored when this process began, which may not know of them; since when
  // it has brought some.
  std::map<std::pair<std::string, edge_id>, std::size_t> before_;
  std::map<std::pair<std::string, edge_id>, sim_time> since_;
};

} // namespace skerry::sim
