#include "cloud/ledger/ledger.hpp"

#include "cloud/ledger/loss_rows.hpp"
#include "cloud/ledger/retractions.hpp"
#include "cloud/sites/host_table.hpp"
#include "cloud/store/note_reader.hpp"

#include <algorithm>
#include <map>

namespace skerry::cloud {

namespace {

// nullopt: the record says nothing of the kind.
std::optional<loss_entry> to_loss(const ledger_entry& from) {
  loss_entry out;
  out.site = from.site;
  out.host = from.host;
  out.origin = from.origin;
  if (from.kind == record_kind::tombstone) {
    const auto stone = decode_tombstone(from.payload);
    if (!stone)
      return std::nullopt;
    out.collected = true;
    out.first = from.seq;
    out.last = stone.value().last;
    out.records = out.first == 0 ? 0 : out.last - out.first + 1;
    out.from_ns = stone.value().from_ns;
    out.to_ns = stone.value().to_ns;
    out.samples = stone.value().samples;
    out.bytes = stone.value().bytes;
    out.cause = stone.value().cause;
    return out;
  }
  if (from.kind != record_kind::not_collected)
    return std::nullopt;
  const auto gap = decode_not_collected(from.payload);
  if (!gap)
    return std::nullopt;
  out.from_ns = gap.value().from_ns;
  out.to_ns = gap.value().to_ns;
  out.cause = gap.value().cause;
  out.detail = gap.value().detail;
  return out;
}

bool speaks_for(edge_id edge, const host_view& host) {
  return std::any_of(host.statements.begin(), host.statements.end(),
                     [&](const auto& one) { return one.edge == edge; });
}

// What an edge says concerns what it brings itself.
bool concerns(const loss_entry& entry, const host_view& host, planted_faults planted_in) {
  if (entry.origin.edge == edge_id::none)
    return concerns(entry, host.site, host.host);
  if (entry.site != host.site)
    return false;
  return (entry.host.empty() || entry.host == host.host)
         && (speaks_for(entry.origin.edge, host) || planted(planted_in, planted_fault::any_edge_speaks));
}

// Entries by whom they concern: with many of both, not every host looks at every entry.
class by_whom {
public:
  by_whom(const std::vector<loss_entry>& all, planted_faults planted) : all_(all), planted_(planted) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto& entry = all[i];
      const bool own = entry.origin.edge == edge_id::none;
      if (own && entry.host.empty() && entry.site.empty())
        everyone_.push_back(i);
      else if (own && entry.host.empty())
        of_sites_[entry.site].push_back(i);
      else if (entry.host.empty())
        of_edges_[{entry.site, entry.origin.edge}].push_back(i);
      else
        of_hosts_[{entry.site, entry.host}].push_back(i);
    }
  }
  // In their order.
  void copy(const host_view& host, std::vector<loss_entry>& to) const {
    std::vector<std::size_t> found = everyone_;
    const auto add = [&](const auto& from, const auto& key) {
      if (const auto known = from.find(key); known != from.end())
        found.insert(found.end(), known->second.begin(), known->second.end());
    };
    add(of_sites_, std::string_view{host.site});
    for (const auto& one : host.statements)
      add(of_edges_, std::pair<std::string_view, edge_id>{host.site, one.edge});
    if (planted(planted_, planted_fault::any_edge_speaks))
      for (const auto& [edge, entries] : of_edges_)
        found.insert(found.end(), entries.begin(), entries.end());
    add(of_hosts_, std::pair<std::string_view, std::string_view>{host.site, host.host});
    std::sort(found.begin(), found.end());
    to.clear();
    for (const auto i : found)
      if (concerns(all_[i], host, planted_))
        to.push_back(all_[i]);
  }

private:
  const std::vector<loss_entry>& all_;
  const planted_faults planted_;
  std::vector<std::size_t> everyone_; // the store's own disk
  std::map<std::string_view, std::vector<std::size_t>> of_sites_;
  std::map<std::pair<std::string_view, edge_id>, std::vector<std::size_t>> of_edges_;
  std::map<std::pair<std::string_view, std::string_view>, std::vector<std::size_t>> of_hosts_;
};

