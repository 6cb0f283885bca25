#include "cloud/ingest/fleet.hpp"

#include "schemas/bytes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace skerry::cloud {

namespace {

constexpr std::size_t open_watermarks_max = 100'000; // a stream; beyond, every other one is forgotten
constexpr std::int64_t set_idle_ns =
    300'000'000'000; // a series set that is silent this long no longer counts
constexpr std::int64_t sweep_interval_ns = 30'000'000'000;
constexpr std::string_view state_prefix = "host/0/"; // of tenant 0

std::string state_key(const std::string& site, const std::string& host) {
  return fmt::format("{}{:016x}", state_prefix,
                     static_cast<std::uint64_t>(make_host_id(tenant_default, site, host)));
}

} // namespace

fleet::host_entry& fleet::entry(const std::string& site, std::string_view host, edge_id edge) {
  auto& found = hosts_[{site, std::string{host}}];
  if (found.view.site.empty()) {
    found.view.site = site;
    found.view.host = host;
    found.counts_for = edge == edge_pushed ? std::string{} : site;
    ++shares_[found.counts_for];
  }
  return found;
}

bool fleet::admit(const std::string& site, std::string_view host, edge_id edge) {
  const std::lock_guard lock{mutex_};
  if (hosts_.contains(host_name{site, host}))
    return true;
  const auto share = shares_.find(edge == edge_pushed ? std::string{} : site);
  if (hosts_.size() >= limits_.hosts_max
      || (share != shares_.end() && share->second >= limits_.site_hosts_max))
    return false;
  entry(site, host, edge);
  return true;
}

std::size_t fleet::size() const {
  const std::lock_guard lock{mutex_};
  return hosts_.size();
}

void fleet::begin_at(host_entry& of, std::int64_t seen_ns) {
  auto& first_ns = of.view.first_sample_ns;
  if (first_ns != 0 && first_ns <= seen_ns)
    return;
  first_ns = seen_ns;
  of.changed = true;
}

void fleet::count(host_entry& of, set_view& set, std::int64_t now_ns) {
  const auto heard = [now_ns](std::int64_t at_ns) { return at_ns > now_ns - set_idle_ns; };
  const auto before = set.counted;
  set.counted = heard(set.parts_ns) ? set.all : heard(set.whole_ns) ? set.series : 0;
  of.view.series += set.counted;
  of.view.series -= before;
}

void fleet::sweep(host_entry& of, std::int64_t now_ns) {
  of.swept_ns = now_ns;
  for (auto it = of.sets.begin(); it != of.sets.end();) {
    count(of, it->second, now_ns);
    it = it->second.counted == 0 ? of.sets.erase(it) : std::next(it);
  }
}

void fleet::on_frame(const std::string& site, std::string_view host, const frame_seen& frame) {
  const std::lock_guard lock{mutex_};
  auto& to = entry(site, host, frame.edge);
  to.stored = true;
  for (const auto& set : frame.sets)
    to.view.samples += set.series;
  if (frame.edge != edge_pushed
      || to.view.edge == edge_id::none) // what an edge loses concerns the host all the same
    to.view.edge = frame.edge;
  to.newest_ns = std::max(to.newest_ns, frame.time_ns);
  if (frame.seen_ns != 0) {
    begin_at(to, frame.seen_ns);
    to.view.last_sample_ns = std::max(to.view.last_sample_ns, frame.seen_ns);
  }
  if (to.sets.empty())
    to.view.series = 0; // of before a restart
  const auto now_ns = to.view.last_sample_ns;
  const auto seen_ns = frame.seen_ns != 0 ? frame.seen_ns : now_ns;
  for (const auto& set : frame.sets) {
    auto& known = to.sets[set.name];
    if (seen_ns < std::max(known.whole_ns, known.parts_ns))
      continue; // backlog
    known.all = set.all;
    if (frame.whole) {
      known.series = set.series;
      known.whole_ns = seen_ns;
    } else {
      known.parts_ns = seen_ns;
    }
    count(to, known, now_ns);
  }
  if (now_ns - to.swept_ns >= sweep_interval_ns)
    sweep(to, now_ns);
}

void fleet::on_watermark(const std::string& site, std::string_view host, const stream_key& key, sequence seq,
                         std::int64_t time_ns) {
  const std::lock_guard lock{mutex_};
  auto& to = entry(site, host, key.edge);
  to.stored = true;
  begin_at(to, time_ns);
  if (time_ns > to.view.live_watermark_ns) {
    to.view.live_watermark_ns = time_ns;
    to.changed = true;
  }
  auto& open = open_[key];
  open.push_back({seq, &to, time_ns});
  if (open.size() > open_watermarks_max) {
    std::size_t i = 0;
    std::erase_if(open, [&](const auto&) { return i++ % 2 == 0 && i < open_watermarks_max; });
  }
}

