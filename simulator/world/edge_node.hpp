#pragma once

// An edge node of the world: the real gateway, uplink and (for a gateway of others) downlink over a simulated spool.
// The adapters here do what edge/gateway, edge/uplink and edge/downlink do with actors.

#include "edge/downlink/downlink_core.hpp"
#include "edge/gateway/gateway_core.hpp"
#include "edge/uplink/spool_source.hpp"
#include "edge/uplink/uplink_core.hpp"
#include "simulator/world/mailbox.hpp"
#include "simulator/world/node.hpp"
#include "simulator/world/sim_authority.hpp"

#include <array>
#include <optional>

namespace skerry::sim {

// The states of a link's sending end that faults are counted by.
enum class protocol_state : std::uint8_t { down, greeting, live, draining, waiting };
inline constexpr std::size_t protocol_states = 5;
[[nodiscard]] std::string_view to_string(protocol_state state) noexcept;

// What the limits of a spool can do, for the summary.
enum class limit_act : std::uint8_t {
  dropped_for_bytes,
  dropped_for_age,
  dropped_for_disk,
  thinned,
  took_nothing,
  merged
};
inline constexpr std::size_t limit_acts = 6;
[[nodiscard]] std::string_view to_string(limit_act act) noexcept;

// What an uplink does about a quota, a limit of its bandwidth, and an address without a session, for the summary.
enum class uplink_act : std::uint8_t { no_backlog, thinned, alerts_only, exhausted, paced, failed_over };
inline constexpr std::size_t uplink_acts = 6;
[[nodiscard]] std::string_view to_string(uplink_act act) noexcept;

class edge_node final : public node, public link_server {
public:
  edge_node(environment& env, std::string name, std::uint32_t index, edge_id id, link_server& upstream,
            std::vector<std::string> hosts);
  ~edge_node() override;

  // It receives from edges further out, too.
  void become_gateway(const std::vector<edge_id>& joined);
  void add_downstream(edge_node& from) { downstream_.push_back(&from); }
  // Another node with the same key and a copy of the disk.
  [[nodiscard]] std::unique_ptr<edge_node> clone(std::string name, std::uint32_t index,
                                                 link_server& upstream) const;

  void start() override;
  void crash(crash_kind how) override;
  [[nodiscard]] bool running() const override { return process_ != nullptr; }
  [[nodiscard]] bool syncing() const override;
  [[nodiscard]] disk_health& health() override { return disk.health; }
  void take_image() override { image_ = disk.now; }
  void restore() override;
  [[nodiscard]] const spool_image& image() const noexcept { return image_; }
  void stop_in_order(); // commits, says goodbye, closes
  void stop_collecting() noexcept { collecting_ = false; }
  // Brings a record that its spool never had. False: it has no session now.
  bool forge(const stream_key& key, sequence seq);

  // link_server: towards edges further out
  answer dial(edge_id user) override;
  void on_client_message(const link::peer_id& from, edge_id user, link::message message) override;
  [[nodiscard]] std::uint64_t life() const override { return running() ? lives_ : 0; }

  [[nodiscard]] std::uint64_t lives() const noexcept { return lives_; } // processes so far
  void revoke(edge_id user);
  void readmit(edge_id user) { authority.revoked.erase(user); }

  [[nodiscard]] protocol_state state() const;
  [[nodiscard]] bool drained() const;
  [[nodiscard]] const delivery::sender* sender() const;
  [[nodiscard]] const delivery::receiver* receiver() const;
  void check_bounds();

  const edge_id id;
  const std::uint32_t index;
  spool_disk disk;
  spool_sizes sizes; // of its spool, and what that does when it is full; before start()
  edge::spool_limits_config limits;
  std::array<std::uint64_t, limit_acts> limits_acted{}; // records; of took_nothing: commits that were
                                                        // refused; of merged: tombstones
  // Of its uplink; before start().
  std::uint64_t bandwidth_bytes = 0; // a second, of runs; 0: whatever the link takes
  delivery::quota_config quota;
  std::size_t addresses = 1; // of its receiver
  sim_time failover_after = 20 * second;
  std::array<std::uint64_t, uplink_acts> uplink_acted{}; // ticks; of failed_over: how often
  sim_link up_link;
  sim_authority authority; // of edges further out
  bool is_gateway = false;
  std::uint16_t protocol = link::protocol_version; // that it claims to speak
  std::function<void()> on_state_seen;             // after each thing that its sender did
  // Totals over all processes.
  std::uint64_t sessions = 0;
  std::uint64_t custody_lost_told = 0; // to this sender, by its receiver

private:
  struct process;
  void connect(std::size_t address);
  void collect();
  void note_pause();
  void take(edge::collection gathered);
  void after_sender();

  link_server& upstream_;
  std::vector<std::string> hosts_;
  std::vector<edge_node*> downstream_;
  std::unique_ptr<process> process_;
  seeded_random random_;
  spool_image image_;
  std::uint64_t lives_ = 0;
  bool collecting_ = true;
  // Collected, and not in the spool when its process ended: nobody will see these.
  std::int64_t last_collected_ns_ = 0;
};

// A receiver writes records off: they are named as lost with their custody. Nobody who sends to it has them still.
void check_written_off(oracle& truth, std::string_view name, const std::vector<edge_node*>& senders,
                       const stream_key& key, const std::vector<record_view>& records);

} // namespace skerry::sim
