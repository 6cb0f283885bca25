#include "edge/uplink/uplink.hpp"

#include "actors/node/log_limiter.hpp"
#include "actors/node/mirrored_counters.hpp"
#include "edge/uplink/spool_source.hpp"
#include "edge/uplink/usage_file.hpp"

#include <fmt/format.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include <optional>

namespace skerry::edge {

namespace {

constexpr std::chrono::milliseconds tick_interval{500};
constexpr int ticks_per_start = 10; // between two tries to start the link
constexpr int ticks_per_usage = 60; // between two writes of what the link has carried
// What is gone within this time is not worth a handshake.
constexpr std::int64_t backlog_lasts_ns = 10'000'000'000;

class uplink_metrics {
public:
  explicit uplink_metrics(prometheus::Registry& registry) : totals_(registry, "skerry_uplink_") {
    using c = delivery::sender_counters;
    totals_.add(&c::batches, "batches_total", "Batches handed to the link.");
    totals_.add(&c::bytes, "bytes_total", "Bytes of runs handed to the link.");
    totals_.add(&c::records, "records_total", "Records handed to the link, again after a lost connection.");
    totals_.add(&c::acked_records, "acked_records_total", "Records that the receiver has on stable storage.");
    totals_.add(&c::safe_records, "safe_records_total",
                "Records that are safe at the receiver, and released here.");
    totals_.add(&c::taken_back_records, "taken_back_records_total",
                "Records that the receiver had and lost before they were safe, and that went again.");
    totals_.add(&c::asked_whether_safe, "asked_whether_safe_total",
                "Sessions begun anew because records were not said to be safe for long.");
    totals_.add(
        &c::durable_unnoted_records, "durable_unnoted_records_total",
        "Records that the receiver has, in too many pieces to be noted: they go again until they are safe.");
    totals_.add(&c::sessions, "sessions_total", "Sessions opened.");
    totals_.add(&c::refusals, "refusals_total", "Sessions that the receiver refused or ended.");
    totals_.add(&c::stale_messages, "stale_messages_total", "Messages of another session, dropped.");
    totals_.add(&c::dead_links, "dead_links_total", "Links rebuilt because no answer came.");
    totals_.add(&c::unanswered_batches, "unanswered_batches_total",
                "Batches that go again because no answer came.");
    totals_.add(&c::refused_batches, "refused_batches_total",
                "Batches that the receiver did not take while the session went on: set aside in the spool.");
    totals_.add(&c::sets_missing, "series_sets_missing_total",
                "Series sets asked for that the spool no longer has.");
    totals_.add(&c::lost_custody_records, "lost_custody_records_total",
                "Records released here that the receiver no longer has.");
    totals_.add(&c::returned_records, "returned_records_total",
                "Records released here that the receiver no longer had, and that went again.");
    totals_.add(&c::sets_deferred, "series_sets_deferred_total",
                "Times that a series set was asked for again and its answer had to wait.");
    pending_ = &gauge(registry, "pending_records", "Records committed and not acknowledged.");
    durable_ = &gauge(registry, "durable_records",
                      "Records that the receiver has and that are not safe there: kept in the spool.");
    asides_ = &gauge(registry, "set_asides",
                     "Streams and edges of which the receiver takes nothing; listed in /api/v1/status.");
    aside_records_ =
        &gauge(registry, "set_aside_records", "Pending records that the receiver does not take.");
    held_back_ = &gauge(registry, "held_back_records",
                        "Pending records that the receiver is too old to keep; they wait for its upgrade.");
    live_ = &gauge(registry, "live", "1 while a session is open.");
    today_ = &gauge(registry, "link_bytes_today", "Bytes on the link since midnight UTC, at the IP level.");
    month_ =
        &gauge(registry, "link_bytes_this_month", "Bytes on the link in this month (UTC), at the IP level.");
    forecast_ = &gauge(registry, "link_bytes_month_forecast",
                       "Bytes on the link that this month will come to if it goes on as it went so far.");
    quota_ =
        &gauge(registry, "quota_level",
               "0: everything goes, 1: no backlog, 2: fresh data is thinned, 3: alerts only, 4: nothing.");
    apart_ = &gauge(registry, "backlog_apart", "1 while the backlog has a connection of its own.");
    paused_ = &gauge(registry, "backlog_paused", "1 while the backlog is paused by an operator.");
    rate_ = &gauge(registry, "link_bytes_per_second", "What the link is believed to deliver; 0: not known.");
    round_trip_ =
        &gauge(registry, "link_round_trip_seconds",
               "From sending a batch to its acknowledgement, the receiver's sync included; 0: not known.");
  }

