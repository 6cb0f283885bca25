#pragma once

// What ingest does, as a plain class: behind delivery::receiver it splits what is new by shard, keeps what is held in
// the engine, lets shards forget what can't come again, and tells how far streams are held. The ingest actor adapts it
// to messages, the simulator's world to its scheduler. Not thread-safe.

#include "actors/base/log_limiter.hpp"
#include "actors/delivery/authority.hpp"
#include "cloud/ingest/committed_effects.hpp"
#include "cloud/ingest/shard_core.hpp"
#include "cloud/store/sets.hpp"
#include "cloud/store/state.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace skerry::cloud {

class ingest_core final : public delivery::authorized_backend {
public:
  struct outputs {
    // To the shard, which is made when it is first spoken to; ends in on_part_stored.
    std::function<void(shard_id id, std::shared_ptr<shard_part> part)> to_shard;
    // Nothing of this stream comes any more: to the shard, for shard_core::release(); its answer leads to on_released.
    std::function<void(shard_id id, const std::shared_ptr<const stream_release>& over)> release;
    // How far streams are held: after the answers of all parts that it is about, and of those that have not changed nothing.
    // While the last list of one look at all streams is kept, no other look begins: that bounds what waits.
    std::function<void(const std::shared_ptr<const stream_news_list>& news)> streams;
    // On the engine's thread; leads to receiver::on_held_durable.
    std::function<void(std::uint64_t ticket, std::string failed)> held;
    std::function<void(const link::peer_id& to, link::message message)> send;
    std::function<void(edge_id user, std::int64_t wall_ns)> clock; // what an edge's shows; may be empty
  };

  // Reads back from the engine what is held.
  ingest_core(delivery::receiver_config config, std::shared_ptr<state_store> state,
              std::shared_ptr<set_catalog> sets, delivery::authority& keys, clock_source& clock,
              random_source& random, outputs to);

  [[nodiscard]] delivery::receiver& receiver() noexcept { return receiver_; }
  void on_part_stored(std::uint64_t ticket, const std::string& failed);
  void on_released(shard_id id, const std::shared_ptr<const stream_release>& over, bool dropped);
  // Once a second: tells how far streams are held, as holes are filled; those that can still change. Looks at some of
  // them; true: call it again soon, there are more.
  [[nodiscard]] bool advance_completeness();
  void put_quietly(std::vector<state_update> updates); // a failure is logged: it comes again

  // delivery::receiver_backend
  std::optional<std::size_t> series_in_set(edge_id edge, const set_hash& hash) override {
    return sets_->series_in_set(edge, hash);
  }
  std::uint64_t store(delivery::delivery_job job) override;
  void keep_held(std::uint64_t ticket, const stream_key& key, const delivery::held_stream& held,
                 const range_set* durable) override;
  void on_clock(edge_id user, std::int64_t wall_ns) override {
    if (to_.clock)
      to_.clock(user, wall_ns);
  }
  void forget(const std::vector<stream_key>& keys) override;
  void send(const link::peer_id& to, link::message message) override { to_.send(to, std::move(message)); }

private:
  struct open_job {
    stream_key key;
    std::size_t parts = 0; // not answered yet
    std::string failed;
    range_set noted; // what the store notes as held together with its records; empty: nothing
  };

  struct open_stream {
    std::map<shard_id, bool>
        holders;        // which shards keep some of it; true: asked, since its last part, to let go
    growing_value held; // where the store keeps what is held of it
    std::optional<stream_news> told;            // of it, last
    std::shared_ptr<const stream_release> over; // what holders were asked last
    std::size_t asked = 0;                      // answers to it that are to come
    // How much of it was held when holders were asked last, and no job ended since.
    std::optional<std::uint64_t> asked_with;
  };

  void restore();
  // What there is to tell of it now: nullopt where nothing is held.
  [[nodiscard]] std::optional<stream_news> news_of(const stream_key& key,
                                                   std::uint64_t oldest_incomplete) const;
  void note_with(shard_part& part, const stream_key& key, const delivery::delivery_job& job);
  // It is complete: asks who has some of it to let go. True: nobody has, or has any more.
  [[nodiscard]] bool let_go(const stream_key& key, open_stream& stream);

  planted_faults planted_;
  std::shared_ptr<state_store> state_;
  std::shared_ptr<set_catalog> sets_;
  outputs to_;
  std::unordered_map<std::uint64_t, open_job> jobs_; // by ticket
  std::map<stream_key, std::size_t> noting_; // jobs under way with whose records the store notes what is held
  stream_key looked_to_;                     // where advance_completeness goes on
  std::weak_ptr<const stream_news_list> told_; // the last list
  const range_set* noted_ = nullptr;           // by the job that the receiver is being told of
  // The store's writer says it.
  std::shared_ptr<log_limiter> unkept_lines_ = std::make_shared<log_limiter>(1, std::chrono::minutes{10});
  std::map<stream_key, open_stream> open_streams_; // held, and more may come
  delivery::receiver receiver_;                    // last: it talks to its backend
};

} // namespace skerry::cloud