class store_ledger final : public ledger_reader {
public:
  store_ledger(std::shared_ptr<note_reader> store, std::shared_ptr<host_table> hosts,
               std::shared_ptr<retractions> taken_back, planted_faults planted)
      : store_(std::move(store)),
        hosts_(std::move(hosts)),
        taken_back_(std::move(taken_back)),
        planted_(planted) {}

  result<std::vector<loss_entry>> losses(const ledger_request& request) override {
    const auto hosts = hosts_of(request);
    return read(request, loss_rows{loss_rows_max, loss_row_gap_ns}, [&](const loss_entry& entry) {
      if (request.host.empty() || (entry.origin.edge == edge_id::none && entry.host == request.host))
        return true; // also where the host is not known any more
      return std::any_of(hosts.begin(), hosts.end(),
                         [&](const auto& host) { return concerns(entry, host, planted_); });
    });
  }

  std::vector<loss_entry> own_damage(std::int64_t from_ns, std::int64_t to_ns) override {
    std::vector<loss_entry> all;
    store_->own_damage(from_ns, to_ns, [&](const ledger_entry& entry) {
      if (auto loss = to_loss(entry))
        all.push_back(std::move(*loss));
    });
    return all;
  }

  result<std::vector<host_coverage>> completeness(const ledger_request& request) override {
    BOOST_OUTCOME_TRY(all, read(request, loss_rows{completeness_rows_max, 0, loss_row_gap_ns},
                                [](const auto& entry) { return entry.retracted.empty(); }));
    const by_whom index{all, planted_};
    std::vector<host_coverage> out;
    std::vector<loss_entry> of_host;
    std::vector<host_facts> statements;
    for (const auto& host : hosts_of(request)) {
      index.copy(host, of_host);
      statements.clear();
      for (const auto& one : host.statements)
        statements.push_back({one.first_sample_ns, one.live_watermark_ns, one.complete_watermark_ns,
                              host.interval_ns, one.ended});
      out.push_back(
          {host.site,
           host.host,
           {host.first_sample_ns, host.live_watermark_ns, host.complete_watermark_ns, host.interval_ns},
           coverage_of(statements, of_host, request.from_ns, request.to_ns),
           host.only_pushed()});
    }
    return out;
  }

private:
  template <class Wanted>
  result<std::vector<loss_entry>> read(const ledger_request& request, loss_rows rows, Wanted wanted) {
    BOOST_OUTCOME_TRYV(store_->ledger(request.from_ns, request.to_ns, [&](const ledger_entry& entry) {
      auto loss = to_loss(entry);
      const bool of_everyone =
          loss && loss->origin.edge == edge_id::none && loss->site.empty() && loss->host.empty();
      if (loss && taken_back_)
        loss->retracted = taken_back_->of(*loss);
      if (loss && (request.site.empty() || of_everyone || loss->site == request.site) && wanted(*loss))
        rows.add(std::move(*loss));
    }));
    return rows.take();
  }

  std::vector<host_view> hosts_of(const ledger_request& request) const {
    if (!request.hosts.empty())
      return hosts_->hosts(request.hosts);
    auto all = hosts_->hosts();
    std::erase_if(all, [&](const host_view& host) {
      return (!request.site.empty() && host.site != request.site)
             || (!request.host.empty() && host.host != request.host);
    });
    return all;
  }

  std::shared_ptr<note_reader> store_;
  std::shared_ptr<host_table> hosts_;
  std::shared_ptr<retractions> taken_back_; // null: nothing was
  const planted_faults planted_;
};

} // namespace

bool concerns(const loss_entry& own, std::string_view site, std::string_view host) noexcept {
  if (!own.host.empty())
    return own.site == site && own.host == host;
  return own.site.empty() || own.site == site;
}

std::unique_ptr<ledger_reader> make_ledger(std::shared_ptr<note_reader> store,
                                           std::shared_ptr<host_table> hosts,
                                           std::shared_ptr<retractions> taken_back, planted_faults planted) {
  return std::make_unique<store_ledger>(std::move(store), std::move(hosts), std::move(taken_back), planted);
}

} // namespace skerry::cloud
