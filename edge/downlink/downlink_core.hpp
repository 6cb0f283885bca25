#pragma once

// A gateway's side towards edges further out, as a plain class: what the spool knows stands behind delivery::receiver.
// The downlink actor adapts it to messages, the simulator's world to its scheduler. Not thread-safe.

#include "actors/delivery/authority.hpp"
#include "actors/delivery/origin_board.hpp"
#include "edge/spool/spool.hpp"

#include <functional>
#include <map>
#include <memory>

namespace skerry::edge {

class downlink_core final : public delivery::authorized_backend {
public:
  struct outputs {
    std::function<void(delivery::delivery_job job)>
        store;                                      // to the spool's writer; ends in receiver::on_stored
    std::function<void(std::uint64_t ticket)> held; // later, not within the call: receiver::on_held_durable
    std::function<void(const link::peer_id& to, link::message message)> send;
    std::shared_ptr<delivery::origin_board> epochs; // what edges say of theirs; may be null
  };

  downlink_core(delivery::receiver_config config, std::shared_ptr<const spool> store,
                delivery::authority& keys, clock_source& clock, random_source& random, outputs to);

  [[nodiscard]] delivery::receiver& receiver() noexcept { return receiver_; }
  // Nothing may be called afterwards.
  void release_spool() { store_.reset(); }

  // delivery::receiver_backend
  std::optional<std::size_t> series_in_set(edge_id edge, const set_hash& hash) override;
  std::uint64_t store(delivery::delivery_job job) override;
  // The spool derives what it holds from what is in it: nothing more is to be kept.
  void keep_held(std::uint64_t ticket, const stream_key&, const delivery::held_stream&,
                 const range_set*) override {
    to_.held(ticket);
  }
  void on_epochs(const link::origin_state& state) override {
    if (to_.epochs)
      to_.epochs->put(state);
  }
  void forget(const std::vector<stream_key>&) override {} // the spool has its own bound
  void send(const link::peer_id& to, link::message message) override { to_.send(to, std::move(message)); }

private:
  void forget_sets();
  [[nodiscard]] series_set_ptr stored_set(edge_id edge, const set_hash& hash);

  std::shared_ptr<const spool> store_;
  outputs to_;
  // Decoded sets of the spool, asked for with every frame. Cleared when full, mostly between batches.
  std::map<std::pair<edge_id, set_hash>, series_set_ptr> sets_;
  std::uint64_t sets_bytes_ = 0; // of them, unfolded
  delivery::receiver receiver_;  // last: it talks to its backend
};

} // namespace skerry::edge
