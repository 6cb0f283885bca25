#pragma once

// How many hosts may be known: who stores something of a host asks for a place before. A host has one for each edge that
// speaks for it. Shards ask, and remember what they were told until version() changes; the owner of the table of hosts
// says which hosts are known and which are gone. Any thread; the lock is held for one look-up, but by sweep().

#include "schemas/model/host.hpp"
#include "schemas/model/identity.hpp"

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace skerry::cloud {

// Of the whole node, and of one site. What is pushed to the cloud itself, whatever site it names, counts as one site.
struct host_limits {
  std::size_t hosts_max = 100'000;
  std::size_t site_hosts_max = 10'000;
};

class host_admission {
public:
  explicit host_admission(host_limits limits = {}) : limits_(limits) {}

  // Whether data of this host may be stored that `edge` brings: it has a place, or there is room. Then it has one from
  // now on; where nothing of it is stored, until the second sweep from now.
  [[nodiscard]] bool admit(std::string_view site, std::string_view host, edge_id edge);
  // Something of it is stored: it has a place until it leaves, also beyond the bounds.
  void keep(std::string_view site, std::string_view host, edge_id edge);
  void leave(std::string_view site, std::string_view host, edge_id edge);
  // Now and then: frees places that were taken for what was never stored.
  void sweep();

  [[nodiscard]] std::size_t size() const;
  // Changes when a place may have become free.
  [[nodiscard]] std::uint64_t version() const noexcept { return version_.load(std::memory_order_acquire); }

  // Tells a host that an edge speaks for from all others.
  static void name_of(std::string_view site, std::string_view host, edge_id edge, std::string& out);

private:
  struct place {
    bool kept = false;
    std::uint64_t round = 0; // of sweeps, in which it was taken
  };
  using place_map = std::unordered_map<std::string, place>;

  place_map::iterator free(place_map::iterator it); // the lock is held

  const host_limits limits_;
  mutable std::mutex mutex_;
  place_map places_;
  std::map<std::string, std::size_t, std::less<>> shares_; // places by site; empty: of what is pushed
  std::uint64_t round_ = 0;
  std::atomic<std::uint64_t> version_ = 0;
};

} // namespace skerry::cloud
