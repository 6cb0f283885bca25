#include "actors/delivery/reception_metrics.hpp"

#include <prometheus/gauge.h>

namespace skerry::delivery {

reception_metrics::reception_metrics(prometheus::Registry& registry, const std::string& prefix)
    : received_(registry, prefix),
      joins_(registry, prefix),
      connected_(prometheus::BuildGauge()
                     .Name(prefix + "edges_connected")
                     .Help("Edges with an open session.")
                     .Register(registry)
                     .Add({})),
      open_bytes_(prometheus::BuildGauge()
                      .Name(prefix + "open_bytes")
                      .Help("Bytes of batches in memory: being stored, or waiting for series sets.")
                      .Register(registry)
                      .Add({})),
      credit_(prometheus::BuildGauge()
                  .Name(prefix + "credit_bytes")
                  .Help("Bytes that edges with an open session may have under way, together.")
                  .Register(registry)
                  .Add({})) {
  auto& edges = prometheus::BuildGauge()
                    .Name(prefix + "edges")
                    .Help("Edges that ever joined or were heard of through a gateway, by how they stand.")
                    .Register(registry);
  for (std::uint16_t i = 0; i < link::presence_count; ++i)
    edges_[i] = &edges.Add({{"state", std::string{link::to_string(link::presence{i})}}});
  using c = receiver_counters;
  received_.add(&c::batches, "batches_total", "Batches received.");
  received_.add(&c::records, "records_total", "Records received that were new here.");
  received_.add(&c::bytes, "bytes_total", "Bytes of batches received.");
  received_.add(&c::duplicate_records, "duplicate_records_total",
                "Records received that were held already, and trimmed.");
  received_.add(&c::sessions, "sessions_total", "Sessions opened.");
  received_.add(&c::malformed, "malformed_total", "Messages and batches that do not decode.");
  received_.add(&c::forbidden, "forbidden_total", "Messages for what their key may not do.");
  received_.add(&c::refused_batches, "refused_batches_total",
                "Batches not taken while the session went on; their sender keeps them.");
  received_.add(&c::stale_messages, "stale_messages_total", "Messages of another session, dropped.");
  const char* refused = "refused_sessions_total";
  const char* refused_help = "Sessions refused, by reason.";
  received_.add(&c::refused_duplicate, refused, refused_help, {{"reason", "duplicate"}});
  received_.add(&c::refused_version, refused, refused_help, {{"reason", "version"}});
  received_.add(&c::refused_revoked, refused, refused_help, {{"reason", "revoked"}});
  received_.add(&c::refused_unread, refused, refused_help, {{"reason", "unread"}});
  received_.add(&c::restored_edges, "restored_edges_total",
                "Edges that came back from an older copy of their disk.");
  received_.add(&c::custody_lost_records, "custody_lost_records_total",
                "Records that were acknowledged once and are not here: written to the ledger as lost.");
  received_.add(&c::custody_asked_records, "custody_asked_records_total",
                "Records that were acknowledged once, are not here, and were asked for again.");
  received_.add(&c::ranges_full, "ranges_full_total",
                "Batches not taken because a stream has too many holes.");
  received_.add(&c::parked_full, "parked_full_total",
                "Batches not taken because too many wait for series sets.");
  received_.add(
      &c::over_memory, "over_memory_total",
      "Batches not taken now: series sets of those being stored take all the memory that they may.");
  received_.add(&c::sets_swollen, "series_sets_swollen_total",
                "Series sets not unfolded: their key has had too much unfolded that is small on the link.");
  received_.add(&c::over_credit, "over_credit_total",
                "Batches not taken because their sender had far more under way than its credit.");
  received_.add(&c::credit_changes, "credit_changes_total",
                "Sessions that were told another credit, because many share the memory.");
  received_.add(&c::epochs_forgotten, "epochs_forgotten_total",
                "Streams of old epochs that are no longer remembered (delivery.epochs_max).");
  received_.add(&c::sets_unasked, "series_sets_unasked_total",
                "Series sets that nobody had asked for, not taken.");
  received_.add(&c::sets_received, "series_sets_total", "Series sets received.");
  received_.add(&c::sets_dropped, "series_sets_dropped_total",
                "Series sets that came and were dropped before they were stored: too many in memory.");
  received_.add(&c::sets_lost_records, "series_sets_lost_records_total",
                "Records whose series set nobody has: written to the ledger as lost.");
  received_.add(&c::closed_sessions, "closed_sessions_total",
                "Sessions whose connection was closed without a goodbye.");
  received_.add(&c::origin_links_dropped, "origin_links_dropped_total",
                "Messages of gateways about edges behind them that were not taken: too many.");
  received_.add(&c::store_failures, "store_failures_total", "Parts of batches that the store did not take.");
  using j = reception_counters;
  joins_.add(&j::joined, "joins_total", "Edges that joined.");
  joins_.add(&j::joins_refused, "joins_refused_total", "Joins refused: token used, expired or revoked.");
  joins_.add(&j::over_budget, "over_budget_total",
             "Messages dropped because their key sent more bytes of envelopes than it may.");
  joins_.add(&j::crowded_out, "crowded_out_messages_total",
             "Messages not taken because more of their key wait already than may.");
  joins_.add(&j::unauthorized, "unauthorized_messages_total", "Messages that a joining key may not send.");
}

void reception_metrics::update(const receiver& from, const reception& joins, const presences& edges) {
  received_.update(from.counters());
  joins_.update(joins.counters());
  const auto memory = from.memory();
  open_bytes_.Set(static_cast<double>(memory.open_bytes));
  credit_.Set(static_cast<double>(memory.credit));
  std::array<std::size_t, link::presence_count> count{};
  std::size_t connected = 0;
  for (const auto& [edge, one] : edges) {
    ++count[static_cast<std::size_t>(one.now)];
    connected += one.behind == edge_id::none && is_there(one.now) ? 1 : 0;
  }
  connected_.Set(static_cast<double>(connected));
  for (std::size_t i = 0; i < count.size(); ++i)
    edges_[i]->Set(static_cast<double>(count[i]));
}

} // namespace skerry::delivery
