#pragma once

// What the server transport tells about itself: skerry_link_server_*. Internal to actors/link.

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <map>
#include <string>

namespace skerry::link::detail {

inline constexpr std::size_t refusal_reasons_max = 16; // distinct label values

struct server_metrics {
  explicit server_metrics(prometheus::Registry& registry)
      : messages_in(messages(registry, "in")),
        messages_out(messages(registry, "out")),
        bytes_in(bytes(registry, "in")),
        bytes_out(bytes(registry, "out")),
        queue_full(dropped(registry, "queue_full")),
        unroutable(dropped(registry, "unroutable")),
        peer_full(dropped(registry, "peer_full")),
        oversized(dropped(registry, "oversized")),
        no_user(dropped(registry, "no_user_id")),
        callback_failed(dropped(registry, "callback_failed")),
        succeeded(handshakes(registry, "succeeded")),
        failed_protocol(handshakes(registry, "failed_protocol")),
        failed_auth(handshakes(registry, "failed_auth")),
        failed_other(handshakes(registry, "failed_other")),
        paced(prometheus::BuildCounter()
                  .Name("skerry_link_server_handshakes_paced_total")
                  .Help("Times that handshakes had to wait because the limit per second was reached.")
                  .Register(registry)
                  .Add({})),
        turned_away_full(turned_away(registry, "queue_full")),
        turned_away_late(turned_away(registry, "too_late")),
        receive_paused(prometheus::BuildCounter()
                           .Name("skerry_link_server_receive_paused_total")
                           .Help("Times that nothing was read because link.queue_bytes_max was reached.")
                           .Register(registry)
                           .Add({})),
        accept_failed(prometheus::BuildCounter()
                          .Name("skerry_link_server_accept_failures_total")
                          .Help("Connections that the operating system did not give us (file descriptors?).")
                          .Register(registry)
                          .Add({})),
        accepted(prometheus::BuildCounter()
                     .Name("skerry_link_server_accepted_total")
                     .Help("TCP connections on the link port. Those that speak another protocol (HTTP) are "
                           "closed before "
                           "a handshake and appear in no outcome of handshakes_total.")
                     .Register(registry)
                     .Add({})),
        closed(prometheus::BuildCounter()
                   .Name("skerry_link_server_closed_total")
                   .Help("TCP connections on the link port that ended, for whatever reason.")
                   .Register(registry)
                   .Add({})),
        connections(prometheus::BuildGauge()
                        .Name("skerry_link_server_connections")
                        .Help("TCP connections on the link port, whether or not their handshake is done.")
                        .Register(registry)
                        .Add({})),
        connections_refused(prometheus::BuildCounter()
                                .Name("skerry_link_server_connections_turned_away_total")
                                .Help("TCP connections beyond link.connections_max, closed at once.")
                                .Register(registry)
                                .Add({})),
        refusals(prometheus::BuildCounter()
                     .Name("skerry_link_server_refused_total")
                     .Help("Client keys that were refused, by reason.")
                     .Register(registry)) {
    // Of the registry and of ZAP: there from the start, as increase() does not see the step from nothing to 1.
    for (const auto* reason : {"unknown", "revoked", "expired", "used", "cancelled", "failed", "malformed"})
      by_reason_.emplace(reason, &refusals.Add({{"reason", reason}}));
  }

  void refused(const std::string& reason) {
    const auto known = by_reason_.find(reason);
    if (known != by_reason_.end())
      return known->second->Increment();
    const auto label =
        by_reason_.size() < refusal_reasons_max && !reason.empty() ? reason : std::string{"other"};
    auto& counter = refusals.Add({{"reason", label}});
    by_reason_.emplace(label, &counter);
    counter.Increment();
  }

  prometheus::Counter& messages_in;
  prometheus::Counter& messages_out;
  prometheus::Counter& bytes_in;
  prometheus::Counter& bytes_out;
  prometheus::Counter& queue_full;
  prometheus::Counter& unroutable;
  prometheus::Counter& peer_full;
  prometheus::Counter& oversized;
  prometheus::Counter& no_user;
  prometheus::Counter& callback_failed;
  prometheus::Counter& succeeded;
  prometheus::Counter& failed_protocol;
  prometheus::Counter& failed_auth;
  prometheus::Counter& failed_other;
  prometheus::Counter& paced;
  prometheus::Counter& turned_away_full;
  prometheus::Counter& turned_away_late;
  prometheus::Counter& receive_paused;
  prometheus::Counter& accept_failed;
  prometheus::Counter& accepted;
  prometheus::Counter& closed;
  prometheus::Gauge& connections;
  prometheus::Counter& connections_refused;
  prometheus::Family<prometheus::Counter>& refusals;

private:
  static prometheus::Counter& counter(prometheus::Registry& registry, const char* name, const char* help,
                                      const char* label, const char* value) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({{label, value}});
  }
  static prometheus::Counter& messages(prometheus::Registry& r, const char* direction) {
    return counter(r, "skerry_link_server_messages_total", "Messages of edges and to edges.", "direction",
                   direction);
  }
  static prometheus::Counter& bytes(prometheus::Registry& r, const char* direction) {
    return counter(r, "skerry_link_server_bytes_total", "Bytes at the TCP payload, estimated from messages.",
                   "direction", direction);
  }
  static prometheus::Counter& dropped(prometheus::Registry& r, const char* reason) {
    return counter(r, "skerry_link_server_dropped_total", "Messages that were dropped, by reason.", "reason",
                   reason);
  }
  static prometheus::Counter& turned_away(prometheus::Registry& r, const char* reason) {
    return counter(r, "skerry_link_server_handshakes_turned_away_total",
                   "Handshakes that waited for their turn and were left without an answer, by reason; their "
                   "clients come again.",
                   "reason", reason);
  }
  static prometheus::Counter& handshakes(prometheus::Registry& r, const char* outcome) {
    return counter(r, "skerry_link_server_handshakes_total", "Handshakes on the link port, by outcome.",
                   "outcome", outcome);
  }

  std::map<std::string, prometheus::Counter*> by_reason_;
};

} // namespace skerry::link::detail
