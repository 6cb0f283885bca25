#include "cloud/ingest/fleet.hpp"

#include "schemas/bytes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace skerry::cloud {

namespace {

constexpr std::size_t open_watermarks_max = 100'000;     // a stream; beyond, every other one is forgotten
constexpr std::int64_t source_idle_ns = 300'000'000'000; // a source that is silent this long no longer counts
constexpr std::string_view state_prefix = "host/0/";     // of tenant 0

std::string state_key(const std::string& site, const std::string& host) {
  return fmt::format("{}{:016x}", state_prefix,
                     static_cast<std::uint64_t>(make_host_id(tenant_default, site, host)));
}

} // namespace

fleet::host_entry& fleet::entry(const std::string& site, std::string_view host) {
  auto& found = hosts_[{site, std::string{host}}];
  if (found.view.site.empty()) {
    found.view.site = site;
    found.view.host = host;
  }
  return found;
}

void fleet::on_frame(const std::string& site, std::string_view host, edge_id edge, std::uint64_t source,
                     std::uint64_t series, std::int64_t time_ns) {
  const std::lock_guard lock{mutex_};
  auto& to = entry(site, host);
  to.view.samples += series;
  if (edge != edge_pushed
      || to.view.edge == edge_id::none) // what an edge loses concerns the host all the same
    to.view.edge = edge;
  to.view.first_sample_ns =
      to.view.first_sample_ns == 0 ? time_ns : std::min(to.view.first_sample_ns, time_ns);
  to.view.last_sample_ns = std::max(to.view.last_sample_ns, time_ns);
  auto& from = to.sources[source];
  if (time_ns < from.time_ns)
    return; // backlog
  from = {series, time_ns};
  std::erase_if(to.sources, [&](const auto& s) { return s.second.time_ns + source_idle_ns < time_ns; });
  to.view.series = 0;
  for (const auto& [id, s] : to.sources)
    to.view.series += s.series;
}

void fleet::on_watermark(const std::string& site, std::string_view host, const stream_key& key, sequence seq,
                         std::int64_t time_ns) {
  const std::lock_guard lock{mutex_};
  auto& to = entry(site, host);
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
    if (std::max(view.last_sample_ns, view.live_watermark_ns) >= oldest_ns || waiting.contains(&host.second))
      return false;
    dropped_.push_back(state_key(view.site, view.host));
    return true;
  });
}

std::vector<host_view> fleet::hosts() const {
  const std::lock_guard lock{mutex_};
  std::vector<host_view> out;
  out.reserve(hosts_.size());
  for (const auto& [name, host] : hosts_)
    out.push_back(host.view);
  return out;
}

std::vector<host_view> fleet::hosts(std::span<const host_name> these) const {
  const std::lock_guard lock{mutex_};
  std::vector<host_view> out;
  out.reserve(these.size());
  for (const auto& name : these)
    if (const auto known = hosts_.find(name); known != hosts_.end())
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
  auto& to = entry(site, host).view;
  to.series = view.series;
  to.last_sample_ns = view.last_sample_ns;
  to.live_watermark_ns = view.live_watermark_ns;
  to.complete_watermark_ns = view.complete_watermark_ns;
  to.edge = view.edge;
  to.first_sample_ns = view.first_sample_ns;
}

} // namespace skerry::cloud
