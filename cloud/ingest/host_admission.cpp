#include "cloud/ingest/host_admission.hpp"

#include <cstring>

namespace skerry::cloud {

namespace {

constexpr std::size_t site_at = sizeof(edge_id) + sizeof(std::uint32_t); // in a name

std::string_view share_of(std::string_view site, edge_id edge) {
  return edge == edge_pushed ? std::string_view{} : site;
}

// Of the place with this name.
std::string_view share_of(const std::string& name) {
  edge_id edge{};
  std::uint32_t site_bytes = 0;
  std::memcpy(&edge, name.data(), sizeof edge);
  std::memcpy(&site_bytes, name.data() + sizeof edge, sizeof site_bytes);
  return share_of(std::string_view{name}.substr(site_at, site_bytes), edge);
}

} // namespace

void host_admission::name_of(std::string_view site, std::string_view host, edge_id edge, std::string& out) {
  const auto site_bytes = static_cast<std::uint32_t>(site.size());
  out.resize(site_at);
  std::memcpy(out.data(), &edge, sizeof edge);
  std::memcpy(out.data() + sizeof edge, &site_bytes, sizeof site_bytes);
  out += site;
  out += host;
}

bool host_admission::admit(std::string_view site, std::string_view host, edge_id edge) {
  std::string name;
  name_of(site, host, edge, name);
  const auto share = share_of(site, edge);
  const std::lock_guard lock{mutex_};
  if (places_.contains(name))
    return true;
  const auto taken = shares_.find(share);
  if (places_.size() >= limits_.hosts_max
      || (taken != shares_.end() && taken->second >= limits_.site_hosts_max))
    return false;
  ++shares_[std::string{share}];
  places_.emplace(std::move(name), place{false, round_});
  return true;
}

void host_admission::keep(std::string_view site, std::string_view host, edge_id edge) {
  std::string name;
  name_of(site, host, edge, name);
  const std::lock_guard lock{mutex_};
  const auto [it, fresh] = places_.try_emplace(std::move(name));
  it->second.kept = true;
  if (fresh)
    ++shares_[std::string{share_of(site, edge)}];
}

host_admission::place_map::iterator host_admission::free(place_map::iterator it) {
  if (const auto share = shares_.find(share_of(it->first)); --share->second == 0)
    shares_.erase(share);
  version_.fetch_add(1, std::memory_order_release);
  return places_.erase(it);
}

void host_admission::leave(std::string_view site, std::string_view host, edge_id edge) {
  std::string name;
  name_of(site, host, edge, name);
  const std::lock_guard lock{mutex_};
  if (const auto it = places_.find(name); it != places_.end())
    free(it);
}

void host_admission::sweep() {
  const std::lock_guard lock{mutex_};
  for (auto it = places_.begin(); it != places_.end();)
    it = !it->second.kept && it->second.round < round_ ? free(it) : std::next(it);
  ++round_;
}

std::size_t host_admission::size() const {
  const std::lock_guard lock{mutex_};
  return places_.size();
}

} // namespace skerry::cloud
