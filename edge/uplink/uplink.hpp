#pragma once

// The uplink actor: adapts delivery::sender to the spool below it and the encrypted link above it.

#include "actors/actors.hpp"
#include "actors/delivery/sender.hpp"
#include "edge/spool/spool.hpp"
#include "edge/uplink/uplink_link.hpp"

#include <filesystem>
#include <functional>
#include <memory>

namespace prometheus {
class Registry;
}

namespace skerry::edge {

// What listings and /metrics show.
struct uplink_status {
  delivery::sender_phase phase = delivery::sender_phase::down;
  std::string refusal; // why it is not live, in the receiver's words; empty: nothing was refused
  std::uint64_t pending_records = 0;
  std::uint64_t in_flight_bytes = 0;
  std::uint64_t bytes_sent = 0; // at the TCP payload, since the start
  std::uint64_t bytes_received = 0;
  std::string address; // that is used or tried
  // At the IP level, of the days and months of UTC; they survive restarts.
  std::uint64_t bytes_today = 0;
  std::uint64_t bytes_this_month = 0;
  std::uint64_t bytes_month_forecast = 0; // if the month goes on as it went so far
  std::uint64_t quota_bytes = 0;          // of a period; 0: not metered
  delivery::quota_level quota = delivery::quota_level::open;
  std::chrono::nanoseconds quota_clock_ahead{
      0}; // by so much the clock is ahead of the time that periods go by
  std::uint64_t set_back_bytes =
      0; // counted for days to come, and for today since the receiver said its time
  bool backlog_paused = false;
  bool backlog_apart = false; // it has a connection of its own
  std::vector<delivery::set_aside_view>
      set_aside;                       // what the receiver does not take; set_asides_shown_max at most
  std::size_t set_asides = 0;          // all of them
  std::uint64_t set_aside_records = 0; // pending records in them
  std::uint64_t durable_records = 0;   // at the receiver, and kept here until they are safe there
  std::uint64_t held_back_records = 0; // pending records that the receiver is too old to keep
};

inline constexpr std::size_t set_asides_shown_max = 100;

struct uplink_config {
  delivery::sender_config sender;
  std::shared_ptr<const spool> store;
  std::vector<std::string> addresses; // of one receiver, tried in turn; at least one
  transport_factory connect;
  std::chrono::nanoseconds failover_after = std::chrono::seconds{20}; // without a session: the next address
  // A backlog that lasts gets a connection of its own where the round trip is at least this long; 0: never.
  std::chrono::nanoseconds backlog_apart_from{0};
  delivery::quota_config quota;
  std::filesystem::path usage_file; // empty: nothing is kept over a restart
  clock_source* clock = nullptr;
  random_source* random = nullptr;
  prometheus::Registry* metrics = nullptr;
  std::function<void(const uplink_status&)> publish; // called on each tick; may be empty
  std::size_t message_bytes_max = 32 << 20;
  // A thread of its own: it reads the spool, and collecting must not wait for that. False: one of a pool made for that.
  bool detached = true;
};

[[nodiscard]] uplink_actor spawn_uplink(caf::actor_system& system, uplink_config config);

} // namespace skerry::edge
