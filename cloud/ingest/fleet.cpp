#include "cloud/ingest/fleet.hpp"

#include "schemas/bytes.hpp"

#include <algorithm>

namespace skerry::cloud {

namespace {

constexpr std::size_t open_watermarks_max = 100'000;     // a stream; beyond, every other one is forgotten
constexpr std::int64_t source_idle_ns = 300'000'000'000; // a source that is silent this long no longer counts
constexpr std::string_view state_prefix = "host/0/";     // of tenant 0

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
  to.view.edge = edge;
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

void fleet::on_held(const stream_key& key, sequence through, bool older_epochs_complete) {
  if (!older_epochs_complete)
    return;
  const std::lock_guard lock{mutex_};
  const auto it = open_.find(key);
  if (it == open_.end())
    return;
  std::erase_if(it->second, [&](const open_watermark& w) {
    if (w.seq > through)
      return false;
    if (w.time_ns > w.host->view.complete_watermark_ns) {
      w.host->view.complete_watermark_ns = w.time_ns;
      w.host->changed = true;
    }
    return true;
  });
  if (it->second.empty())
    open_.erase(it);
}

std::vector<host_view> fleet::hosts() const {
  const std::lock_guard lock{mutex_};
  std::vector<host_view> out;
  out.reserve(hosts_.size());
  for (const auto& [name, host] : hosts_)
    out.push_back(host.view);
  return out;
}

std::vector<std::pair<std::string, std::string>> fleet::take_changes() {
  const std::lock_guard lock{mutex_};
  std::vector<std::pair<std::string, std::string>> out;
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
    auto key = std::string{state_prefix};
    const auto id = static_cast<std::uint64_t>(make_host_id(tenant_default, name.first, name.second));
    for (int shift = 60; shift >= 0; shift -= 4)
      key += "0123456789abcdef"[id >> shift & 15];
    out.emplace_back(std::move(key), std::string{as_text(value)});
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
  const std::lock_guard lock{mutex_};
  auto& to = entry(site, host).view;
  to.series = view.series;
  to.last_sample_ns = view.last_sample_ns;
  to.live_watermark_ns = view.live_watermark_ns;
  to.complete_watermark_ns = view.complete_watermark_ns;
  to.edge = view.edge;
}

} // namespace skerry::cloud