  void update(const delivery::sender& from, const uplink_status& status) {
    totals_.update(from.counters());
    today_->Set(static_cast<double>(status.bytes_today));
    month_->Set(static_cast<double>(status.bytes_this_month));
    forecast_->Set(static_cast<double>(status.bytes_month_forecast));
    quota_->Set(static_cast<double>(status.quota));
    apart_->Set(status.backlog_apart ? 1 : 0);
    paused_->Set(status.backlog_paused ? 1 : 0);
    rate_->Set(from.estimate().bytes_per_second());
    round_trip_->Set(static_cast<double>(from.estimate().round_trip_ns()) / 1e9);
    asides_->Set(static_cast<double>(status.set_asides));
    aside_records_->Set(static_cast<double>(status.set_aside_records));
    durable_->Set(static_cast<double>(status.durable_records));
    held_back_->Set(static_cast<double>(status.held_back_records));
    pending_->Set(static_cast<double>(from.pending_records()));
    live_->Set(from.phase() == delivery::sender_phase::live ? 1 : 0);
  }

private:
  static prometheus::Gauge& gauge(prometheus::Registry& registry, const char* name, const char* help) {
    return prometheus::BuildGauge()
        .Name(std::string{"skerry_uplink_"} + name)
        .Help(help)
        .Register(registry)
        .Add({});
  }

  mirrored_counters<delivery::sender_counters> totals_;
  prometheus::Gauge* pending_ = nullptr;
  prometheus::Gauge* asides_ = nullptr;
  prometheus::Gauge* aside_records_ = nullptr;
  prometheus::Gauge* held_back_ = nullptr;
  prometheus::Gauge* durable_ = nullptr;
  prometheus::Gauge* live_ = nullptr;
  prometheus::Gauge* today_ = nullptr;
  prometheus::Gauge* month_ = nullptr;
  prometheus::Gauge* forecast_ = nullptr;
  prometheus::Gauge* quota_ = nullptr;
  prometheus::Gauge* apart_ = nullptr;
  prometheus::Gauge* paused_ = nullptr;
  prometheus::Gauge* rate_ = nullptr;
  prometheus::Gauge* round_trip_ = nullptr;
};

} // namespace

struct uplink_state {
  uplink_config config;
  gateway_actor gateway;
  std::unique_ptr<spool_source> source;
  uplink_link upstream;
  std::optional<delivery::sender> sender;
  std::optional<uplink_metrics> metrics;

  void init(uplink_config c) {
    config = std::move(c);
    source =
        std::make_unique<spool_source>(config.store, [this](const stream_key& key, const range_set& ranges) {
          if (gateway)
            caf::anon_send(gateway, std::make_shared<const release_request>(release_request{key, ranges}));
        });
    sender.emplace(config.sender, *config.clock, *config.random, *source, upstream);
    metrics.emplace(*config.metrics);
    kept_usage kept;
    if (!config.usage_file.empty()) {
      if (auto loaded = load_usage(config.usage_file))
        kept = stored = loaded.value();
      else
        spdlog::error("uplink: {}", loaded.error().message);
    }
    meter = delivery::quota_meter{config.quota, kept.usage, kept.clock};
    sender->pause_backlog(kept.backlog_paused);
  }

  // What crossed the link since the last time, and what may go now.
  void count_bytes() {
    meter.add(upstream.take_ip_bytes(), config.clock->wall_ns(), config.clock->monotonic_ns());
    sender->limit(meter.level(), config.quota.thin_interval, meter.day_bytes());
    const bool ahead = meter.clock_ahead().count() != 0;
    if (ahead && !told_ahead && config.quota.bytes != 0)
      spdlog::warn("uplink: the clock says {} s more than has passed: no new period of the quota begins by "
                   "that before "
                   "the receiver says the same, or it has said so for {} h of running",
                   meter.clock_ahead().count() / 1'000'000'000,
                   std::chrono::duration_cast<std::chrono::hours>(delivery::quota_meter::jump_wait).count());
    told_ahead = ahead;
  }

  void take_time_of(const link::welcome& from) {
    const auto bytes =
        meter.told_time(from.server_time_ns, config.clock->wall_ns(), config.clock->monotonic_ns());
    if (bytes == 0)
      return;
    set_back_bytes += bytes;
    spdlog::warn(
        "uplink: {} bytes were counted for days that are yet to come, as the clock was ahead: they count for "
        "today",
        bytes);
    keep_usage();
  }

