#pragma once

// What the uplink actor does, without CAF, ZeroMQ or LMDB: a delivery::sender over the connections upstream, which
// address of the receiver they lead to, when the backlog gets one of its own, and what a metered link may still carry.
// One thread at a time; no I/O of its own but through what it is given.

#include "actors/delivery/sender.hpp"
#include "edge/uplink/uplink_settings.hpp"
#include "edge/uplink/usage.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace skerry::edge {

// The connections to one of the receiver's addresses. What comes over them, and what becomes of them, their owner tells
// the core: on_up, on_down, on_refused, on_message.
class uplink_connections : public delivery::sender_sink {
public:
  // Precondition: none is started. A failure is one of this machine, such as a lack of descriptors: try again later.
  [[nodiscard]] virtual result<void> start(const std::string& address) = 0;
  virtual void stop() = 0; // all of them; what was under way may be lost
  [[nodiscard]] virtual bool started() const noexcept = 0;
  // One for the backlog alone. Does not replace one that is open. Until it stands, and where it fails, everything goes over
  // the first.
  virtual void open_apart(const std::string& address) = 0;
  virtual void close_apart() = 0; // what was under way there is lost
  [[nodiscard]] virtual bool has_apart() const noexcept = 0;
  [[nodiscard]] virtual std::uint64_t take_ip_bytes() = 0;             // both ways, since the last call
  [[nodiscard]] virtual std::uint64_t bytes_sent() const noexcept = 0; // at the TCP payload, since the start
  [[nodiscard]] virtual std::uint64_t bytes_received() const noexcept = 0; // of these connections
};

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

struct uplink_core_config : uplink_settings {
  delivery::sender_config sender;
  std::vector<std::string> addresses; // of one receiver, tried in turn; at least one
};

class uplink_core {
public:
  static constexpr std::chrono::milliseconds tick_interval{500}; // call on_tick() that often

  // `usage` null: nothing is kept over a restart. All that is given outlives the core.
  uplink_core(uplink_core_config config, clock_source& clock, random_source& random,
              delivery::sender_source& source, uplink_connections& link, usage_keeper* usage);

  void start(); // the link; a tick tries again what failed
  void on_up();
  void on_down();
  void on_refused(); // the receiver does not know this edge's key
  void on_message(const link::message& message);
  void on_committed(const delivery::committed_runs& committed);
  void on_tick();
  void pause_backlog(bool paused); // by an operator; kept over a restart
  void stop();                     // says goodbye; nothing else is called after it

  [[nodiscard]] const delivery::sender& sender() const noexcept { return sender_; }
  [[nodiscard]] const delivery::quota_meter& meter() const noexcept { return meter_; }
  [[nodiscard]] uplink_status status() const;

private:
  void start_link();
  void fail_over();
  void count_bytes();
  void care_for_backlog();
  void take_time_of(const link::welcome& from);
  void keep_usage(bool at_end = false);
  [[nodiscard]] const std::string& address() const { return config_.addresses[address_]; }

  [[nodiscard]] bool is_planted(planted_fault which) const noexcept {
    return planted(config_.sender.planted, which);
  }

  uplink_core_config config_;
  clock_source& clock_;
  uplink_connections& link_;
  delivery::sender_source& source_;
  usage_keeper* usage_;
  delivery::sender sender_;
  delivery::quota_meter meter_;
  kept_usage stored_;
  bool usage_refused_ = false;
  bool told_ahead_ = false; // that the clock is ahead
  std::uint64_t set_back_bytes_ = 0;
  bool running_ = false; // between start() and stop()
  bool key_refused_ = false;
  std::string refusal_; // why the link could not be started; empty: it was
  int ticks_ = 0;
  std::size_t address_ = 0; // of the configured ones
  std::int64_t last_live_ns_ = 0;
  std::int64_t backlog_seen_ns_ = 0; // by the connection of its own
  std::int64_t alone_since_ns_ = 0;  // since when there is a backlog, a long round trip, and one connection
  std::uint64_t seen_unanswered_ = 0;
};

} // namespace skerry::edge