bool fleet::on_held(const stream_key& key, sequence through, bool older_epochs_complete) {
  const std::lock_guard lock{mutex_};
  const auto it = open_.find(key);
  if (it == open_.end())
    return true;
  if (!older_epochs_complete)
    return false;
  std::erase_if(it->second, [&](const open_watermark& w) {
    if (w.seq > through)
      return false;
    if (w.time_ns > w.host->view.complete_watermark_ns) {
      w.host->view.complete_watermark_ns = w.time_ns;
      w.host->changed = true;
    }
    return true;
  });
  const bool none_left = it->second.empty();
  if (none_left)
    open_.erase(it);
  return none_left;
}

void fleet::drop_waiting(const stream_key& key) {
  const std::lock_guard lock{mutex_};
  open_.erase(key);
}

void fleet::forget_before(std::int64_t oldest_ns) {
  const std::lock_guard lock{mutex_};
  std::set<const host_entry*> waiting; // their watermarks point to them
  for (const auto& [key, open] : open_)
    for (const auto& watermark : open)
      waiting.insert(watermark.host);
  std::erase_if(hosts_, [&](const auto& host) {
    const auto& view = host.second.view;
    const auto seen_ns = std::max(view.last_sample_ns, view.live_watermark_ns);
    if ((seen_ns != 0 ? seen_ns : host.second.newest_ns) >= oldest_ns || waiting.contains(&host.second))
      return false;
    dropped_.push_back(state_key(view.site, view.host));
    if (const auto share = shares_.find(host.second.counts_for); --share->second == 0)
      shares_.erase(share);
    return true;
  });
}

std::vector<host_view> fleet::hosts() const {
  const std::lock_guard lock{mutex_};
  std::vector<host_view> out;
  out.reserve(hosts_.size());
  for (const auto& [name, host] : hosts_)
    if (host.stored)
      out.push_back(host.view);
  return out;
}

std::vector<host_view> fleet::hosts(std::span<const host_name> these) const {
  const std::lock_guard lock{mutex_};
  std::vector<host_view> out;
  out.reserve(these.size());
  for (const auto& name : these)
    if (const auto known = hosts_.find(name); known != hosts_.end() && known->second.stored)
      out.push_back(known->second.view);
  return out;
}

std::vector<std::pair<std::string, std::string>> fleet::take_changes() {
  const std::lock_guard lock{mutex_};
  std::vector<std::pair<std::string, std::string>> out;
  for (auto& key : dropped_)
    out.emplace_back(std::move(key), std::string{});
  dropped_.clear();
  for (auto& [name, host] : hosts_) {
    if (!host.changed)
      continue;
    host.changed = false;
    byte_buffer value;
    byte_writer w{value};
    w.text(host.view.site);
    w.text(host.view.host);
    w.varint(host.view.series);
    w.fixed(host.view.last_sample_ns);
    w.fixed(host.view.live_watermark_ns);
    w.fixed(host.view.complete_watermark_ns);
    w.fixed(static_cast<std::uint64_t>(host.view.edge));
    w.fixed(host.view.first_sample_ns);
    out.emplace_back(state_key(name.first, name.second), std::string{as_text(value)});
  }
  return out;
}

void fleet::restore(std::string_view key, std::string_view value) {
  if (!key.starts_with(state_prefix))
    return;
  byte_reader r{as_bytes(value)};
  const std::string site{r.text()};
  const auto host = r.text();
  host_view view;
  view.series = r.varint();
  view.last_sample_ns = r.fixed<std::int64_t>();
  view.live_watermark_ns = r.fixed<std::int64_t>();
  view.complete_watermark_ns = r.fixed<std::int64_t>();
  view.edge = edge_id{r.fixed<std::uint64_t>()};
  if (r.failed())
    return;
  view.first_sample_ns = r.fixed<std::int64_t>(); // what was written before there was such a field has none
  if (r.failed())
    view.first_sample_ns = 0;
  const std::lock_guard lock{mutex_};
  auto& known = entry(site, host, view.edge);
  known.stored = true;
  auto& to = known.view;
  to.series = view.series;
  to.last_sample_ns = view.last_sample_ns;
  to.live_watermark_ns = view.live_watermark_ns;
  to.complete_watermark_ns = view.complete_watermark_ns;
  to.edge = view.edge;
  to.first_sample_ns = view.first_sample_ns;
}

} // namespace skerry::cloud
