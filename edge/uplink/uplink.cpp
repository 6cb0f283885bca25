#include "edge/uplink/uplink.hpp"

#include "actors/node/mirrored_counters.hpp"
#include "edge/uplink/spool_source.hpp"

#include <fmt/format.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include <optional>

namespace skerry::edge {

namespace {

constexpr std::chrono::milliseconds tick_interval{500};
constexpr int ticks_per_start = 10; // between two tries to start the link

class link_sink final : public delivery::sender_sink {
public:
  bool send(link::message message) override {
    return transport && transport->try_send(link::encode(message));
  }
  void reconnect() override {
    if (transport)
      transport->reconnect();
  }

  std::unique_ptr<link::client_transport> transport;
};

class uplink_metrics {
public:
  explicit uplink_metrics(prometheus::Registry& registry) : totals_(registry, "skerry_uplink_") {
    using c = delivery::sender_counters;
    totals_.add(&c::batches, "batches_total", "Batches handed to the link.");
    totals_.add(&c::bytes, "bytes_total", "Bytes of runs handed to the link.");
    totals_.add(&c::records, "records_total", "Records handed to the link, again after a lost connection.");
    totals_.add(&c::acked_records, "acked_records_total", "Records that the receiver has on stable storage.");
    totals_.add(&c::sessions, "sessions_total", "Sessions opened.");
    totals_.add(&c::refusals, "refusals_total", "Sessions that the receiver refused or ended.");
    totals_.add(&c::stale_messages, "stale_messages_total", "Messages of another session, dropped.");
    totals_.add(&c::dead_links, "dead_links_total", "Links rebuilt because no answer came.");
    totals_.add(&c::sets_missing, "series_sets_missing_total",
                "Series sets asked for that the spool no longer has.");
    totals_.add(&c::lost_custody_records, "lost_custody_records_total",
                "Records released here that the receiver no longer has.");
    pending_ = &gauge(registry, "pending_records", "Records committed and not acknowledged.");
    live_ = &gauge(registry, "live", "1 while a session is open.");
  }

  void update(const delivery::sender& from) {
    totals_.update(from.counters());
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
  prometheus::Gauge* live_ = nullptr;
};

} // namespace

struct uplink_state {
  uplink_config config;
  gateway_actor gateway;
  std::unique_ptr<spool_source> source;
  link_sink sink;
  std::optional<delivery::sender> sender;
  std::optional<uplink_metrics> metrics;

  void init(uplink_config c) {
    config = std::move(c);
    source =
        std::make_unique<spool_source>(config.store, [this](const stream_key& key, const range_set& ranges) {
          if (gateway)
            caf::anon_send(gateway, std::make_shared<const release_request>(release_request{key, ranges}));
        });
    sender.emplace(config.sender, *config.clock, *config.random, *source, sink);
    metrics.emplace(*config.metrics);
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
    auto transport = config.connect(std::move(events));
    if (!transport) {
      if (refusal != transport.error().message)
        spdlog::error("uplink: the link cannot be started, trying again every {} s: {}",
                      ticks_per_start * tick_interval.count() / 1000, transport.error().message);
      refusal = transport.error().message;
      return;
    }
    refusal.clear();
    sink.transport = std::move(transport).value();
  }

  void publish(bool key_refused) {
    metrics->update(*sender);
    if (!config.publish)
      return;
    uplink_status status;
    status.phase = sender->phase();
    status.refusal =
        key_refused ? "the receiver does not know this edge's key: was it revoked? Join again with a new "
                      "token"
        : refusal.empty() ? sender->refusal()
                          : refusal;
    status.pending_records = sender->pending_records();
    status.in_flight_bytes = sender->in_flight_bytes();
    if (sink.transport) {
      status.bytes_sent = sink.transport->bytes_sent();
      status.bytes_received = sink.transport->bytes_received();
    }
    config.publish(status);
  }

  bool key_refused = false;
  std::string refusal; // why the link could not be started; empty: it was
  int ticks = 0;
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
      [self](inbound_ptr& inbound) {
        auto& state = self->state;
        auto message = link::decode(inbound->parts, state.config.message_bytes_max);
        if (!message) {
          spdlog::warn("uplink: a message from the receiver is refused: {}", message.error().message);
          return;
        }
        state.sender->on_message(message.value());
      },
      [self](const committed_ptr& committed) {
        for (const auto& run : committed->runs)
          self->state.sender->on_committed(run, committed->lane);
      },
      [self](tick_atom) {
        caf::delayed_anon_send(caf::actor_cast<uplink_actor>(self), tick_interval, tick_atom_v);
        auto& state = self->state;
        if (++state.ticks % ticks_per_start == 0 && state.gateway && !state.sink.transport)
          state.start_link(caf::actor_cast<uplink_actor>(self));
        state.sender->on_tick();
        state.publish(state.key_refused);
      },
      [self](stop_atom) {
        auto& state = self->state;
        state.sender->say_bye();
        state.sink.transport.reset();
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
  return system.spawn<caf::detached>(uplink, std::move(config));
}

} // namespace skerry::edge
