#pragma once

// The second place of a cluster, where the world's cloud is one: what a node has acknowledged is durable on its disk, and
// safe once the journal has that disk's content, every few seconds. When the node is lost another one goes on with what the
// journal has. What the receiver, which knows one disk alone, calls safe, this says as the cluster would: `durable` first
// and `safe` later, `safe` alone, or `durable` after that. Single-threaded.

#include "actors/delivery/holdings.hpp"
#include "simulator/world/memory_engine.hpp"

#include <functional>
#include <map>
#include <vector>

namespace skerry::sim {

class cluster_journal {
public:
  using sending = std::function<void(const link::peer_id& to, const link::message& message)>;

  explicit cluster_journal(seeded_random random) : random_(random) {}

  // An Ack or Welcome of the receiver. `away`: the journal cannot be written at the moment.
  void answer(const link::peer_id& to, link::message message, bool away, const sending& send);
  // The journal takes what is on the disk, and what was acknowledged is safe; or it cannot, and that is durable at least.
  void write(const engine_disk& disk, const delivery::holdings& held, const sending& send);
  void cannot_write(const sending& send);

  void on_crash() { waiting_.clear(); } // the sessions are over
  // The disk went back to an older state, and so did everything beside it.
  void on_rollback(const engine_image& now);
  // The node is lost: this is on the disk of the one that takes over. How many records that takes back.
  std::uint64_t take_over(engine_disk& disk) const;

private:
  struct waiting { // for the journal
    link::peer_id to;
    std::uint64_t session = 0;
    std::vector<link::stream_held> ranges;
    std::uint64_t freed_bytes = 0;
    bool told = false;         // as durable
    bool durable_last = false; // is said once more, when it is safe
  };
  [[nodiscard]] link::message ack_of(const waiting& of, link::ack_level level) const;
  // What of it the journal has not.
  [[nodiscard]] std::vector<link::stream_held> not_safe(const std::vector<link::stream_held>& of) const;

  seeded_random random_;
  engine_image image_;
  std::map<stream_key, range_set> held_; // as the receiver knew when that was written
  std::vector<waiting> waiting_;
};

} // namespace skerry::sim