  // `at_end`: with the time that has passed, be there bytes or not.
  void keep_usage(bool at_end = false) {
    const kept_usage now{meter.usage(), meter.clock_note(), sender->backlog_paused()};
    const auto same = [&] {
      return now.usage == stored.usage && now.backlog_paused == stored.backlog_paused;
    };
    if (config.usage_file.empty() || (same() && !at_end))
      return;
    if (const auto done = store_usage(config.usage_file, now))
      stored = now;
    else if (!usage_refused)
      spdlog::error("uplink: what the link has carried is not kept: {}", done.error().message);
    usage_refused = !same();
  }

  // Without a session for a while: another address of the same receiver may do.
  void fail_over(const uplink_actor& self) {
    const auto now = config.clock->monotonic_ns();
    if (sender->phase() == delivery::sender_phase::live || last_live_ns == 0)
      last_live_ns = now;
    if (config.addresses.size() < 2 || now - last_live_ns < config.failover_after.count())
      return;
    last_live_ns = now;
    address = (address + 1) % config.addresses.size();
    spdlog::info("uplink: no session for {} s; trying {}", config.failover_after.count() / 1'000'000'000,
                 config.addresses[address]);
    sender->on_disconnected();
    upstream.stop();
    start_link(self);
  }

  // Opens a connection for the backlog alone where that pays, and closes it when the backlog is gone or nothing comes
  // through.
  void care_for_backlog() {
    const auto least = config.backlog_apart_from.count();
    if (least == 0)
      return;
    const auto now = config.clock->monotonic_ns();
    const auto unanswered = sender->counters().unanswered_batches;
    const bool dead = unanswered != std::exchange(seen_unanswered, unanswered);
    const bool live = sender->phase() == delivery::sender_phase::live;
    if (upstream.has_apart()) {
      if (live && sender->backlog_flows())
        backlog_seen_ns = now;
      if (!live || dead || now - backlog_seen_ns > backlog_lasts_ns) {
        spdlog::info("uplink: the backlog's own connection is closed: {}", !live  ? "the session has ended"
                                                                           : dead ? "nothing came through"
                                                                                  : "no backlog is left");
        upstream.close_apart();
      }
      alone_since_ns = now;
      return;
    }
    if (!live || dead || sender->estimate().round_trip_ns() < least || !sender->backlog_flows())
      alone_since_ns = now;
    if (now - alone_since_ns > backlog_lasts_ns) {
      spdlog::info("uplink: the backlog gets a connection of its own, a round trip is {} ms",
                   sender->estimate().round_trip_ns() / 1'000'000);
      upstream.open_apart(config.connect, config.addresses[address]);
      backlog_seen_ns = alone_since_ns = now;
    }
  }

  void start_link(const uplink_actor& self) {
    link::client_events events;
    // Weak handles: a transport must not keep its own actor alive.
    auto weak = caf::actor_cast<caf::actor_addr>(self);
    events.message = [weak](link::message_parts parts) {
      if (auto to = caf::actor_cast<uplink_actor>(weak))
        caf::anon_send(to, std::make_shared<inbound_message>(inbound_message{{}, {}, std::move(parts), {}}));
    };
    events.state = [weak](link::client_state now) {
      auto to = caf::actor_cast<uplink_actor>(weak);
      if (!to)
        return;
      switch (now) {
      case link::client_state::connected: caf::anon_send(to, up_atom_v); break;
      case link::client_state::disconnected: caf::anon_send(to, down_atom_v); break;
      case link::client_state::refused: caf::anon_send(to, refused_atom_v); break;
      }
    };
    auto transport = config.connect(config.addresses[address], std::move(events));
    if (!transport) {
      if (refusal != transport.error().message)
        spdlog::error("uplink: the link cannot be started, trying again every {} s: {}",
                      ticks_per_start * tick_interval.count() / 1000, transport.error().message);
      refusal = transport.error().message;
      return;
    }
    refusal.clear();
    upstream.start(std::move(transport).value());
  }

  void publish(bool key_refused) {
    uplink_status status;
    status.bytes_today = meter.day_bytes();
    status.bytes_this_month = meter.month_bytes();
    status.bytes_month_forecast = meter.month_forecast();
    status.quota_bytes = config.quota.bytes;
    status.quota = meter.level();
    status.quota_clock_ahead = meter.clock_ahead();
    status.set_back_bytes = set_back_bytes;
    status.backlog_paused = sender->backlog_paused();
    status.backlog_apart = upstream.backlog_apart();
    status.address = config.addresses[address];
    status.set_aside = sender->set_aside();
    status.set_asides = status.set_aside.size();
    status.durable_records = sender->durable_records();
    status.held_back_records = sender->held_back_records();
    for (const auto& one : status.set_aside)
      status.set_aside_records += one.records;
    if (status.set_aside.size() > set_asides_shown_max)
      status.set_aside.resize(set_asides_shown_max);
    metrics->update(*sender, status);
    if (!config.publish)
      return;
    status.phase = sender->phase();
    status.refusal =
        key_refused ? "the receiver does not know this edge's key: was it revoked? Join again with a new "
                      "token"
        : refusal.empty() ? sender->refusal()
                          : refusal;
    status.pending_records = sender->pending_records();
    status.in_flight_bytes = sender->in_flight_bytes();
    status.bytes_sent = upstream.bytes_sent();
    status.bytes_received = upstream.bytes_received();
    config.publish(status);
  }

