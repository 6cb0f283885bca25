#include "edge/uplink/uplink.hpp"

#include "actors/base/log_limiter.hpp"
#include "actors/base/mirrored_counters.hpp"
#include "edge/uplink/spool_source.hpp"
#include "edge/uplink/usage_file.hpp"

#include <fmt/format.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include <optional>

namespace skerry::edge {

namespace {

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
  std::shared_ptr<const spool> store;
  gateway_actor gateway; // null: it does not run yet, or this is stopping
  std::size_t message_bytes_max = 0;
  std::function<void(const uplink_status&)> publish_to;
  std::optional<spool_source> source;
  std::optional<uplink_link> upstream;
  std::optional<usage_file> usage;
  std::optional<uplink_core> core;
  std::optional<uplink_metrics> metrics;
  log_limiter refused_lines{10}; // about messages that do not decode

  void init(uplink_config config, std::function<link::client_events()> events) {
    store = config.store;
    message_bytes_max = config.message_bytes_max;
    publish_to = std::move(config.publish);
    source.emplace(store, [this](const stream_key& key, const range_set& ranges) {
      if (gateway)
        caf::anon_send(gateway, std::make_shared<const release_request>(release_request{key, ranges}));
    });
    upstream.emplace(std::move(config.connect), std::move(events));
    if (!config.usage_file.empty())
      usage.emplace(std::move(config.usage_file));
    metrics.emplace(*config.metrics);
    core.emplace(std::move(config), *config.clock, *config.random, *source, *upstream,
                 usage ? &*usage : nullptr);
  }

  void take(const inbound_message& inbound) {
    const auto message = link::decode(inbound.parts, message_bytes_max);
    if (message)
      core->on_message(message.value());
    else if (refused_lines.allow())
      spdlog::warn("uplink: a message from the receiver is refused: {}", message.error().message);
  }

  void publish() {
    const auto status = core->status();
    metrics->update(core->sender(), status);
    if (publish_to)
      publish_to(status);
  }

  void stop() {
    core->stop();
    gateway = nullptr;
    core.reset();
    source.reset();
    store.reset();
  }
};

namespace {

link::client_events events_for(const caf::actor_addr& weak) {
  link::client_events events;
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
  return events;
}

uplink_actor::behavior_type uplink(uplink_actor::stateful_pointer<uplink_state> self, uplink_config config) {
  // Weak handles: a transport must not keep its own actor alive.
  self->state.init(std::move(config), [weak = caf::actor_cast<caf::actor_addr>(uplink_actor{self})] {
    return events_for(weak);
  });
  caf::delayed_anon_send(uplink_actor{self}, uplink_core::tick_interval, tick_atom_v);
  return {
      [self](gateway_atom, const caf::strong_actor_ptr& gateway) {
        self->state.gateway = caf::actor_cast<gateway_actor>(gateway);
        self->state.core->start();
      },
      [self](up_atom) { self->state.core->on_up(); },
      [self](down_atom) { self->state.core->on_down(); },
      [self](refused_atom) { self->state.core->on_refused(); },
      [self](pause_atom, bool paused) {
        self->state.core->pause_backlog(paused);
        self->state.publish();
      },
      [self](inbound_ptr& inbound) { self->state.take(*inbound); },
      [self](const committed_ptr& committed) { self->state.core->on_committed(*committed); },
      [self](tick_atom) {
        caf::delayed_anon_send(uplink_actor{self}, uplink_core::tick_interval, tick_atom_v);
        self->state.core->on_tick();
        self->state.publish();
      },
      [self](stop_atom) {
        self->state.stop();
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