  log_limiter refused_lines{10}; // about messages that do not decode
  bool key_refused = false;
  std::string refusal; // why the link could not be started; empty: it was
  int ticks = 0;
  std::size_t address = 0; // of config.addresses
  std::int64_t last_live_ns = 0;
  delivery::quota_meter meter;
  std::int64_t backlog_seen_ns = 0; // by the connection of its own
  std::int64_t alone_since_ns = 0;  // since when there is a backlog, a long round trip, and one connection
  std::uint64_t seen_unanswered = 0;
  kept_usage stored;
  bool usage_refused = false;
  bool told_ahead = false; // that the clock is ahead
  std::uint64_t set_back_bytes = 0;
};

namespace {

uplink_actor::behavior_type uplink(uplink_actor::stateful_pointer<uplink_state> self, uplink_config config) {
  self->state.init(std::move(config));
  caf::delayed_anon_send(caf::actor_cast<uplink_actor>(self), tick_interval, tick_atom_v);
  return {
      [self](gateway_atom, const caf::strong_actor_ptr& gateway) {
        self->state.gateway = caf::actor_cast<gateway_actor>(gateway);
        self->state.start_link(caf::actor_cast<uplink_actor>(self));
      },
      [self](up_atom) {
        self->state.key_refused = false;
        self->state.sender->on_connected();
      },
      [self](down_atom) { self->state.sender->on_disconnected(); },
      [self](refused_atom) {
        auto& state = self->state;
        state.sender->on_disconnected();
        if (!state.key_refused)
          spdlog::warn("uplink: the receiver does not know this edge's key: was it revoked? Join again with "
                       "a new token; "
                       "until then everything is kept in the spool");
        state.key_refused = true;
      },
      [self](pause_atom, bool paused) {
        auto& state = self->state;
        if (paused != state.sender->backlog_paused())
          spdlog::info("uplink: the backlog is {} by an operator", paused ? "paused" : "resumed");
        state.sender->pause_backlog(paused);
        state.keep_usage();
        state.publish(state.key_refused);
      },
      [self](inbound_ptr& inbound) {
        auto& state = self->state;
        auto message = link::decode(inbound->parts, state.config.message_bytes_max);
        if (!message) {
          if (state.refused_lines.allow())
            spdlog::warn("uplink: a message from the receiver is refused: {}", message.error().message);
          return;
        }
        if (const auto* welcome = std::get_if<link::welcome>(&message.value().body))
          state.take_time_of(*welcome);
        state.sender->on_message(message.value());
      },
      [self](const committed_ptr& committed) {
        for (const auto& run : committed->runs)
          self->state.sender->on_committed(run, committed->lane, committed->replaced);
      },
      [self](tick_atom) {
        caf::delayed_anon_send(caf::actor_cast<uplink_actor>(self), tick_interval, tick_atom_v);
        auto& state = self->state;
        if (++state.ticks % ticks_per_start == 0 && state.gateway && !state.upstream.started())
          state.start_link(caf::actor_cast<uplink_actor>(self));
        state.fail_over(caf::actor_cast<uplink_actor>(self));
        state.count_bytes();
        state.care_for_backlog();
        state.sender->on_tick();
        if (state.ticks % ticks_per_usage == 0)
          state.keep_usage();
        state.publish(state.key_refused);
      },
      [self](stop_atom) {
        auto& state = self->state;
        state.sender->say_bye();
        state.upstream.stop();
        state.count_bytes();
        state.keep_usage(true);
        state.gateway = nullptr;
        state.sender.reset();
        state.source.reset();
        state.config.store.reset();
        self->quit();
      },
  };
}

} // namespace

uplink_actor spawn_uplink(caf::actor_system& system, uplink_config config) {
  if (!config.detached)
    return system.spawn(uplink, std::move(config));
  return system.spawn<caf::detached>(uplink, std::move(config));
}

} // namespace skerry::edge
